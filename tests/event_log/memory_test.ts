import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  ServerSentEvent,
  SseEncoderStream,
  type SseMessage,
  sseResponse,
} from "../../mod.ts";
import {
  type EventLog,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
  MemoryEventLog,
  resume,
  type ResumeOptions,
} from "../../src/event_log/mod.ts";
import { subscribe } from "../../src/write/subscription.ts";
import { deadline } from "../support/deadline.ts";
import { heldBytes } from "../support/garbage.ts";
import { Source } from "../support/message_source.ts";
import {
  appendAll,
  numbers,
  readAll,
  Reader,
  requestAfter,
  testContract,
} from "./contract.ts";
import { customLog } from "./custom_log.ts";
import { RecordingSink } from "../support/recording_sink.ts";

testContract({
  name: "MemoryEventLog",
  steps: 10_000,
  open() {
    const logs = new Map<string, MemoryEventLog>();
    return {
      shared: false,
      slack: 0,
      log(name = "log", maxMessages) {
        const log = logs.get(name) ?? new MemoryEventLog({ maxMessages });
        logs.set(name, log);
        return log;
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});

Deno.test("MemoryEventLog keeps at most maxMessages and maxBytes, but always the newest message", async () => {
  const data = async (log: MemoryEventLog) => {
    await log.end();
    return (await readAll(log.read(""))).map(({ data }) => data);
  };
  const few = new MemoryEventLog({ maxMessages: 2 });
  await appendAll(few, ["1", "2", "3"]);
  assertEquals(await data(few), ["2", "3"]);

  // An ID has 16 characters, so that a message has 39 bytes: "id: " + 16 +
  // "\ndata: " + 10 + "\n\n".
  const small = new MemoryEventLog({ maxBytes: 2 * 39 });
  const ids = await appendAll(small, Array(3).fill("0123456789"));
  assertEquals(ids[0].length, 16);
  assertEquals((await data(small)).length, 2);
  const smaller = new MemoryEventLog({ maxBytes: 2 * 39 - 1 });
  await appendAll(smaller, Array(3).fill("0123456789"));
  assertEquals((await data(smaller)).length, 1);

  const tiny = new MemoryEventLog({ maxBytes: 1 });
  const waiting = new Reader(tiny.read(""));
  const first = waiting.data(1);
  await appendAll(tiny, ["1"]);
  assertEquals(await first, ["1"]);
  await appendAll(tiny, ["2"]);
  assertEquals(await data(tiny), ["2"]);
});

Deno.test("MemoryEventLog frees dropped messages though nobody reads, and readers that have returned", async () => {
  const log = new MemoryEventLog({ maxMessages: 10 });
  await log.append({ data: "x" });
  const before = heldBytes();
  for (let i = 0; i < 20_000; i++) await log.append({ data: "x" });
  // 20,000 messages would take 8 MB.
  assertLess(heldBytes() - before, 1_000_000);
  for (let i = 0; i < 10_000; i++) {
    const reader = log.read()[Symbol.asyncIterator]();
    const next = reader.next();
    await reader.return!();
    await next;
  }
  // 10,000 readers would take 5 MB.
  assertLess(heldBytes() - before, 1_000_000);
  // The log is still in use, and so not garbage.
  await log.append({ data: "x" });
});

Deno.test("MemoryEventLog does not know the ID of a message that is yet to come", async () => {
  const log = new MemoryEventLog();
  const id = await log.append({ data: "1" });
  const next = id.replace(/\d+$/, (number) => String(Number(number) + 1));
  const reader = new Reader(log.read(next));
  await assertRejects(() => reader.next(), EventLogGapError);
  assertEquals(await log.append({ data: "2" }), next);
});

Deno.test("MemoryEventLog.append() encodes a message once", async () => {
  const log = new MemoryEventLog();
  let encoded = 0;
  const { isWellFormed } = String.prototype;
  String.prototype.isWellFormed = function () {
    encoded++;
    return isWellFormed.call(this);
  };
  try {
    await log.append({ data: "1" });
  } finally {
    String.prototype.isWellFormed = isWellFormed;
  }
  assertEquals(encoded, 1);
});

Deno.test("MemoryEventLog drops messages older than maxAge", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog({ maxAge: 1000 });
  const [first] = await appendAll(log, ["1"]);
  time.tick(600);
  await appendAll(log, ["2"]);
  time.tick(400);
  assertEquals(await new Reader(log.read("")).data(2), ["1", "2"]);
  time.tick(1);
  assertEquals(await new Reader(log.read("")).data(1), ["2"]);
  const old = new Reader(log.read(first));
  // The message itself is dropped, but none that followed it.
  assertEquals(await old.data(1), ["2"]);
  time.tick(1000);
  await assertRejects(
    () => new Reader(log.read(first)).next(),
    EventLogGapError,
  );
  const { lastId } = await log.status();
  const following = new Reader(log.read(lastId));
  const next = following.data(1);
  await appendAll(log, ["3"]);
  assertEquals(await next, ["3"]);
});

/** A clock that can be set back, which `FakeTime` refuses. */
function fakeClock() {
  const { now } = Date;
  const clock = {
    time: 1_000_000_000,
    [Symbol.dispose]() {
      Date.now = now;
    },
  };
  Date.now = () => clock.time;
  return clock;
}

Deno.test("MemoryEventLog keeps messages for maxAge after the clock was set back", async () => {
  using clock = fakeClock();
  const log = new MemoryEventLog({ maxAge: 1000 });
  await appendAll(log, ["1", "2"]);
  clock.time += 500;
  await appendAll(log, ["3"]);
  clock.time -= 3_600_000;
  await appendAll(log, ["4"]);
  clock.time += 500;
  await appendAll(log, ["5"]);
  const all = new Reader(log.read(""));
  assertEquals(await all.data(5), ["1", "2", "3", "4", "5"]);
  clock.time += 1;
  assertEquals(await new Reader(log.read("")).data(3), ["3", "4", "5"]);
  clock.time += 500;
  assertEquals(await new Reader(log.read("")).data(1), ["5"]);
});

Deno.test("MemoryEventLog becomes idle after the clock was set back", async () => {
  using clock = fakeClock();
  const log = new MemoryEventLog();
  await log.append({ data: "1" });
  clock.time -= 3_600_000;
  assertEquals((await log.status()).idle, 0);
  clock.time += 1000;
  assertEquals((await log.status()).idle, 1000);
});

Deno.test("MemoryEventLog reports a gap if a reader's next message is older than maxAge", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog({ maxAge: 1000 });
  await appendAll(log, ["1", "2"]);
  const reader = new Reader(log.read(""));
  assertEquals(await reader.data(1), ["1"]);
  time.tick(1001);
  await assertRejects(() => reader.next(), EventLogGapError);
});

Deno.test("MemoryEventLog resolves pending next() calls in order while another reader catches up", async () => {
  const log = new MemoryEventLog();
  await appendAll(log, ["1", "2"]);
  const ahead = new Reader(log.read(""));
  await ahead.data(2);
  const behind = new Reader(log.read(""));
  await behind.data(1);
  const waiting = [ahead.data(1), ahead.data(1)];
  await appendAll(log, ["3", "4", "5"]);
  assertEquals(await Promise.all(waiting), [["3"], ["4"]]);
  assertEquals(await behind.data(4), ["2", "3", "4", "5"]);
  assertEquals(await ahead.data(1), ["5"]);
});

Deno.test("resume() sends a gap event and continues if the client of its response is slow", async () => {
  const log = new MemoryEventLog({ maxMessages: 5 });
  const request = new Request("http://localhost/");
  const reader = sseResponse(resume(log, request)).body!.getReader();
  const chunk = async () => {
    const { value } = await deadline(reader.read(), "a chunk");
    return new TextDecoder().decode(value).match(/^(?:event|data): (.*)$/m)![1];
  };
  let next = chunk();
  await appendAll(log, ["1"]);
  assertEquals(await next, "1");
  // The stream buffers at most one message. The others stay in the log.
  await appendAll(log, ["2", "3", "4"]);
  for (const data of ["2", "3", "4"]) assertEquals(await chunk(), data);
  next = chunk();
  await appendAll(log, ["5", "6", "7", "8", "9", "10", "11", "12"]);
  const data = [await next];
  while (data.at(-1) !== "12") data.push(await chunk());
  assertEquals(data, ["5", "6", "gap", "8", "9", "10", "11", "12"]);
  await reader.cancel();
});

Deno.test("a queued heartbeat does not block messages if the client is slow", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  const reader = sseResponse(log.read(""), { heartbeat: 100 }).body!
    .getReader();
  await reader.read(); // The first heartbeat.
  const first = reader.read();
  await time.runMicrotasks();
  await log.append({ data: "1" });
  await first;
  // While the client does not read, only one comment is queued.
  await time.tickAsync(100);
  await time.tickAsync(100);
  await log.append({ data: "2" });
  await log.append({ data: "3" });
  const chunks: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { value } = await reader.read();
    chunks.push(new TextDecoder().decode(value).split("\n").at(-3) ?? ":");
  }
  assertEquals(chunks, [":", "data: 2", "data: 3"]);
  await reader.cancel();
});

Deno.test("MemoryEventLog removes its listeners from the signal when a reader returns", async () => {
  const log = new MemoryEventLog();
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (
    ...args: Parameters<typeof removeEventListener>
  ) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  for (let i = 0; i < 10; i++) {
    const reader = new Reader(log.read("", { signal }));
    const next = reader.next();
    await reader.return();
    await next;
    const resumed = new Reader(
      resume(log, new Request("http://localhost/"), { signal }),
    );
    const message = resumed.next();
    await resumed.return();
    await message;
  }
  assertEquals(listeners, 0);
});

Deno.test("resume() works with a custom EventLog", async () => {
  const memory = new MemoryEventLog();
  const { signal } = new AbortController();
  const returned: string[] = [];
  const log: EventLog = {
    append: (message) => memory.append(message),
    end: () => memory.end(),
    status: () => memory.status(),
    async *read(after, options) {
      assert(options?.signal instanceof AbortSignal);
      try {
        yield* memory.read(after, options);
      } finally {
        returned.push(after ?? "now");
      }
    },
  };
  const ids = await appendAll(log, ["1", "2"]);
  const request = (id: string) =>
    new Request("http://localhost/", { headers: { "Last-Event-ID": id } });
  const text = sseResponse(resume(log, request(ids[0]), { signal })).text();
  await log.append({ data: "3" });
  const gap = new Reader(resume(log, request("unknown"), { signal }));
  const [{ event }] = await gap.take(1);
  assertEquals(event, "gap");
  assertEquals(await gap.data(3), ["1", "2", "3"]);
  await gap.return();
  const throwing = new Reader(resume(log, request("unknown"), {
    signal,
    snapshot(gap) {
      throw gap;
    },
  }));
  await assertRejects(() => throwing.next(), EventLogGapError);
  await log.end();
  assertEquals((await text).match(/^data: .$/gm), ["data: 2", "data: 3"]);
  assertEquals(returned.includes(ids[0]), true);
});

Deno.test("resume() does not call read() again after its reader has returned", async () => {
  const memory = new MemoryEventLog();
  let reads = 0;
  const gap = Promise.withResolvers<undefined>();
  const status = Promise.withResolvers<EventLogStatus>();
  const log: EventLog = {
    append: (message) => memory.append(message),
    end: () => memory.end(),
    status: () => status.promise,
    read(after, options) {
      reads++;
      return memory.read(after, options);
    },
  };
  const request = (id: string) => new Request(`http://x/?lastEventId=${id}`);
  const missing = new Reader(
    resume(log, request("unknown"), { snapshot: () => gap.promise }),
  );
  const starting = new Reader(resume(log, request(""), { from: "now" }));
  for (const reader of [missing, starting]) {
    const next = reader.assertEnd();
    await new Promise((resolve) => setTimeout(resolve));
    await reader.return();
    await next;
  }
  gap.resolve(undefined);
  status.resolve({ lastId: "", ended: false, idle: 0 });
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(reads, 1);
});

Deno.test('resume() with from "now" rejects with the error of status()', async () => {
  const log: EventLog = Object.assign(new MemoryEventLog(), {
    status: () => Promise.reject(new Error("No status")),
  });
  const request = new Request("http://localhost/");
  const reader = new Reader(resume(log, request, { from: "now" }));
  await assertRejects(() => reader.next(), Error, "No status");
  const left = new Reader(resume(log, request, { from: "now" }));
  await left.return();
  await left.assertEnd();
});

Deno.test("resume() continues after a gap that a custom log throws at the call, also that of another copy of the module", async () => {
  const memory = new MemoryEventLog();
  await memory.append({ data: "1" });
  const log: EventLog = Object.assign(new MemoryEventLog(), {
    read(after: string) {
      if (after !== "unknown") return memory.read("");
      throw Object.assign(new Error("A gap"), {
        name: "EventLogGapError",
        after,
        resumeAfter: "0",
      });
    },
  });
  const request = new Request("http://x/?lastEventId=unknown");
  const reader = new Reader(resume(log, request));
  assertEquals(await reader.take(1), [{ event: "gap", data: "", id: "0" }]);
  assertEquals(await reader.data(1), ["1"]);
  await reader.return();
});

Deno.test("resume() gives up on a log that answers only with gaps", async () => {
  let reads = 0;
  const log: EventLog = Object.assign(new MemoryEventLog(), {
    read(after: string) {
      reads++;
      throw new EventLogGapError(after, "0");
    },
  });
  const request = new Request("http://x/?lastEventId=unknown");
  const messages = resume(log, request)[Symbol.asyncIterator]();
  await assertRejects(async () => {
    while (true) await messages.next();
  }, EventLogGapError);
  assertEquals(reads, 11);
});

Deno.test("resume() sends one gap event to a client that is slower than the log", async () => {
  const log = new MemoryEventLog({ maxMessages: 2 });
  const ids = await appendAll(log, numbers(1, 5));
  const reader = new Reader(resume(log, requestAfter(ids[0])));
  const seen: string[] = [];
  for (let i = 6; i < 20; i++) {
    const [{ event, data }] = await reader.take(1);
    seen.push(event ?? data!);
    // More is deleted while the client takes the message.
    await appendAll(log, numbers(3 * i, 3 * i + 2));
  }
  await reader.return();
  assertEquals(seen.slice(0, 4), ["gap", "19", "gap", "25"]);
  assertEquals(seen.filter((it) => it === "gap").length, 7);
});

Deno.test("resume() ends at once if its client leaves while a custom log waits", async () => {
  const left = Promise.withResolvers<void>();
  const log: EventLog = Object.assign(new MemoryEventLog(), {
    async *read(_after?: string, options?: EventLogReadOptions) {
      yield { data: "1" };
      options?.signal?.addEventListener("abort", () => left.resolve());
      await left.promise;
    },
  });
  const request = new Request("http://localhost/");
  const reader = sseResponse(resume(log, request)).body!.getReader();
  await deadline(reader.read(), "a message");
  await deadline(reader.cancel(), "the response to be canceled");
  await deadline(left.promise, "the log to be left");
});

Deno.test("resume() closes the reader of a custom log that ignores its signal", async () => {
  const source = new Source({ data: "1" });
  const log = customLog({ read: () => source });
  const reader = new Reader(resume(log, new Request("http://localhost/")));
  assertEquals(await reader.data(1), ["1"]);
  const end = reader.assertEnd();
  await source.pending;
  await reader.return();
  await end;
  await source.returned;
  assertEquals(source.returnCalls, 1);
});

Deno.test("resume() ends though status() of a custom log fails at the end", async () => {
  const log = customLog({
    status: () => Promise.reject(new Error("No status")),
  });
  await log.append({ data: "1" });
  await log.end();
  const all = await readAll(resume(log, new Request("http://localhost/")));
  assertEquals(all.map(({ data }) => data), ["1"]);
});

Deno.test("resume() rejects with what a custom log throws, also with undefined", async () => {
  for (const reason of [undefined, null, "gone"]) {
    const log = customLog({
      read() {
        throw reason;
      },
    });
    const reader = new Reader(resume(log, new Request("http://localhost/")));
    const error = await reader.next().catch((error) => ({ error }));
    assertEquals(error, { error: reason });
    await reader.assertEnd();
  }
});

Deno.test('resume() with from "now" calls status() only for a client without an ID', async () => {
  let calls = 0;
  const log = customLog({
    status() {
      calls++;
      return Promise.resolve({ lastId: "0", ended: false, idle: 0 });
    },
  });
  for (const [id, expected] of [["7", 0], ["", 1]] as const) {
    const request = new Request(`http://localhost/?lastEventId=${id}`);
    const reader = new Reader(resume(log, request, { from: "now" }));
    await reader.take(1);
    await reader.return();
    assertEquals(calls, expected);
  }
});

Deno.test("a subscription to resume() calls no method of its sink if a snapshot is late or fails after cancel()", async () => {
  for (const isLate of [true, false]) {
    const log = new MemoryEventLog();
    const id = await log.append({ data: "1" });
    const snapshot = Promise.withResolvers<SseMessage & { id: string }>();
    const messages = resume(log, new Request("http://localhost/"), {
      snapshot: () => snapshot.promise,
    });
    const sink = new RecordingSink();
    const subscription = subscribe(messages, sink);
    subscription.pull();
    await subscription.cancel();
    if (isLate) snapshot.resolve({ id, data: "late" });
    else snapshot.reject(new Error("late"));
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(sink.calls, []);
  }
});

Deno.test("MemoryEventLog and resume() throw if an argument is invalid", () => {
  for (const name of ["maxMessages", "maxBytes", "maxAge"]) {
    for (const value of [0, -1, NaN, "1"]) {
      assertThrows(
        () => new MemoryEventLog({ [name]: value }),
        RangeError,
        `Expected ${name} `,
      );
    }
    new MemoryEventLog({ [name]: undefined });
    new MemoryEventLog({ [name]: Infinity });
  }
  const log = new MemoryEventLog();
  const request = new Request("http://localhost/");
  for (const name of ["snapshot", "onIdle"]) {
    const options: ResumeOptions = { [name]: 1 };
    assertThrows(() => resume(log, request, options), TypeError, name);
  }
  const from = { from: "end" } as unknown as ResumeOptions;
  assertThrows(() => resume(log, request, from), TypeError, "from");
  for (const none of [undefined, null, {}] as unknown as EventLog[]) {
    assertThrows(() => resume(none, request), TypeError, "an event log");
  }
});

Deno.test("no heartbeat is sent while the messages of a log arrive within its interval", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  const reader = sseResponse(log.read(""), { heartbeat: 100 }).body!
    .getReader();
  const chunks: string[] = [];
  const reading = (async () => {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      chunks.push(new TextDecoder().decode(value).split("\n").at(-3) ?? ":");
    }
  })();
  for (const data of ["1", "2", "3"]) {
    await time.tickAsync(60);
    await log.append({ data });
    await time.runMicrotasks();
  }
  await time.tickAsync(99);
  await time.runMicrotasks();
  // The first heartbeat is written with the head.
  assertEquals(chunks, [":", "data: 1", "data: 2", "data: 3"]);
  await time.tickAsync(1);
  await time.runMicrotasks();
  assertEquals(chunks.at(-1), ":");
  await log.end();
  await reading;
});

Deno.test("no heartbeat is sent if a message arrives in the same millisecond", async () => {
  using time = new FakeTime();
  const log = new MemoryEventLog();
  // Before the timer of the heartbeat, so that it runs first.
  setTimeout(() => log.append({ data: "1" }).then(() => log.end()), 100);
  const text = sseResponse(log.read(""), { heartbeat: 100 }).text();
  await time.tickAsync(100);
  assertEquals((await text).match(/^(?:data: 1|:)$/gm), [":", "data: 1"]);
});

Deno.test("sseResponse() and SseEncoderStream write an event's ID again after a log's message", async () => {
  const log = new MemoryEventLog();
  const id = await log.append({ data: "b" });
  await log.end();
  const event = new ServerSentEvent({ id: "1", data: "a" });
  async function* both() {
    yield event;
    yield* log.read("");
    yield event;
    yield event;
  }
  const expected = `id: 1\ndata: a\n\nid: ${id}\ndata: b\n\n` +
    "id: 1\ndata: a\n\ndata: a\n\n";
  assertEquals(await sseResponse(both()).text(), expected);
  const body = ReadableStream.from(both()).pipeThrough(new SseEncoderStream());
  assertEquals(await new Response(body).text(), expected);
});
