/**
 * The characters that structure an event stream.
 *
 * @module
 */

/** U+000A LINE FEED. */
export const LF = 0x0a;
/** U+000D CARRIAGE RETURN. */
export const CR = 0x0d;
/** U+0020 SPACE. */
export const SPACE = 0x20;
/** U+003A COLON. */
export const COLON = 0x3a;
/** U+FEFF BYTE ORDER MARK. */
export const BOM = "\ufeff";
