/** The contract that every event log must fulfill, whatever its storage. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  readSse,
  ServerSentEvent,
  type SseMessage,
  sseResponse,
} from "../../mod.ts";
import {
  type EventLog,
  EventLogGapError,
  EventLogIdleError,
  type EventLogReadOptions,
  record,
  resume,
} from "../../src/event_log/mod.ts";
import { subscribe } from "../../src/write/subscription.ts";
import { deadline } from "../support/deadline.ts";
import { countListeners } from "../support/listeners.ts";
import { randomWalk } from "./random_walk.ts";
import { RecordingSink } from "../support/recording_sink.ts";

export interface Kind {
  name: string;
  /** The reason why its tests cannot run here. */
  notRun?: string;
  /** The number of steps of the random walk. */
  steps: number;
  /** Whether the client of its storage leaves timers or sockets behind. */
  leaks?: boolean;
  /** Opens separate storage for logs, which is deleted when it is disposed. */
  open(): Promise<LogStorage> | LogStorage;
}

export interface LogStorage extends AsyncDisposable {
  /**
   * Returns a log with this name. If the storage is outside of this process, a
   * second call with the same name returns a new object, as another process
   * would have it.
   */
  log(name?: string, maxMessages?: number): EventLog;
  /** Whether messages appended to one object can be read from another. */
  shared: boolean;
  /** The number of messages that may be kept beyond `maxMessages`. */
  slack: number;
}

/**
 * A reader whose calls reject with a descriptive error if no message arrives.
 */
export class Reader {
  readonly #iterator: AsyncIterator<SseMessage>;
  constructor(messages: AsyncIterable<SseMessage>) {
    this.#iterator = messages[Symbol.asyncIterator]();
  }
  next() {
    return deadline(Promise.resolve(this.#iterator.next()), "a message");
  }
  async take(count: number): Promise<SseMessage[]> {
    const messages: SseMessage[] = [];
    while (messages.length < count) {
      const { done, value } = await this.next();
      assert(!done, `The log ended after ${messages.length} of ${count}`);
      messages.push(value);
    }
    return messages;
  }
  async data(count: number): Promise<(string | undefined)[]> {
    return (await this.take(count)).map(({ data }) => data);
  }
  async assertEnd(): Promise<void> {
    assertEquals((await this.next()).done, true);
  }
  return() {
    return deadline(this.#iterator.return!(), "the reader to return");
  }
}

export async function readAll(messages: AsyncIterable<SseMessage>) {
  return await deadline(Array.fromAsync(messages), "all messages");
}

/** Returns the data of all messages. */
async function data(messages: AsyncIterable<SseMessage>) {
  return (await readAll(messages)).map(({ data }) => data);
}

/** A source that gives one message, and is silent from then on. */
class SilentSource {
  readonly #closed = Promise.withResolvers<void>();
  #count = 0;
  closed = this.#closed.promise;

  [Symbol.asyncIterator]() {
    return this;
  }
  next(): Promise<IteratorResult<SseMessage>> {
    if (this.#count++ > 0) return new Promise(() => {});
    return Promise.resolve({ done: false, value: { data: "1" } });
  }
  return(): Promise<IteratorResult<SseMessage>> {
    this.#closed.resolve();
    return Promise.resolve({ done: true, value: undefined });
  }
}

export async function appendAll(log: EventLog, data: string[]) {
  const ids: string[] = [];
  for (const it of data) ids.push(await log.append({ data: it }));
  return ids;
}

export function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
}

export function requestAfter(id: string): Request {
  const headers = new Headers();
  // IDs contain only characters that are valid in a header.
  if (id !== "") headers.set("Last-Event-ID", id);
  return new Request("http://localhost/", { headers });
}

export function testContract(kind: Kind): void {
  const test = (
    behavior: string,
    run: (storage: LogStorage) => Promise<void>,
  ) =>
    Deno.test({
      name: `${kind.name}: ${behavior}`,
      ignore: kind.notRun !== undefined,
      sanitizeOps: !kind.leaks,
      sanitizeResources: !kind.leaks,
      async fn() {
        await using storage = await kind.open();
        await run(storage);
      },
    });

  test("read() replays from the start, the middle and the end, then follows", async (storage) => {
    const log = storage.log();
    const ids = await appendAll(log, numbers(1, 5));
    assertEquals(new Set(ids).size, 5);
    const readers = ["", ids[2], ids[4]].map((id) => new Reader(log.read(id)));
    assertEquals(await readers[0].data(5), numbers(1, 5));
    assertEquals(await readers[1].data(2), ["4", "5"]);
    const following = readers.map((reader) => reader.data(2));
    const more = await appendAll(log, ["6", "7"]);
    for (const data of following) assertEquals(await data, ["6", "7"]);
    await log.end();
    for (const reader of readers) await reader.assertEnd();
    const all = await readAll(log.read(""));
    assertEquals(all.map(({ id }) => id), [...ids, ...more]);
  });

  test("read() without an ID delivers only new messages", async (storage) => {
    const log = storage.log();
    await log.append({ data: "before" });
    const reader = new Reader(log.read());
    await log.status();
    const data = reader.data(1);
    await log.append({ data: "after" });
    assertEquals(await data, ["after"]);
    await reader.return();
  });

  test("read() delivers the first message of an empty log", async (storage) => {
    const log = storage.log();
    const readers = [new Reader(log.read("")), new Reader(log.read())];
    const first = readers.map((reader) => reader.take(1));
    await log.status();
    const id = await log.append({ data: "1" });
    for (const [message] of await Promise.all(first)) {
      assertEquals(message, { data: "1", id });
    }
    for (const reader of readers) await reader.return();
  });

  test("read() continues after the lastId of status()", async (storage) => {
    const log = storage.log();
    const empty = await log.status();
    assertEquals(empty.ended, false);
    const first = await log.append({ data: "1" });
    const { lastId, ended, idle } = await log.status();
    assertEquals([lastId, ended, idle < 60_000], [first, false, true]);
    await log.append({ data: "2" });
    await log.end();
    assertEquals((await log.status()).ended, true);
    const after = async (id: string) =>
      (await readAll(log.read(id))).map(({ data }) => data);
    assertEquals(await after(empty.lastId), ["1", "2"]);
    assertEquals(await after(first), ["2"]);
    assertEquals(await after((await log.status()).lastId), []);
  });

  test("append() stores every field and assigns an ID", async (storage) => {
    const log = storage.log();
    const messages: SseMessage[] = [
      { data: "" },
      { data: "a\r\nb\rc\n", event: "message" },
      { data: " ☃🎉\0\uFEFF", event: " e ", retry: 0, comment: "x\ny" },
      { event: "alone" },
      { retry: 5 },
      { data: "x".repeat(200_000) + "☃".repeat(50_000) },
    ];
    const ids: string[] = [];
    for (const message of messages) ids.push(await log.append(message));
    ids.push(await log.append({ json: { a: [1, "☃"] }, id: "not this one" }));
    ids.push(
      await log.append(
        new ServerSentEvent({ event: "e", data: "read", id: "7", retry: 1 }),
      ),
    );
    await log.end();
    assertEquals(
      await readAll(log.read("")),
      [
        ...messages,
        { data: '{"a":[1,"☃"]}' },
        { event: "e", data: "read", retry: 1 },
      ].map((message, i) => ({ ...message, id: ids[i] })),
    );
  });

  test("all readers get the same frozen message object", async (storage) => {
    const log = storage.log();
    await log.append({ data: "1" });
    const [[first], [second]] = await Promise.all(
      [1, 2].map(() => new Reader(log.read("")).take(1)),
    );
    assert(first === second);
    assertThrows(() => first.data = "2", TypeError);
  });

  test("a message with only a comment is delivered without an ID", async (storage) => {
    const log = storage.log();
    const before = await log.append({ data: "1" });
    const id = await log.append({ comment: "note" });
    const after = await log.append({ data: "2" });
    await log.end();
    assertEquals(await readAll(log.read(before)), [
      { comment: "note" },
      { data: "2", id: after },
    ]);
    assertEquals(await readAll(log.read(id)), [{ data: "2", id: after }]);
    const response = sseResponse(log.read(""));
    assertEquals(
      await response.text(),
      `id: ${before}\ndata: 1\n\n: note\nid: ${after}\ndata: 2\n\n`,
    );
  });

  test("append(), read() and resume() throw if an argument is invalid", async (storage) => {
    const log = storage.log();
    const wrong: unknown[] = [
      {},
      { id: "7" },
      { event: "" },
      { event: "a\nb", data: "x" },
      { data: 5 },
      { data: "x", json: 1 },
      { data: "\uD83C" },
      { retry: -1 },
      null,
      "data: x\n\n",
    ];
    for (const message of wrong) {
      await assertRejects(() => log.append(message as SseMessage), TypeError);
    }
    const id = await log.append({ data: "x" });
    await log.end();
    assertEquals(await readAll(log.read("")), [{ data: "x", id }]);
    assertThrows(() => log.read(5 as unknown as string), TypeError, "after");
    const signal = new AbortController() as unknown as AbortSignal;
    assertThrows(() => log.read("", { signal }), TypeError, "signal");
    assertThrows(
      () => resume(log, requestAfter(""), { signal }),
      TypeError,
      "signal",
    );
    for (const follow of [null, 0, "no"]) {
      const options = { follow } as unknown as EventLogReadOptions;
      assertThrows(() => log.read("", options), TypeError, "follow");
      assertThrows(
        () => resume(log, requestAfter(""), options),
        TypeError,
        "follow",
      );
    }
  });

  test("append() ignores unknown properties, reads getters and serializes json once", async (storage) => {
    const log = storage.log();
    const circular: Record<string, unknown> = { data: "1", large: 1n };
    circular.itself = circular;
    const ids = [await log.append(circular)];
    let calls = 0;
    const json = { toJSON: () => ++calls + 1 };
    ids.push(await log.append({ json }));
    class Lazy {
      get data() {
        return "3";
      }
    }
    ids.push(await log.append(new Lazy()));
    await log.end();
    assertEquals(calls, 1);
    assertEquals(
      await readAll(log.read("")),
      ids.map((id, i) => ({ data: `${i + 1}`, id })),
    );
  });

  test("append() keeps a retry field that was received in a block before the event", async (storage) => {
    const log = storage.log();
    const body = new Response("retry: 7\n\ndata: 1\n\ndata: 2\n\n").body!;
    for await (const event of readSse(body)) await log.append(event);
    await log.end();
    const all = await readAll(log.read(""));
    assertEquals(all.map(({ data, retry }) => [data, retry]), [
      ["1", 7],
      ["2", undefined],
    ]);
  });

  test("end() ends all readers, and append() rejects after it", async (storage) => {
    const log = storage.log();
    await log.append({ data: "1" });
    const waiting = new Reader(log.read(""));
    await waiting.take(1);
    const end = waiting.assertEnd();
    await log.end();
    await end;
    await log.end();
    await assertRejects(() => log.append({ data: "2" }), Error, "has ended");
    if (storage.shared) {
      const other = storage.log();
      await assertRejects(() => other.append({ data: "2" }), Error, "ended");
      await other.end();
      assertEquals((await readAll(other.read(""))).length, 1);
    }
    assertEquals((await readAll(log.read(""))).length, 1);
    assertEquals(await readAll(log.read()), []);
  });

  test("end() ends a log without messages", async (storage) => {
    const log = storage.log();
    const waiting = new Reader(log.read(""));
    const end = waiting.assertEnd();
    await log.end();
    await end;
    const { lastId, ended } = await log.status();
    assertEquals(ended, true);
    for (const after of ["", undefined, lastId]) {
      assertEquals(await readAll(log.read(after)), [], `${after}`);
    }
    // The same for a log that has not been read before its end.
    const other = storage.log("other");
    await other.end();
    const status = await other.status();
    for (const after of ["", undefined, status.lastId]) {
      assertEquals(await readAll(other.read(after)), [], `${after}`);
    }
    assertEquals(
      await readAll(resume(other, requestAfter(""), { from: "now" })),
      [{ id: status.lastId }],
    );
  });

  test("append() keeps the order of overlapping calls", async (storage) => {
    const log = storage.log();
    const data = numbers(1, 50);
    const ids = await Promise.all(data.map((data) => log.append({ data })));
    await log.end();
    assertEquals(
      await readAll(log.read("")),
      data.map((data, i) => ({ data, id: ids[i] })),
    );
  });

  test("a replay loses and repeats nothing while messages are appended", async (storage) => {
    const log = storage.log();
    const readers: Promise<SseMessage[]>[] = [];
    const ids = await appendAll(log, numbers(1, 150));
    const appending = (async () => {
      for (const data of numbers(151, 450)) {
        ids.push(await log.append({ data }));
      }
    })();
    // Starts one reader after another while messages are appended.
    for (let i = 0; i < 40; i++) {
      readers.push(Array.fromAsync(log.read(i % 2 ? "" : ids[i])));
      await new Promise((resolve) => setTimeout(resolve, i % 3));
    }
    await appending;
    await log.end();
    for (const [i, reader] of readers.entries()) {
      const first = i % 2 ? 1 : i + 2;
      assertEquals(
        (await deadline(reader, "all messages")).map(({ data }) => data),
        numbers(first, 450),
        `reader ${i}`,
      );
    }
  });

  test("a reader resolves overlapping next() calls in order", async (storage) => {
    const log = storage.log();
    const iterator = log.read("")[Symbol.asyncIterator]();
    const calls = numbers(1, 4).map(() => iterator.next());
    await appendAll(log, ["1", "2", "3"]);
    await log.end();
    const results = await deadline(Promise.all(calls), "all calls");
    assertEquals(results.map(({ value }) => value?.data), [
      "1",
      "2",
      "3",
      undefined,
    ]);
    assertEquals(results.map(({ done }) => !!done), [
      false,
      false,
      false,
      true,
    ]);
  });

  test("a reader whose first next() is late gets all messages since read()", async (storage) => {
    const log = storage.log("late", 2000);
    await log.append({ data: "0" });
    const ahead = new Reader(log.read(""));
    await ahead.take(1);
    // Another reader follows, and gets further ahead than the messages that are
    // buffered in memory.
    const following = ahead.take(1100);
    const late = new Reader(log.read());
    await log.status();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await Promise.all(numbers(1, 1100).map((data) => log.append({ data })));
    await following;
    const next = ahead.data(1);
    assertEquals(await late.data(1100), numbers(1, 1100));
    const both = late.data(1);
    await log.append({ data: "1101" });
    assertEquals([await next, await both], [["1101"], ["1101"]]);
    await ahead.return();
    await late.return();
  });

  test("a reader can return at any time", async (storage) => {
    const log = storage.log();
    await appendAll(log, ["1", "2"]);
    const unread = new Reader(log.read(""));
    await unread.return();
    await unread.assertEnd();

    const reading = new Reader(log.read(""));
    await reading.take(1);
    await reading.return();
    await reading.assertEnd();

    const waiting = new Reader(log.read(""));
    const others = new Reader(log.read(""));
    await waiting.take(2);
    await others.take(2);
    const end = waiting.assertEnd();
    await waiting.return();
    await end;

    const starting = new Reader(log.read(""));
    const first = starting.next();
    await starting.return();
    await first;

    const data = others.data(1);
    await log.append({ data: "3" });
    assertEquals(await data, ["3"]);
    await others.return();
  });

  test("next() rejects with the signal's reason after an abort", async (storage) => {
    const log = storage.log();
    await log.append({ data: "1" });
    const reason = new Error("enough");
    for (const taken of [0, 1]) {
      const stop = new AbortController();
      const { signal } = stop;
      const reader = new Reader(log.read("", { signal }));
      await reader.take(taken);
      const failure = assertRejects(() => reader.next(), Error, "enough");
      if (taken === 0) stop.abort(reason);
      else setTimeout(() => stop.abort(reason), 5);
      // The first call may have resolved before the abort.
      await failure.catch(() =>
        assertRejects(() => reader.next(), Error, "enough")
      );
      await reader.assertEnd();
      const late = new Reader(log.read("", { signal }));
      await assertRejects(() => late.next(), Error, "enough");
    }
  });

  for (
    const [form, idOf] of [
      ["belongs to no log", () => "7"],
      ["is long and not ASCII", () => "☃-".repeat(10_000)],
      [
        "differs from a valid one in its last character",
        (id: string) => id.slice(0, -1) + (id.endsWith("x") ? "y" : "x"),
      ],
      ["is a valid one with digits appended", (id: string) => id + "0000000"],
      ["contains too large a number", () => "9".repeat(30) + "-1-abcdefgh"],
      ["is a valid one with a fraction appended", (id: string) => id + ".5"],
    ] satisfies [string, (id: string) => string][]
  ) {
    test(`next() rejects with an EventLogGapError if the ID ${form}, and resumeAfter precedes the oldest message`, async (storage) => {
      const log = storage.log();
      const ids = await appendAll(log, ["1", "2"]);
      const after = idOf(ids[1]);
      const reader = new Reader(log.read(after));
      const gap = await assertRejects(() => reader.next(), EventLogGapError);
      assertEquals(gap.after, after);
      await reader.assertEnd();
      const again = new Reader(log.read(gap.resumeAfter));
      assertEquals(await again.data(2), ["1", "2"]);
      await again.return();
    });
  }

  test("next() rejects with an EventLogGapError if the ID belongs to another log", async (storage) => {
    const [log, other] = [storage.log("a"), storage.log("b")];
    const ids = await appendAll(other, ["1", "2", "3"]);
    await appendAll(log, ["1", "2", "3"]);
    for (const id of [...ids, (await other.status()).lastId]) {
      const reader = new Reader(log.read(id));
      await assertRejects(() => reader.next(), EventLogGapError);
    }
  });

  test("next() rejects with an EventLogGapError only if messages after the ID were dropped", async (storage) => {
    const log = storage.log("dropping", 100);
    const ids = await appendAll(log, numbers(1, 150 + 2 * storage.slack));
    await log.end();
    const kept = (await readAll(log.read(""))).map(({ data }) => Number(data));
    const first = kept[0];
    assert(kept.length >= 100 && kept.length <= 100 + storage.slack);
    assertEquals(kept.map(String), numbers(first, ids.length));

    const dropped = new Reader(log.read(ids[first - 3]));
    const gap = await assertRejects(() => dropped.next(), EventLogGapError);
    assertEquals(
      (await readAll(log.read(gap.resumeAfter))).map(({ data }) => data),
      kept.map(String),
    );
    assertEquals(
      (await readAll(log.read(ids[first - 1]))).length,
      kept.length - 1,
    );
  });

  test("next() rejects with an EventLogGapError if a slow reader has missed messages", async (storage) => {
    const log = storage.log("slow", 100);
    await appendAll(log, numbers(1, 10));
    const reader = new Reader(log.read(""));
    const read = await reader.data(3);
    await appendAll(log, numbers(11, 400 + 2 * storage.slack));
    await log.end();
    let error: unknown;
    try {
      while (true) {
        const { done, value } = await reader.next();
        if (done) break;
        read.push(value.data);
      }
    } catch (it) {
      error = it;
    }
    assert(error instanceof EventLogGapError, `${error}`);
    assertEquals(read, numbers(1, read.length));
    await reader.assertEnd();
  });

  test("an EventLogGapError has the ID of the message that the reader has read last", async (storage) => {
    const log = storage.log("behind", 100);
    const { lastId } = await log.status();
    const unread = new Reader(log.read());
    await log.status();
    const first = await log.append({ data: "1" });
    const reader = new Reader(log.read(""));
    await reader.take(1);
    await appendAll(log, numbers(2, 200 + 2 * storage.slack));
    for (
      const [behind, start] of [[unread, lastId], [reader, first]] as const
    ) {
      let lastRead = start;
      // A page that was fetched before the messages were dropped is still read.
      const gap = await assertRejects(async () => {
        while (true) lastRead = (await behind.take(1))[0].id!;
      }, EventLogGapError);
      assertEquals(gap.after, lastRead);
    }
  });

  test("resume() continues after the client's last event ID", async (storage) => {
    const log = storage.log();
    const ids = await appendAll(log, ["1", "2", "3"]);
    await log.end();
    for (const [id, data] of [["", 3], [ids[0], 2], [ids[2], 0]] as const) {
      const messages = await readAll(resume(log, requestAfter(id)));
      assertEquals(messages.map(({ data }) => data), numbers(4 - data, 3));
    }
    const request = new Request(
      `http://localhost/?lastEventId=${encodeURIComponent(ids[1])}`,
    );
    assertEquals(await readAll(resume(log, request)), [{
      data: "3",
      id: ids[2],
    }]);
  });

  test('resume() with from "now" first sends an ID to reconnect with', async (storage) => {
    const log = storage.log();
    await log.append({ data: "1" });
    const first = new Reader(resume(log, requestAfter(""), { from: "now" }));
    const [{ id, ...others }] = await first.take(1);
    assertEquals(others, {});
    await first.return();
    await log.append({ data: "2" });
    const again = resume(log, requestAfter(id!), { from: "now" });
    const reader = new Reader(again);
    assertEquals(await reader.data(1), ["2"]);
    await reader.return();
  });

  test("resume() sends a gap event if messages are missing, then continues", async (storage) => {
    const log = storage.log();
    await appendAll(log, ["1", "2"]);
    const gap = new Reader(resume(log, requestAfter("unknown")));
    const [message, ...messages] = await gap.take(3);
    assertEquals({ event: message.event, data: message.data }, {
      event: "gap",
      data: "",
    });
    assertEquals(messages.map(({ data }) => data), ["1", "2"]);
    const waiting = gap.data(1);
    await log.append({ data: "3" });
    assertEquals(await waiting, ["3"]);
    await gap.return();

    // A client that received only the gap event gets all messages and no second
    // gap.
    const again = new Reader(resume(log, requestAfter(message.id!)));
    assertEquals(await again.data(3), ["1", "2", "3"]);
    await again.return();
  });

  test("resume() sends a snapshot to a client without an ID, and after a gap", async (storage) => {
    const log = storage.log();
    const [, second] = await appendAll(log, ["1", "2", "3"]);
    for (const id of ["", "unknown"]) {
      const gaps: (string | undefined)[] = [];
      const reader = new Reader(resume(log, requestAfter(id), {
        from: "now",
        snapshot(gap) {
          gaps.push(gap?.after);
          return Promise.resolve({ id: second, json: { all: 2 } });
        },
      }));
      const [snapshot] = await reader.take(1);
      assertEquals([snapshot.id, snapshot.data], [second, '{"all":2}']);
      assertEquals(await reader.data(1), ["3"]);
      assertEquals(gaps, [id || undefined]);
      await reader.return();
    }
  });

  test("resume() sends the state as it is when snapshot returns, also if it changes in the same turn", async (storage) => {
    const log = storage.log();
    const { lastId } = await log.status();
    const state = { total: 0 };
    const reader = new Reader(resume(log, requestAfter(""), {
      snapshot() {
        // As a reader of the log does whose message has just arrived.
        Promise.resolve().then(() => state.total++);
        return { id: lastId, json: state };
      },
    }));
    assertEquals(await reader.data(1), ['{"total":0}']);
    await reader.return();
  });

  test("resume() does not call snapshot if the client's ID is known", async (storage) => {
    const log = storage.log();
    const [first] = await appendAll(log, ["1", "2"]);
    const reader = new Reader(resume(log, requestAfter(first), {
      snapshot: () => ({ id: first, data: "" }),
    }));
    assertEquals(await reader.data(1), ["2"]);
    await reader.return();
  });

  test("resume() begins as without snapshot if it returns undefined", async (storage) => {
    const log = storage.log();
    const [first] = await appendAll(log, ["1"]);
    const snapshot = () => undefined;
    const oldest = new Reader(resume(log, requestAfter(""), { snapshot }));
    assertEquals(await oldest.data(1), ["1"]);
    const gap = new Reader(resume(log, requestAfter("unknown"), { snapshot }));
    assertEquals((await gap.take(1))[0].event, "gap");
    const now = new Reader(
      resume(log, requestAfter(""), { snapshot, from: "now" }),
    );
    assertEquals(await now.take(1), [{ id: first }]);
    for (const reader of [oldest, gap, now]) await reader.return();
  });

  test("resume() fails if snapshot fails, or returns no message with an id", async (storage) => {
    const log = storage.log();
    for (
      const wrong of [null, "reload", 5, [], {}, { data: "" }, { id: "1" }]
    ) {
      const reader = new Reader(resume(log, requestAfter("unknown"), {
        snapshot: () => wrong as SseMessage & { id: string },
      }));
      await assertRejects(() => reader.next(), TypeError);
      await reader.assertEnd();
    }
    // Also if it throws the gap, which is no other gap.
    let calls = 0;
    for (const error of [new RangeError("no"), undefined]) {
      const reader = new Reader(resume(log, requestAfter("unknown"), {
        snapshot(gap) {
          calls++;
          throw error ?? gap;
        },
      }));
      await assertRejects(() => reader.next());
      await reader.assertEnd();
    }
    assertEquals(calls, 2);
  });

  test("resume() sends the ID of the end of a log, unless the client has it", async (storage) => {
    const log = storage.log();
    const empty = storage.log("empty");
    await empty.end();
    const { lastId: none } = await empty.status();
    assertEquals(await readAll(resume(empty, requestAfter(""))), [{
      id: none,
    }]);
    assertEquals(await readAll(resume(empty, requestAfter(none))), []);

    const first = await log.append({ data: "1" });
    const last = await log.append({ comment: "bye" });
    await log.end();
    assertEquals((await log.status()).lastId, last);
    assertEquals(await readAll(resume(log, requestAfter(""))), [
      { data: "1", id: first },
      { comment: "bye" },
      { id: last },
    ]);
    assertEquals(await readAll(resume(log, requestAfter(last))), []);
  });

  test("append() appends several messages in order, and returns the ID of the last", async (storage) => {
    const log = storage.log();
    const id = await log.append({ data: "1" }, { data: "2" }, { data: "3" });
    const [one, two, three] = await new Reader(log.read("")).take(3);
    assertEquals([one.data, two.data, three.data], ["1", "2", "3"]);
    assertEquals(three.id, id);
    assertEquals(new Set([one.id, two.id, three.id]).size, 3);
    assertEquals(await data(log.read(one.id, { follow: false })), ["2", "3"]);
    const none = log.append as () => Promise<string>;
    await assertRejects(() => none.call(log), TypeError, "a message");
    const wrong = { data: 5 as unknown as string };
    await assertRejects(() => log.append({ data: "4" }, wrong), TypeError);
    assertEquals((await log.status()).lastId, id);
  });

  test("read() with follow: false ends after what was the newest message", async (storage) => {
    const log = storage.log();
    assertEquals(await data(log.read("", { follow: false })), []);
    assertEquals(await data(log.read(undefined, { follow: false })), []);
    const ids = await appendAll(log, numbers(1, 150));
    const reader = log.read("", { follow: false });
    await log.status();
    assertEquals(await data(reader), numbers(1, 150));
    for (const [i, id] of [[149, ids[149]], [100, ids[100]]] as const) {
      const rest = await data(log.read(id, { follow: false }));
      assertEquals(rest, numbers(i + 2, 150));
    }
    const { lastId } = await log.status();
    const beside = new Reader(log.read(lastId));
    const pending = beside.data(1);
    assertEquals(await data(log.read(lastId, { follow: false })), []);
    await log.append({ data: "151" });
    assertEquals(await pending, ["151"]);
    await beside.return();
  });

  test("read() and resume() with follow: false give nothing that was appended later", async (storage) => {
    const log = storage.log();
    await appendAll(log, ["1", "2"]);
    const options = { follow: false };
    const reader = log.read("", options);
    const resumed = new Reader(resume(log, requestAfter(""), options));
    await log.status();
    const first = await resumed.data(1);
    const id = await log.append({ data: "3" });
    assertEquals(await data(reader), ["1", "2"]);
    // Nor its ID, which would make the client skip the message.
    assertEquals([...first, ...await resumed.data(1)], ["1", "2"]);
    await resumed.assertEnd();
    assertEquals((await log.status()).lastId, id);
  });

  test("read() of an empty log with follow: false gives nothing that was appended later", async (storage) => {
    const log = storage.log();
    const reader = log.read("", { follow: false });
    await log.append({ data: "1" });
    assertEquals(await data(reader), []);
  });

  test("status().idle is the time since the last append", async (storage) => {
    const log = storage.log();
    assertEquals((await log.status()).idle, Infinity);
    await log.append({ data: "1" });
    const { idle } = await log.status();
    assert(idle >= 0 && idle < 10_000, `${idle}`);
  });

  test("read() with idleTimeout fails after the kept messages if nobody appends", async (storage) => {
    const log = storage.log();
    await appendAll(log, ["1", "2"]);
    const reader = new Reader(log.read("", { idleTimeout: 50 }));
    assertEquals(await reader.data(2), ["1", "2"]);
    await assertRejects(() => reader.next(), EventLogIdleError, "50 ms");
    await reader.assertEnd();
    const empty = storage.log("empty");
    const other = new Reader(empty.read("", { idleTimeout: 50 }));
    await assertRejects(() => other.next(), EventLogIdleError);
  });

  test("resume() sends a last message if nobody appends", async (storage) => {
    const log = storage.log();
    const id = await log.append({ data: "1" });
    const options = { idleTimeout: 50 };
    const all = await readAll(resume(log, requestAfter(""), options));
    assertEquals(all.map(({ event, data }) => [event, data]), [
      [undefined, "1"],
      ["abandoned", ""],
    ]);
    const onIdle = async () => {
      await log.end();
      return undefined;
    };
    assertEquals(
      await readAll(resume(log, requestAfter(id), { ...options, onIdle })),
      [],
    );
    assertEquals((await log.status()).ended, true);
  });

  test("resume() gives a client the newest id if nobody appends, so that a server can tell it to stop", async (storage) => {
    const idleTimeout = 50;
    for (
      const messages of [
        [],
        [{ retry: 10 }],
        [{ data: "1" }],
        [{ data: "1" }, { comment: "thinking" }],
      ]
    ) {
      const log = storage.log(`abandoned ${JSON.stringify(messages)}`);
      for (const message of messages) await log.append(message);
      const { lastId } = await log.status();
      for (const id of ["", lastId]) {
        const options = { idleTimeout };
        const told = await readAll(resume(log, requestAfter(id), options));
        const { event, data, id: newest } = told.at(-1)!;
        assertEquals([event, data, newest], ["abandoned", "", lastId]);
      }
      // Without a message, the id is sent unless the client has it.
      const options = { idleTimeout, onIdle: () => undefined };
      const sent = await readAll(resume(log, requestAfter(""), options));
      assertEquals(sent.flatMap(({ id }) => id ?? []).at(-1), lastId);
      assertEquals(
        await readAll(resume(log, requestAfter(lastId), options)),
        [],
      );
    }
  });

  test("record() appends what a source gives, and ends the log", async (storage) => {
    const log = storage.log();
    const source = numbers(1, 300).map((data) => ({ data }));
    assertEquals(await record(log, source), "complete");
    assertEquals(await data(log.read("")), numbers(1, 300));
  });

  test("record() stops and closes the source if another ends the log", async (storage) => {
    const log = storage.log();
    const source = new SilentSource();
    const outcome = record(log, source);
    const reader = new Reader(log.read(""));
    assertEquals(await reader.data(1), ["1"]);
    await storage.log().end();
    if (!storage.shared) await log.end();
    assertEquals(await deadline(outcome, "the outcome"), "stopped");
    await deadline(source.closed, "the source to be closed");
  });

  test("record() passes a signal to a function, which aborts as soon as it is over", async (storage) => {
    const log = storage.log();
    const closed = Promise.withResolvers<void>();
    const outcome = record(log, async function* (signal) {
      yield { data: "1" };
      signal.addEventListener("abort", () => closed.resolve());
      await closed.promise;
      throw new Error("Aborted");
    });
    const reader = new Reader(log.read(""));
    assertEquals(await reader.data(1), ["1"]);
    await log.end();
    assertEquals(await deadline(outcome, "the outcome"), "stopped");
    await deadline(closed.promise, "the signal to abort");
    await reader.assertEnd();
  });

  test("record() stops if its signal aborts", async (storage) => {
    const log = storage.log();
    const source = new SilentSource();
    const stop = new AbortController();
    const outcome = record(log, source, { signal: stop.signal });
    const reader = new Reader(log.read(""));
    assertEquals(await reader.data(1), ["1"]);
    stop.abort();
    assertEquals(await deadline(outcome, "the outcome"), "stopped");
    await deadline(source.closed, "the source to be closed");
    await reader.assertEnd();
  });

  test("record() appends a last message if the source fails", async (storage) => {
    const fault = new Error("cut");
    async function* source() {
      yield { data: "1" };
      await Promise.resolve();
      throw fault;
    }
    const log = storage.log();
    assertEquals(await record(log, source()), "failed");
    const all = await readAll(log.read(""));
    assertEquals(all.map(({ event, data }) => [event, data]), [
      [undefined, "1"],
      ["error", ""],
    ]);
    const other = storage.log("other");
    const errors: unknown[] = [];
    const onError = (error: unknown) => void errors.push(error);
    assertEquals(await record(other, source(), { onError }), "failed");
    assertEquals(await data(other.read("")), ["1"]);
    assertEquals(errors, [fault]);
  });

  test("record() fails as its source does if the function of the source throws or rejects", async (storage) => {
    const fault = new Error("no connection");
    const functions = {
      throws: () => {
        throw fault;
      },
      rejects: () => Promise.reject(fault),
    };
    for (const [name, source] of Object.entries(functions)) {
      const log = storage.log(name);
      const onError = (error: unknown) => ({ data: (error as Error).message });
      assertEquals(await record(log, source, { onError }), "failed");
      assertEquals(await data(log.read("")), ["no connection"]);
    }
  });

  test("record() closes a source whose promise resolves after the log was ended", async (storage) => {
    const log = storage.log();
    const { promise, resolve } = Promise.withResolvers<SilentSource>();
    const outcome = record(log, () => promise);
    await log.end();
    if (!storage.shared) await storage.log().end();
    assertEquals(await deadline(outcome, "the outcome"), "stopped");
    const source = new SilentSource();
    resolve(source);
    await deadline(source.closed, "the source to be closed");
  });

  test("record() with keepAlive keeps the log from being idle", async (storage) => {
    const log = storage.log();
    const source = new SilentSource();
    const outcome = record(log, source, { keepAlive: 20 });
    const reader = new Reader(log.read("", { idleTimeout: 600 }));
    assertEquals(await reader.data(1), ["1"]);
    const next = reader.next();
    const isDone = await Promise.race([
      next,
      new Promise((resolve) => setTimeout(resolve, 900, "still reading")),
    ]);
    assertEquals(isDone, "still reading");
    await log.end();
    assertEquals((await next).done, true);
    assertEquals(await outcome, "stopped");
  });

  test("sseResponse() serves the messages of resume()", async (storage) => {
    const log = storage.log();
    const ids = await appendAll(log, ["1", "2"]);
    const response = sseResponse(resume(log, requestAfter(ids[0])));
    const text = deadline(response.text(), "the response");
    ids.push(await log.append({ event: "e", data: "3" }));
    await log.end();
    assertEquals(
      await text,
      `id: ${ids[1]}\ndata: 2\n\nevent: e\nid: ${ids[2]}\ndata: 3\n\n`,
    );
  });

  test("sseResponse() ends if its reader returns", async (storage) => {
    const log = storage.log();
    const id = await log.append({ data: "1" });
    for (const messages of [log.read(""), resume(log, requestAfter(""))]) {
      const reader = messages[Symbol.asyncIterator]();
      const body = sseResponse({ [Symbol.asyncIterator]: () => reader }).body!;
      const chunks = body.pipeThrough(new TextDecoderStream()).getReader();
      const { value } = await deadline(chunks.read(), "the message");
      assertEquals(value, `id: ${id}\ndata: 1\n\n`);
      const end = chunks.read();
      await reader.return!();
      assertEquals((await deadline(end, "the end")).done, true);
    }
  });

  test("sseResponse() fails with the reason of its reader's signal", async (storage) => {
    const log = storage.log();
    const reason = new Error("enough");
    for (const isResumed of [false, true]) {
      const stop = new AbortController();
      const { signal } = stop;
      const reader = sseResponse(
        isResumed
          ? resume(log, requestAfter(""), { signal })
          : log.read("", { signal }),
      ).body!.getReader();
      const failure = assertRejects(() => reader.read(), Error, "enough");
      await log.status();
      stop.abort(reason);
      await deadline(failure, "the reason");
    }
  });

  test("sseResponse() fails with the EventLogGapError of its reader", async (storage) => {
    const log = storage.log();
    await log.append({ data: "1" });
    const response = sseResponse(log.read("unknown"));
    await assertRejects(
      () => deadline(response.text(), "the gap"),
      EventLogGapError,
    );
  });

  test("a subscription writes nothing after cancel(), and leaves no listener", async (storage) => {
    const { signal } = new AbortController();
    const listening = countListeners(signal);
    for (const name of ["read", "resume"]) {
      const log = storage.log(name);
      const id = await log.append({ data: "1" });
      const messages = name === "read"
        ? log.read("", { signal })
        : resume(log, requestAfter(""), { signal });
      const sink = new RecordingSink();
      const subscription = subscribe(messages, sink);
      subscription.pull();
      await deadline(sink.written, "a message");
      const other = new Reader(log.read(id));
      const next = other.next();
      assertEquals(listening(), 1);
      await subscription.cancel();
      assertEquals(listening(), 0);
      await log.append({ data: "2" });
      await next;
      await other.return();
      assertEquals(sink.calls, ["write 1"]);
    }
  });

  test("sseResponse() shares one encoding of a message between all responses", async (storage) => {
    const log = storage.log();
    const { encode } = TextEncoder.prototype;
    let encoded = 0;
    TextEncoder.prototype.encode = function (text) {
      if (text?.startsWith("id: ")) encoded++;
      return encode.call(this, text);
    };
    try {
      // With a message, all readers begin at the same position.
      await log.append({ data: "0" });
      const readers = Array.from(
        { length: 20 },
        () => sseResponse(resume(log, requestAfter(""))).body!.getReader(),
      );
      const reading = readers.map(async (reader) => {
        const chunks: Uint8Array[] = [];
        while (true) {
          const { done, value } = await reader.read();
          if (done) return chunks;
          chunks.push(value);
        }
      });
      await new Promise((resolve) => setTimeout(resolve));
      await appendAll(log, numbers(1, 30));
      await log.end();
      const all = await deadline(Promise.all(reading), "all responses");
      for (const chunks of all) {
        assertEquals(chunks.length, 31);
        // The same Uint8Array, not an equal copy.
        assert(chunks.every((chunk, i) => chunk === all[0][i]));
      }
      assertEquals(encoded, 31);
    } finally {
      TextEncoder.prototype.encode = encode;
    }
  });

  test("200 readers get all messages while others start and return", async (storage) => {
    const log = storage.log();
    const staying = Array.from(
      { length: 200 },
      () => Array.fromAsync(log.read("")),
    );
    for (const data of numbers(1, 20)) {
      const guest = new Reader(log.read(""));
      await log.append({ data });
      await guest.take(1);
      await guest.return();
    }
    await log.end();
    for (const reader of staying) {
      assertEquals(
        (await deadline(reader, "all messages")).map(({ data }) => data),
        numbers(1, 20),
      );
    }
  });

  test("messages are not queued for readers that do not read", async (storage) => {
    const log = storage.log("idle", 100);
    const iterators = Array.from(
      { length: 50 },
      () => log.read("")[Symbol.asyncIterator](),
    );
    for (const iterator of iterators) {
      const first = iterator.next();
      await log.append({ data: "x" });
      await deadline(Promise.resolve(first), "a message");
    }
    await appendAll(log, numbers(1, 300 + storage.slack));
    // A queue per reader would deliver every message; without one, each reader
    // gets a gap.
    for (const iterator of iterators.slice(0, -1)) {
      await assertRejects(async () => {
        while (!(await iterator.next()).done);
      }, EventLogGapError);
    }
  });

  test("readers lose and repeat nothing in a random walk", async (storage) => {
    await randomWalk(storage, kind.steps);
  });
}
