/**
 * Checks of arguments. Each throws an error that says what was expected and what
 * was received.
 *
 * @module
 */

import { truncate } from "./truncate.ts";
import { MAX_TIMER_DELAY } from "./wait.ts";

/** Throws unless `ok`. */
export function check(
  ok: unknown,
  expected: string,
  value: unknown,
  makeError: (message: string) => Error = TypeError,
): asserts ok {
  if (ok) return;
  const got = typeof value === "string"
    ? JSON.stringify(truncate(value, 100))
    : truncate(textOf(value), 100) || typeof value; // [] has an empty text.
  throw makeError(`Expected ${expected}, got ${got}`);
}

/** Returns the value as a string, or its type if it cannot be converted. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}

/** Throws unless the value has that type. `null` is not an object here. */
export function checkType(
  value: unknown,
  type: "string" | "function" | "object",
  expected: string,
): void {
  check(typeof value === type && value !== null, expected, value);
}

/**
 * Returns the result of a callback as a boolean.
 *
 * @throws {TypeError} If it is a promise, which would always count as true.
 */
export function checkBoolean(name: string, result: unknown): boolean {
  const promise = result as PromiseLike<unknown> | undefined;
  if (typeof promise?.then === "function") {
    promise.then(undefined, () => {}); // It may reject.
    check(false, `${name} to return a boolean`, "a promise");
  }
  return Boolean(result);
}

/**
 * Throws unless the value is missing or an `AbortSignal`. Signals of other
 * realms are accepted.
 */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  check(
    !signal || typeof signal.aborted === "boolean",
    "signal to be an AbortSignal",
    signal,
  );
}

/** Returns an option. Throws unless it is a function or undefined. */
export function functionOption<Options, Name extends keyof Options & string>(
  options: Options,
  name: Name,
): Options[Name] {
  const value = options[name];
  if (value !== undefined) {
    checkType(value, "function", `${name} to be a function`);
  }
  return value;
}

/** Returns an option, or its default. Throws unless it is a number in that range. */
export function numberOption<Name extends string>(
  options: { readonly [_ in Name]?: number | undefined },
  name: Name,
  byDefault: number,
  least: number,
  most = Infinity,
): number {
  const { [name]: value = byDefault } = options;
  check(
    typeof value === "number" && value >= least && value <= most,
    `${name} to be a number from ${least} to ${most}`,
    value,
    RangeError,
  );
  return value;
}

/**
 * Returns an option that is a timeout in ms as a delay for a timer, or undefined
 * for none, as by default.
 */
export function timeoutOption<Name extends string>(
  options: { readonly [_ in Name]?: number | undefined },
  name: Name,
): number | undefined {
  const value = numberOption(options, name, Infinity, 1);
  return value === Infinity ? undefined : Math.min(value, MAX_TIMER_DELAY);
}
