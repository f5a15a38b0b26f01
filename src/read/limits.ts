/**
 * Limits of reading, and the defaults of the options that set one.
 *
 * @module
 */

/** Default of `maxEventSize`, in UTF-16 code units. */
export const DEFAULT_MAX_EVENT_SIZE = 67_108_864;

/** The minimum delay in ms between attempts in a row, except before the first. */
export const MIN_RETRY_DELAY = 100;

/**
 * The time in ms after which a connection that has delivered a byte counts as
 * healthy, if `maxDelay` is longer.
 */
export const MAX_HEALTHY_TIME = 30_000;

/**
 * Maximum length of a last event ID in bytes. Most servers refuse requests with
 * longer headers.
 */
export const MAX_ID_LENGTH = 8192;

/** Maximum number of UTF-16 code units to keep of a refused response's body. */
export const MAX_BODY_LENGTH = 65_536;
/** Maximum time in ms to read a refused response's body. */
export const MAX_BODY_TIME = 1000;

/**
 * Maximum number of UTF-16 code units to remember of lines that belong to no event
 * stream.
 */
export const MAX_FOREIGN_LENGTH = 200;

/** How late a timer may fire, in ms, before the program counts as blocked. */
export const MAX_TIMER_LATENESS = 50;

/** Maximum time in ms that `close` waits for the body to be canceled. */
export const MAX_CLOSE_TIME = 1000;
