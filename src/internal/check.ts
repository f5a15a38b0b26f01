/**
 * Checks of arguments.
 *
 * @module
 */

/** The longest delay of a timer in ms; with a longer one it fires at once. */
export const MAX_TIMER_DELAY = 2 ** 31 - 1;

/** Throws an error that says what was expected and what came, unless `ok`. */
export function check(
  ok: unknown,
  expected: string,
  value: unknown,
  ErrorType: new (message: string) => Error = TypeError,
): asserts ok {
  if (ok) return;
  const text = typeof value === "string"
    ? JSON.stringify(value.slice(0, 100))
    : textOf(value) || typeof value; // An empty array has an empty text.
  const got = text.length > 100 ? text.slice(0, 100) + "…" : text;
  throw new ErrorType(`Expected ${expected}, got ${got}`);
}

/** The value as a string, or its type where it cannot become one. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}

/** Throws unless the value has that type; `null` is no object here. */
export function checkType(
  value: unknown,
  type: "string" | "function" | "object",
  expected: string,
): void {
  check(typeof value === type && value !== null, expected, value);
}

/** Throws unless the option is a function, or not given. */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined) {
    checkType(value, "function", `${name} to be a function`);
  }
}

/** Throws unless it is like a signal, which may be of another realm, or not given. */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  check(
    !signal || typeof signal.aborted === "boolean",
    "signal to be an AbortSignal",
    signal,
  );
}

/** Throws unless the limit is a positive whole number or `Infinity`. */
export function checkLimit(name: string, value: number): void {
  check(
    value === Infinity || Number.isSafeInteger(value) && value > 0,
    `${name} to be a positive whole number or Infinity`,
    value,
    RangeError,
  );
}

/** Throws unless the option is a number in that range. */
export function checkRange(
  name: string,
  value: number,
  least: number,
  most = Infinity,
): void {
  check(
    typeof value === "number" && value >= least && value <= most,
    `${name} to be a number from ${least} to ${most}`,
    value,
    RangeError,
  );
}

/**
 * Checks a number of ms; `Infinity` stands for "off".
 *
 * @returns What a timer takes, or undefined for none.
 */
export function checkTimeout(
  name: string,
  value: number | undefined,
): number | undefined {
  if (value === undefined || value === Infinity) return undefined;
  check(
    typeof value === "number" && value > 0,
    `${name} to be a positive number of ms or Infinity`,
    value,
    RangeError,
  );
  return Math.min(value, MAX_TIMER_DELAY);
}
