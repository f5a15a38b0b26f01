import { assert, assertEquals } from "@std/assert";
import {
  isProgramError,
  messageOf,
  retryDelay,
} from "../../src/event_log/retry.ts";

Deno.test("retryDelay grows to 2 seconds, or to 30 if a limit of requests is reached", () => {
  const limited = new Error("ERR max requests limit exceeded");
  for (
    const [failures, error, most] of [
      [1, undefined, 50],
      [2, undefined, 100],
      [3, new Error("lost"), 200],
      [1000, undefined, 2000],
      [1000, new Error("lost"), 2000],
      [1000, limited, 30_000],
      [1000, "Too Many Requests", 30_000],
    ] as const
  ) {
    for (let i = 0; i < 20; i++) {
      const delay = retryDelay(failures, error);
      assert(delay > most / 2 - 1 && delay <= most, `${delay} of ${most}`);
    }
  }
});

Deno.test("messageOf returns the message of an error, or the thrown value as text", () => {
  assertEquals(messageOf(new Error("a")), "a");
  assertEquals(messageOf({ message: "b" }), "b");
  assertEquals(messageOf("c"), "c");
  assertEquals(messageOf(undefined), "undefined");
});

Deno.test("isProgramError recognizes failed checks, and connections of another request in a Worker", () => {
  const foreign =
    "Cannot perform I/O on behalf of a different request. I/O objects";
  assert(isProgramError(new TypeError("Expected a list, got 1")));
  assert(isProgramError(new RangeError("Expected a number, got 1")));
  assert(isProgramError(new Error(foreign)));
  assert(!isProgramError(new Error("Expected Redis to answer")));
  assert(!isProgramError(new SyntaxError("Expected ',' or '}' in JSON")));
  assert(!isProgramError(undefined));
});
