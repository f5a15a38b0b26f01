import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type SseMessage, sseResponse } from "../../mod.ts";
import { EventLogIdleError, MemoryEventLog } from "../../src/event_log/mod.ts";
import { StoredLog } from "../../src/event_log/stored.ts";
import { subscribe } from "../../src/write/subscription.ts";
import { deadline } from "../support/deadline.ts";
import { ArrayStore } from "./array_store.ts";
import { RecordingSink } from "../support/recording_sink.ts";

/** Reads with fake time. */
function readWithFakeTime(messages: AsyncIterable<SseMessage>) {
  const iterator = messages[Symbol.asyncIterator]();
  return {
    /** Asks for a message, and records what becomes of the call. */
    next() {
      const call = { outcome: "pending" };
      iterator.next().then(
        ({ done, value }) => call.outcome = done ? "end" : value.data!,
        (error) => call.outcome = error.name,
      );
      return call;
    },
    return: () => iterator.return!(),
  };
}

async function advance(time: FakeTime, ms: number): Promise<void> {
  await time.tickAsync(ms);
  await time.runMicrotasks();
}

Deno.test("idleTimeout of a log without messages counts from the first next()", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  const reader = readWithFakeTime(log.read("", { idleTimeout: 50 }));
  await advance(time, 1000);
  const call = reader.next();
  await advance(time, 49);
  assertEquals(call.outcome, "pending");
  await advance(time, 1);
  assertEquals(call.outcome, "EventLogIdleError");
});

for (const idleTimeout of [50, 10_000]) {
  Deno.test(`idleTimeout of ${idleTimeout} ms does not apply while nobody calls next(), and does within a second after that`, async () => {
    using time = new FakeTime();
    const log = new MemoryEventLog();
    await log.append({ data: "1" });
    const reader = readWithFakeTime(log.read("", { idleTimeout }));
    const pause = async () => {
      const step = Math.min(idleTimeout, 1000);
      for (let ms = 0; ms < 3 * idleTimeout; ms += step) {
        await advance(time, step);
      }
    };
    const first = reader.next();
    await pause();
    await log.append({ data: "2" });
    const second = reader.next();
    await pause();
    assertEquals([first.outcome, second.outcome], ["1", "2"]);
    const third = reader.next();
    await advance(time, Math.min(idleTimeout, 1000));
    assertEquals(third.outcome, "EventLogIdleError");
  });
}

// After "", the position of the oldest message is fetched first.
for (const after of ["0", ""]) {
  Deno.test(`idleTimeout does not apply while the messages of an idle log are being fetched, after ${JSON.stringify(after)}`, async () => {
    using time = new FakeTime();
    const store = new ArrayStore();
    store.last = 1;
    // Exactly the timeout, so that no time is left.
    store.status = () =>
      Promise.resolve({ lastId: "1", ended: false, idle: 100 });
    const slow = Promise.withResolvers<void>();
    const oldest = store.oldest.bind(store);
    store.oldest = async () => {
      await slow.promise;
      return await oldest();
    };
    const pageAfter = store.pageAfter.bind(store);
    store.pageAfter = async (position) => {
      await slow.promise;
      return await pageAfter(position);
    };
    const log = new StoredLog(store);
    const reader = readWithFakeTime(log.read(after, { idleTimeout: 100 }));
    const first = reader.next();
    for (let i = 0; i < 5; i++) await advance(time, 100);
    assertEquals(first.outcome, "pending");
    slow.resolve();
    await advance(time, 0);
    assertEquals(first.outcome, "1");
    const second = reader.next();
    await advance(time, 100);
    assertEquals(second.outcome, "EventLogIdleError");
  });
}

Deno.test("idleTimeout does not apply while status() fails", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const status = store.status.bind(store);
  store.status = () => Promise.reject(new Error("away"));
  const log = new StoredLog(store);
  const reader = readWithFakeTime(log.read("0", { idleTimeout: 50 }));
  const call = reader.next();
  for (let i = 0; i < 5; i++) await advance(time, 1000);
  assertEquals(call.outcome, "pending");
  store.status = async () => ({ ...await status(), idle: 5000 });
  await advance(time, 1000);
  assertEquals(call.outcome, "EventLogIdleError");
});

Deno.test("a reader with idleTimeout throws a permanent failure of status()", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  store.status = () => Promise.reject(new TypeError("NOPERM"));
  store.isPermanent = (error) => error instanceof TypeError;
  const log = new StoredLog(store);
  const reader = readWithFakeTime(log.read("0", { idleTimeout: 50 }));
  const call = reader.next();
  await advance(time, 1000);
  assertEquals(call.outcome, "TypeError");
});

Deno.test("a reader with idleTimeout leaves no timer if it returns during a call of status()", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const { promise, resolve } = Promise.withResolvers<void>();
  const status = store.status.bind(store);
  store.status = async () => {
    await promise;
    return await status();
  };
  const log = new StoredLog(store);
  const reader = readWithFakeTime(log.read("0", { idleTimeout: 50 }));
  const call = reader.next();
  await advance(time, 0);
  await reader.return();
  resolve();
  await advance(time, 0);
  assertEquals(call.outcome, "end");
  // False if there is no timer.
  assertEquals(time.next(), false);
});

Deno.test("sseResponse() ends or fails if its reader did so before the response was read", async () => {
  const log = new MemoryEventLog();
  await log.append({ data: "1" });
  const returned = log.read("");
  await returned[Symbol.asyncIterator]().return!();
  const canceled = log.read("");
  await sseResponse(canceled).body!.cancel();
  for (const messages of [returned, canceled]) {
    assertEquals(await deadline(sseResponse(messages).text(), "the end"), "");
  }

  const store = new ArrayStore();
  store.isPermanent = () => true;
  store.failures.push(new Error("The log was deleted"));
  // Asks for the end of the log at once.
  const failed = sseResponse(new StoredLog(store).read());
  await new Promise((resolve) => setTimeout(resolve));
  await assertRejects(
    () => deadline(failed.text(), "the failure"),
    Error,
    "The log was deleted",
  );
});

Deno.test("sseResponse() fails if its reader did so before the call", async () => {
  const store = new ArrayStore();
  store.isPermanent = () => true;
  store.failures.push(new Error("The log was deleted"));
  const messages = new StoredLog(store).read();
  await new Promise((resolve) => setTimeout(resolve));
  await assertRejects(
    () => deadline(sseResponse(messages).text(), "the failure"),
    Error,
    "The log was deleted",
  );
});

Deno.test("a subscription calls no method of its sink if a fetch ends after cancel()", async () => {
  const store = new ArrayStore();
  store.last = 1;
  const looked = Promise.withResolvers<void>();
  const found = Promise.withResolvers<void>();
  store.pageAfter = async () => {
    looked.resolve();
    await found.promise;
    return { entries: [], ended: false };
  };
  const messages = new StoredLog(store).read("0", { follow: false });
  const sink = new RecordingSink();
  const subscription = subscribe(messages, sink);
  subscription.pull();
  await deadline(looked.promise, "a look at the store");
  await subscription.cancel();
  found.resolve();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(sink.calls, []);
});

Deno.test("EventLogIdleError is thrown once", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  const reader = readWithFakeTime(log.read("", { idleTimeout: 50 }));
  const calls = [reader.next(), reader.next()];
  await advance(time, 0);
  await advance(time, 50);
  calls.push(reader.next());
  await advance(time, 0);
  assertEquals(
    calls.map(({ outcome }) => outcome),
    [EventLogIdleError.prototype.name, "end", "end"],
  );
});
