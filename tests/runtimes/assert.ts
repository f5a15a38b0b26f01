import { SseError, type SseErrorCode } from "../../mod.ts";

/** Throws an error with the message unless the condition is truthy. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** Throws unless both values have the same JSON. For plain data only. */
export function assertEquals(
  actual: unknown,
  expected: unknown,
  name = "the value",
): void {
  const [actualText, expectedText] = [show(actual), show(expected)];
  assert(
    actualText === expectedText,
    `Expected ${name} to be ${expectedText}, got ${actualText}`,
  );
}

/** Returns the reason of a rejected promise. Throws if the promise resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`Expected a rejection, got ${show(value)}`);
}

/**
 * Returns the `SseError` of a rejected promise. Throws unless the promise rejects
 * with an `SseError` that has one of the codes.
 */
export async function sseError(
  promise: Promise<unknown>,
  ...codes: SseErrorCode[]
): Promise<SseError> {
  const error = await rejection(promise);
  assert(error instanceof SseError, `Expected an SseError, got ${error}`);
  assert(
    codes.includes(error.code),
    `Expected an SseError of ${codes}, got ${error.code}: ${error.message}`,
  );
  return error;
}

/** Returns JSON that distinguishes `undefined` from a missing property. */
function show(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, value) => value === undefined ? "undefined" : value,
  ) ?? "undefined";
}
