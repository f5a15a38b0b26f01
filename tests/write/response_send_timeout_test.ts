/** Tests the option `sendTimeout` of `sseResponse`. */
import {
  assert,
  assertEquals,
  assertIsError,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type SseMessage, sseResponse } from "../../mod.ts";
import { MemoryEventLog } from "../../src/event_log/mod.ts";
import { collectErrors } from "../support/collect_errors.ts";
import { deadline } from "../support/deadline.ts";
import { Source } from "../support/message_source.ts";
import { settled } from "../support/settled.ts";

const MESSAGE = "Expected the client to read within 100 ms";

for (const sendTimeout of [0, -1, NaN, "1" as unknown as number]) {
  Deno.test(`sseResponse throws if sendTimeout is ${sendTimeout}`, () => {
    assertThrows(
      () => sseResponse([], { sendTimeout }),
      RangeError,
      "Expected sendTimeout to be a number from 1",
    );
  });
}

Deno.test("sendTimeout errors the body, closes the source and aborts the function's signal", async () => {
  using time = new FakeTime();
  const source = new Source({ data: "1" }, { data: "2" });
  let signal: AbortSignal | undefined;
  const response = sseResponse((it) => {
    signal = it;
    return source;
  }, { sendTimeout: 100 });
  const reader = response.body!.getReader();
  await reader.read();
  await time.tickAsync(99);
  assertEquals(signal?.aborted, false);
  await time.tickAsync(1);
  const error = await assertRejects(() => reader.read(), Error, MESSAGE);
  assertStrictEquals(signal?.reason, error);
  assertEquals(source.returnCalls, 1);
});

Deno.test("sendTimeout begins anew with each message that the client reads", async () => {
  using time = new FakeTime();
  const source = new Source({ data: "1" }, { data: "2" }, { data: "3" });
  const reader = sseResponse(source, { sendTimeout: 100 }).body!.getReader();
  for (let i = 0; i < 3; i++) {
    assert(!(await reader.read()).done);
    await time.tickAsync(99);
  }
  await reader.cancel();
});

Deno.test("sendTimeout does not limit the time until the first read, or until a message", async () => {
  using time = new FakeTime();
  const source = new Source();
  const reader = sseResponse(source, { sendTimeout: 100, heartbeat: 70 })
    .body!.getReader();
  await time.tickAsync(1000);
  const text: string[] = [];
  const reading = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text.push(new TextDecoder().decode(value));
    }
  })();
  for (let i = 0; i < 70; i++) await time.tickAsync(10);
  source.send({ data: "1" });
  await time.tickAsync(1);
  source.end();
  await reading;
  assertEquals(text, [...Array(11).fill(":\n"), "data: 1\n\n"]);
});

Deno.test("sendTimeout notices a client that does not read a heartbeat", async () => {
  using time = new FakeTime();
  const source = new Source();
  const reader = sseResponse(source, { sendTimeout: 100, heartbeat: 10 })
    .body!.getReader();
  await reader.read(); // The first heartbeat.
  const read = reader.read();
  await time.tickAsync(10);
  await read;
  await time.tickAsync(50);
  // A message that arrives in the meantime does not start the time anew.
  source.send({ data: "1" });
  await time.tickAsync(50);
  assertEquals(source.returnCalls, 1);
  await assertRejects(() => reader.read(), Error, MESSAGE);
});

Deno.test("sendTimeout notices a client that stops to read a log", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  await log.append({ data: "1" });
  await log.append({ data: "2" });
  const reader = sseResponse(log.read(""), { sendTimeout: 100 })
    .body!.getReader();
  await reader.read();
  await time.tickAsync(100);
  await assertRejects(() => reader.read(), Error, MESSAGE);
});

Deno.test("sendTimeout and heartbeat start no timer while a message is appended", async () => {
  const log = new MemoryEventLog();
  const init = { sendTimeout: 60_000, heartbeat: 60_000 };
  const reader = sseResponse(log.read(""), init).body!.getReader();
  await reader.read(); // The first heartbeat.
  const read = reader.read();
  await settled();
  // In a Worker, the timer would belong to the request that appends.
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (() => {
    throw new Error("A timer was started");
  }) as unknown as typeof setTimeout;
  const appended = log.append({ data: "1" });
  globalThis.setTimeout = setTimeout;
  await appended;
  await read;
  await reader.cancel();
});

Deno.test("sendTimeout does not fail a client that reads a heartbeat, and then a queued message", async () => {
  using time = new FakeTime();
  const source = new Source();
  const reader = sseResponse(source, { sendTimeout: 100, heartbeat: 100 })
    .body!.getReader();
  await reader.read(); // The first heartbeat.
  const beat = reader.read();
  await source.pending;
  await time.tickAsync(100);
  await beat;
  await time.tickAsync(50);
  source.send({ data: "1" });
  await time.runMicrotasks();
  await reader.read();
  const last = reader.read();
  await time.tickAsync(99);
  source.send({ data: "2" });
  const { value } = await last;
  assertEquals(new TextDecoder().decode(value), "data: 2\n\n");
  await reader.cancel();
});

Deno.test("sendTimeout leaves no timer when the client waits, leaves, or has got everything", async () => {
  // In real time, so that the test fails if a timer is left.
  for (const finish of ["wait", "leave", "end", "abort"]) {
    const stop = new AbortController();
    const source = new Source({ data: "1" });
    const init = { sendTimeout: 60_000, signal: stop.signal };
    const reader = sseResponse(source, init).body!.getReader();
    await reader.read();
    if (finish === "leave") await reader.cancel();
    else if (finish === "abort") stop.abort();
    else {
      const last = reader.read();
      await source.pending;
      if (finish === "end") source.end();
      else await reader.cancel();
      await last;
    }
  }
});

Deno.test("sendTimeout closes the source of a client that stops reading from Deno.serve", async () => {
  const closed = Promise.withResolvers<unknown>();
  await using server = collectErrors(() =>
    sseResponse(async function* (signal): AsyncGenerator<SseMessage> {
      try {
        for (;;) yield { data: "x".repeat(64 * 1024) };
      } finally {
        closed.resolve(signal.reason);
      }
    }, { sendTimeout: 100 })
  );
  const { hostname, port } = new URL(server.url);
  using client = await Deno.connect({ hostname, port: Number(port) });
  await client.write(
    new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
  );
  const reason = await deadline(closed.promise, "the source to be closed");
  assertIsError(reason, Error, MESSAGE);
});
