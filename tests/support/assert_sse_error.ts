import { assertEquals, assertRejects } from "@std/assert";
import { SseError } from "../../mod.ts";

/** Asserts that the promise rejects with an `SseError` with this code. */
export async function assertSseError(
  promise: Promise<unknown>,
  code: SseError["code"],
): Promise<SseError> {
  const error = await assertRejects(() => promise, SseError);
  assertEquals(error.code, code);
  return error;
}
