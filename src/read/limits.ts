/**
 * The limits of reading. Those that an option can change are its defaults.
 *
 * @module
 */

/** UTF-16 code units of an event (`maxEventSize`). */
export const DEFAULT_MAX_EVENT_SIZE = 67_108_864;

/** The minimum delay in ms between attempts in a row, except before the first. */
export const MIN_RETRY_DELAY = 100;

/** Bytes of a last event ID. Most servers refuse requests with longer headers. */
export const MAX_ID_LENGTH = 8192;
/** The same in words: a template is not removed by bundlers if it is not used. */
export const ID_RULE = "free of control characters and at most 8192 bytes";

/** Bytes that are read of a refused response's body. */
export const MAX_BODY_LENGTH = 65_536;
/** Milliseconds for which a refused response's body is read. */
export const MAX_BODY_TIME = 1000;
/** UTF-16 code units of a body that a message quotes. */
export const MAX_QUOTE_LENGTH = 200;

/** How late a timer may fire, in ms, before the program counts as blocked. */
export const MAX_TIMER_LATENESS = 50;

/** Milliseconds that `close` waits for the body to be canceled. */
export const MAX_CLOSE_TIME = 1000;
