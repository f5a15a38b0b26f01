import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  abortable,
  MAX_TIMER_DELAY,
  onAbort,
  wait,
} from "../../src/internal/wait.ts";
import { countListeners } from "../support/listeners.ts";

/** Returns a function that tells whether the promise has been fulfilled. */
function isFulfilled(promise: Promise<unknown>): () => boolean {
  let fulfilled = false;
  promise.then(() => fulfilled = true, () => {});
  return () => fulfilled;
}

Deno.test("onAbort calls back with the reason when the signal aborts, also if it has aborted already", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const reasons: unknown[] = [];
  onAbort(signal, (reason) => reasons.push(["before", reason]));
  assertEquals(reasons, []);
  controller.abort("enough");
  assertEquals(reasons, [["before", "enough"]]);
  onAbort(signal, (reason) => reasons.push(["after", reason]));
  assertEquals(reasons, [["before", "enough"], ["after", "enough"]]);
});

Deno.test("onAbort leaves no listener on a signal that has aborted already", () => {
  const signal = AbortSignal.abort();
  const listeners = countListeners(signal);
  onAbort(signal, () => {});
  assertEquals(listeners(), 0);
});

Deno.test("onAbort does not call back once it is stopped, and leaves no listener", () => {
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const stopListening = onAbort(controller.signal, () => {
    throw new Error("It was stopped");
  });
  assertEquals(listeners(), 1);
  stopListening();
  assertEquals(listeners(), 0);
  controller.abort();
});

Deno.test("onAbort gives an AbortError if the signal has no reason, as those of old polyfills", () => {
  const signal = Object.defineProperty(AbortSignal.abort(), "reason", {
    value: undefined,
  });
  let found: unknown;
  onAbort(signal, (reason) => found = reason);
  assert(found instanceof DOMException);
  assertEquals(found.name, "AbortError");
});

Deno.test("onAbort takes no signal", () => {
  for (const signal of [undefined, null]) onAbort(signal, () => {})();
});

Deno.test("wait resolves after the delay", async () => {
  using time = new FakeTime();
  const resolved = isFulfilled(wait(100));
  await time.tickAsync(99);
  assert(!resolved());
  await time.tickAsync(1);
  assert(resolved());
});

Deno.test("wait takes any delay that a timer cannot take as the longest one", async () => {
  using time = new FakeTime();
  const resolved = isFulfilled(wait(Infinity));
  await time.tickAsync(MAX_TIMER_DELAY - 1);
  assert(!resolved());
  await time.tickAsync(1);
  assert(resolved());
});

Deno.test("wait resolves when the signal aborts, and clears its timer", async () => {
  const controller = new AbortController();
  const waiting = wait(60_000, controller.signal);
  controller.abort();
  await waiting;
  await wait(60_000, controller.signal);
});

Deno.test("wait removes its listener from the signal", async () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const waiting = wait(0, signal);
  assertEquals(listeners(), 1);
  await waiting;
  assertEquals(listeners(), 0);
});

Deno.test("wait resolves when the promise is fulfilled, and clears its timer", async () => {
  await wait(60_000, undefined, Promise.resolve("now"));
});

Deno.test("wait rejects when the promise is rejected, and clears its timer", async () => {
  const error = await assertRejects(() =>
    wait(60_000, undefined, Promise.reject(new Error("mine")))
  );
  assertEquals((error as Error).message, "mine");
});

Deno.test("wait ignores a promise that is rejected after the delay", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  await wait(0, undefined, promise);
  reject(new Error("too late"));
});

Deno.test("abortable settles as its promise does", async () => {
  const { signal } = new AbortController();
  assertEquals(await abortable(Promise.resolve(1), signal), 1);
  await assertRejects(
    () => abortable(Promise.reject(new Error("mine")), signal),
    Error,
    "mine",
  );
});

Deno.test("abortable rejects with the reason when the signal aborts", async () => {
  const controller = new AbortController();
  const pending = abortable(new Promise(() => {}), controller.signal);
  controller.abort(new Error("enough"));
  await assertRejects(() => pending, Error, "enough");
  await assertRejects(
    () => abortable(new Promise(() => {}), controller.signal),
    Error,
    "enough",
  );
});

Deno.test("abortable settles as its promise does if both have settled", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  assertEquals(await abortable(Promise.resolve(1), signal), 1);
  await assertRejects(
    () => abortable(Promise.reject(new Error("mine")), signal),
    Error,
    "mine",
  );
});
