import { SseError, type SseErrorCode } from "../../mod.ts";

/** Fails unless the condition holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** Fails unless the two, plain data both, look the same as JSON. */
export function assertEquals(
  actual: unknown,
  expected: unknown,
  what = "the value",
): void {
  const [is, shouldBe] = [show(actual), show(expected)];
  assert(is === shouldBe, `Expected ${what} to be ${shouldBe}, got ${is}`);
}

/** Fails unless the promise rejects; gives what it rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`Expected a rejection, got ${show(value)}`);
}

/** Fails unless the promise rejects with an `SseError` of one of the codes. */
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

/** JSON that keeps `undefined` apart from what is not there. */
function show(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, value) => value === undefined ? "undefined" : value,
  ) ?? "undefined";
}
