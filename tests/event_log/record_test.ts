import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { readSse, sseResponse } from "../../mod.ts";
import {
  EventLogGapError,
  MemoryEventLog,
  record,
} from "../../src/event_log/mod.ts";
import { EXTRAS } from "../../src/event_log/message.ts";
import { deadline } from "../support/deadline.ts";
import { Source } from "../support/message_source.ts";
import { settled } from "../support/settled.ts";
import { readAll } from "./contract.ts";
import { customLog } from "./custom_log.ts";

Deno.test("record() stops if its signal has already aborted", async () => {
  const log = new MemoryEventLog();
  const source = new Source();
  const outcome = record(log, source, { signal: AbortSignal.abort() });
  assertEquals(await deadline(outcome, "the outcome"), "stopped");
  await source.returned;
  assert((await log.status()).ended);
});

Deno.test("record() opens no source if its signal has already aborted", async () => {
  const log = new MemoryEventLog();
  const signal = AbortSignal.abort();
  const calls: string[] = [];
  const open = () => {
    calls.push("open");
    return [];
  };
  assertEquals(await record(log, open, { signal }), "stopped");
  const iterator = {
    next() {
      calls.push("next");
      return Promise.resolve({ done: true as const, value: undefined });
    },
  };
  const source = { [Symbol.asyncIterator]: () => iterator };
  assertEquals(await record(log, source, { signal }), "stopped");
  assertEquals(calls, []);
});

Deno.test("record() does not call onError if its source fails because of the signal", async () => {
  const stop = new AbortController();
  const errors: unknown[] = [];
  const opened = Promise.withResolvers<void>();
  const outcome = record(new MemoryEventLog(), (signal) => ({
    async *[Symbol.asyncIterator]() {
      opened.resolve();
      yield await new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    },
  }), {
    signal: stop.signal,
    onError: (error) => void errors.push(error),
  });
  await opened.promise;
  stop.abort();
  assertEquals([await outcome, errors], ["stopped", []]);
});

Deno.test("record() does not close a source that has ended", async () => {
  const source = new Source({ data: "1" });
  const outcome = record(new MemoryEventLog(), source);
  await source.pending;
  source.end();
  assertEquals(await outcome, "complete");
  assertEquals(source.returnCalls, 0);
});

for (
  const [what, settle] of [
    ["gives a message", (source) => source.send({ data: "late" })],
    ["gives an invalid message", (source) => source.send({ id: "\n" })],
    ["ends", (source) => source.end()],
    ["fails", (source) => source.fail(new Error("late"))],
  ] satisfies [string, (source: Source) => void][]
) {
  Deno.test(`record() ignores that its source ${what} after it was stopped`, async () => {
    const log = new MemoryEventLog();
    const source = new Source({ data: "1" });
    const stop = new AbortController();
    const errors: unknown[] = [];
    const outcome = record(log, source, {
      signal: stop.signal,
      onError: (error) => void errors.push(error),
    });
    await source.pending;
    stop.abort();
    assertEquals(await outcome, "stopped");
    settle(source);
    await settled();
    assertEquals(errors, []);
    assertEquals([source.nextCalls, source.returnCalls], [2, 1]);
    assertEquals((await readAll(log.read(""))).length, 1);
  });
}

Deno.test("record() appends the messages together that arrive during an append, and reads at most 100 ahead", async () => {
  const batches: number[] = [];
  const disk = Promise.withResolvers<void>();
  const log = customLog({
    async append(...messages) {
      batches.push(messages.length);
      await disk.promise;
      return "";
    },
  });
  let count = 0;
  function* source() {
    while (count < 300) yield { data: `${++count}` };
  }
  const outcome = record(log, source());
  await settled();
  // One is being appended.
  assertEquals(count, 101);
  disk.resolve();
  assertEquals(await outcome, "complete");
  assertEquals(batches.slice(0, 2), [1, 100]);
  assertEquals(batches.reduce((sum, size) => sum + size), 300);
});

Deno.test("record() stops reading the log though it cannot end it", async () => {
  const memory = new MemoryEventLog();
  const left = Promise.withResolvers<void>();
  let ends = 0;
  const log = customLog({
    end() {
      ends++;
      return Promise.reject(new Error("The connection was lost"));
    },
    async *read(after, options) {
      try {
        yield* memory.read(after, options);
      } finally {
        left.resolve();
      }
    },
  });
  using time = new FakeTime();
  const outcome = record(log, [{ data: "1" }]);
  await left.promise;
  for (let i = 0; i < 200; i++) await time.tickAsync(100);
  assertEquals(await outcome, "complete");
  assertEquals(time.next(), false);
  // In ten seconds, with growing delays.
  assert(ends > 5 && ends < 20, `${ends}`);
});

Deno.test("record() stops if its log is ended elsewhere, also after messages were deleted before it has read them", async () => {
  const memory = new MemoryEventLog();
  const reads: string[] = [];
  const watched = Promise.withResolvers<void>();
  const log = customLog({
    async *read(after, options) {
      reads.push(typeof after);
      if (reads.length < 3) throw new EventLogGapError("1", "2");
      watched.resolve();
      yield* memory.read(after, options);
    },
  });
  const source = new Source();
  const outcome = record(log, source);
  await deadline(watched.promise, "another read");
  await memory.end();
  assertEquals(await deadline(outcome, "the outcome"), "stopped");
  await source.returned;
  assertEquals(reads, Array(3).fill("undefined"));
});

Deno.test("record() repeats an end() of the log that fails", async () => {
  using time = new FakeTime();
  let failures = 0;
  const memory = new MemoryEventLog();
  const log = customLog({
    async end() {
      if (failures++ < 3) throw new Error("The connection was lost");
      await memory.end();
    },
    read: (...args) => memory.read(...args),
  });
  const reader = readAll(memory.read(""));
  const outcome = record(log, []);
  while (failures < 4) await time.tickAsync(100);
  assertEquals(await outcome, "complete");
  assertEquals(await reader, []);
});

Deno.test("record() does not repeat an end() of a log to which it could not append", async () => {
  let ends = 0;
  const log = customLog({
    append: () => Promise.reject(new Error("WRONGTYPE")),
    end() {
      ends++;
      return Promise.reject(new Error("WRONGTYPE"));
    },
  });
  const outcome = record(log, [{ data: "1" }]);
  assertEquals(await deadline(outcome, "the outcome"), "failed");
  assertEquals(ends, 1);
});

Deno.test("record() closes its source before it appends that it has failed", async () => {
  const calls: string[] = [];
  const appended = Promise.withResolvers<string>();
  const log = customLog({
    append({ event = "message" }) {
      calls.push(event);
      if (event === "error") return appended.promise;
      return Promise.reject(new Error("The disk is full"));
    },
  });
  const source = new Source({ data: "1" });
  const errors: unknown[] = [];
  const onError = (error: unknown) => {
    errors.push(String(error));
    return { event: "error" };
  };
  const outcome = record(log, source, { onError });
  await deadline(source.returned, "the source to be closed");
  source.fail(new Error("Aborted"));
  await settled();
  appended.resolve("1");
  assertEquals(await deadline(outcome, "the outcome"), "failed");
  assertEquals(calls, ["message", "error"]);
  assertEquals(errors, ["Error: The disk is full"]);
});

Deno.test("record() calls onError once if its source fails while an append fails", async () => {
  const append = Promise.withResolvers<string>();
  const log = customLog({ append: () => append.promise });
  const source = new Source({ data: "1" });
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(String(error));
  const outcome = record(log, source, { onError });
  await source.pending;
  source.fail(new Error("The source was cut"));
  await settled();
  append.reject(new Error("The disk is full"));
  assertEquals(await deadline(outcome, "the outcome"), "failed");
  assertEquals(errors, ["Error: The disk is full"]);
});

Deno.test("record() passes a custom log plain messages, whose json is already data", async () => {
  const seen: unknown[] = [];
  const log = customLog({
    append(...messages) {
      seen.push(...messages.map((it) => ({ ...it })));
      return Promise.resolve("1");
    },
  });
  const sse = readSse(sseResponse([{ event: "a", id: "7", data: "1" }]));
  async function* source() {
    yield* sse;
    yield { json: { b: 2 }, id: "8" };
  }
  assertEquals(await record(log, source()), "complete");
  const fields = { retry: undefined, comment: undefined };
  assertEquals(seen, [
    { event: "a", data: "1", ...fields },
    { event: undefined, data: '{"b":2}', ...fields },
  ]);
});

Deno.test("record() lets timers run if its source never waits", async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort());
  function* source() {
    for (let n = 0; n < 100_000; n++) yield { data: "1" };
  }
  const { signal } = stop;
  const outcome = await record(new MemoryEventLog(), source(), { signal });
  assertEquals(outcome, "stopped");
});

Deno.test("record() with keepAlive renews the log only while it is recording", async () => {
  using time = new FakeTime();
  let renewals = 0;
  const log = Object.assign(customLog({}), {
    [EXTRAS]: {
      touch() {
        renewals++;
        return Promise.reject(new Error("The connection was lost"));
      },
      appendSafely: () => Promise.resolve(),
    },
  });
  const source = new Source();
  const outcome = record(log, source, { keepAlive: 10 });
  for (let i = 0; i < 3; i++) {
    await time.tickAsync(10);
    await time.runMicrotasks();
  }
  assertEquals(renewals, 3);
  source.end();
  assertEquals(await outcome, "complete");
  await time.runMicrotasks();
  assertEquals(renewals, 3);
  // False if there is no timer.
  assertEquals(time.next(), false);
});

Deno.test("record() with keepAlive works with a custom log, which it cannot renew", async () => {
  using time = new FakeTime();
  const source = new Source();
  const outcome = record(customLog({}), source, { keepAlive: 10 });
  for (let i = 0; i < 3; i++) await time.tickAsync(10);
  source.end();
  assertEquals(await outcome, "complete");
});

Deno.test("record() sets no timer without keepAlive", async () => {
  using time = new FakeTime();
  const source = new Source();
  const outcome = record(new MemoryEventLog(), source);
  await source.pending;
  assertEquals(time.next(), false);
  source.end();
  assertEquals(await outcome, "complete");
});
