/** What every event log must do, whatever it is kept in. */
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
  resume,
} from "../../src/event_log/mod.ts";
import { deadline } from "../support/deadline.ts";
import { randomWalk } from "./random_walk.ts";

export interface Kind {
  name: string;
  /** Why it cannot be tested here. */
  notRun?: string;
  /** How many steps a random walk takes. */
  steps: number;
  /** Whether what it is kept in leaves timers or sockets behind. */
  leaks?: boolean;
  /** Opens a place of its own for logs, which is gone when it is disposed of. */
  open(): Promise<Place> | Place;
}

export interface Place extends AsyncDisposable {
  /**
   * A log of that name. Called twice with one name, it gives what another
   * process would have, where the log is kept outside of this one.
   */
  log(name?: string, maxMessages?: number): EventLog;
  /** Whether what is appended to one object is read from another. */
  shared: boolean;
  /** How many messages may be kept beyond `maxMessages`. */
  slack: number;
}

/** A reader whose calls fail by name where nothing comes. */
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
      assert(!done, `The end came after ${messages.length} of ${count}`);
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
    return deadline(this.#iterator.return!(), "the reader to leave");
  }
}

export async function rest(messages: AsyncIterable<SseMessage>) {
  return await deadline(Array.fromAsync(messages), "all messages");
}

export async function appendAll(log: EventLog, data: string[]) {
  const ids: string[] = [];
  for (const it of data) ids.push(await log.append({ data: it }));
  return ids;
}

export function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
}

function requestAfter(id: string): Request {
  const headers = new Headers();
  // Ids are of characters that any header takes.
  if (id !== "") headers.set("Last-Event-ID", id);
  return new Request("http://localhost/", { headers });
}

export function testContract(kind: Kind): void {
  const test = (what: string, run: (place: Place) => Promise<void>) =>
    Deno.test({
      name: `${kind.name}: ${what}`,
      ignore: kind.notRun !== undefined,
      sanitizeOps: !kind.leaks,
      sanitizeResources: !kind.leaks,
      async fn() {
        await using place = await kind.open();
        await run(place);
      },
    });

  test("replays from the start, the middle and the end, and follows", async (place) => {
    const log = place.log();
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
    const all = await rest(log.read(""));
    assertEquals(all.map(({ id }) => id), [...ids, ...more]);
  });

  test("follows from now on without an id", async (place) => {
    const log = place.log();
    await log.append({ data: "before" });
    const reader = new Reader(log.read());
    await log.status();
    const data = reader.data(1);
    await log.append({ data: "after" });
    assertEquals(await data, ["after"]);
    await reader.return();
  });

  test("follows an empty log from its start", async (place) => {
    const log = place.log();
    const readers = [new Reader(log.read("")), new Reader(log.read())];
    const first = readers.map((reader) => reader.take(1));
    await log.status();
    const id = await log.append({ data: "1" });
    for (const [message] of await Promise.all(first)) {
      assertEquals(message, { data: "1", id });
    }
    for (const reader of readers) await reader.return();
  });

  test("goes on after what it says is its newest id", async (place) => {
    const log = place.log();
    const empty = await log.status();
    assertEquals(empty.ended, false);
    const first = await log.append({ data: "1" });
    assertEquals(await log.status(), { lastId: first, ended: false });
    await log.append({ data: "2" });
    await log.end();
    assertEquals((await log.status()).ended, true);
    const after = async (id: string) =>
      (await rest(log.read(id))).map(({ data }) => data);
    assertEquals(await after(empty.lastId), ["1", "2"]);
    assertEquals(await after(first), ["2"]);
    assertEquals(await after((await log.status()).lastId), []);
  });

  test("gives back every field, under an id of its own", async (place) => {
    const log = place.log();
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
      await rest(log.read("")),
      [
        ...messages,
        { data: '{"a":[1,"☃"]}' },
        { event: "e", data: "read", retry: 1 },
      ].map((message, i) => ({ ...message, id: ids[i] })),
    );
  });

  test("gives one message to all, which none of them can change", async (place) => {
    const log = place.log();
    await log.append({ data: "1" });
    const [[first], [second]] = await Promise.all(
      [1, 2].map(() => new Reader(log.read("")).take(1)),
    );
    assert(first === second);
    assertThrows(() => first.data = "2", TypeError);
  });

  test("gives a comment alone no id", async (place) => {
    const log = place.log();
    const before = await log.append({ data: "1" });
    const id = await log.append({ comment: "note" });
    const after = await log.append({ data: "2" });
    await log.end();
    assertEquals(await rest(log.read(before)), [
      { comment: "note" },
      { data: "2", id: after },
    ]);
    assertEquals(await rest(log.read(id)), [{ data: "2", id: after }]);
    const response = sseResponse(log.read(""));
    assertEquals(
      await response.text(),
      `id: ${before}\ndata: 1\n\n: note\nid: ${after}\ndata: 2\n\n`,
    );
  });

  test("refuses what cannot be written, and goes on", async (place) => {
    const log = place.log();
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
    assertEquals(await rest(log.read("")), [{ data: "x", id }]);
    assertThrows(() => log.read(5 as unknown as string), TypeError, "after");
    const signal = new AbortController() as unknown as AbortSignal;
    assertThrows(() => log.read("", { signal }), TypeError, "signal");
    assertThrows(
      () => resume(log, requestAfter(""), { signal }),
      TypeError,
      "signal",
    );
  });

  test("appends what is more than a message, and what json says but once", async (place) => {
    const log = place.log();
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
      await rest(log.read("")),
      ids.map((id, i) => ({ data: `${i + 1}`, id })),
    );
  });

  test("keeps the retry of a block of its own before an event", async (place) => {
    const log = place.log();
    const body = new Response("retry: 7\n\ndata: 1\n\ndata: 2\n\n").body!;
    for await (const event of readSse(body)) await log.append(event);
    await log.end();
    const all = await rest(log.read(""));
    assertEquals(all.map(({ data, retry }) => [data, retry]), [
      ["1", 7],
      ["2", undefined],
    ]);
  });

  test("ends once and for all", async (place) => {
    const log = place.log();
    await log.append({ data: "1" });
    const waiting = new Reader(log.read(""));
    await waiting.take(1);
    const end = waiting.assertEnd();
    await log.end();
    await end;
    await log.end();
    await assertRejects(() => log.append({ data: "2" }), Error, "has ended");
    if (place.shared) {
      const other = place.log();
      await assertRejects(() => other.append({ data: "2" }), Error, "ended");
      await other.end();
      assertEquals((await rest(other.read(""))).length, 1);
    }
    assertEquals((await rest(log.read(""))).length, 1);
    assertEquals(await rest(log.read()), []);
  });

  test("ends with no message at all", async (place) => {
    const log = place.log();
    const waiting = new Reader(log.read(""));
    const end = waiting.assertEnd();
    await log.end();
    await end;
    const { lastId, ended } = await log.status();
    assertEquals(ended, true);
    for (const after of ["", undefined, lastId]) {
      assertEquals(await rest(log.read(after)), [], `${after}`);
    }
    // Nor is there anything before it.
    const other = place.log("other");
    await other.end();
    const status = await other.status();
    for (const after of ["", undefined, status.lastId]) {
      assertEquals(await rest(other.read(after)), [], `${after}`);
    }
    assertEquals(
      await rest(resume(other, requestAfter(""), { from: "now" })),
      [{ id: status.lastId }],
    );
  });

  test("appends in the order of the calls", async (place) => {
    const log = place.log();
    const data = numbers(1, 50);
    const ids = await Promise.all(data.map((data) => log.append({ data })));
    await log.end();
    assertEquals(
      await rest(log.read("")),
      data.map((data, i) => ({ data, id: ids[i] })),
    );
  });

  test("loses and repeats nothing where a replay meets what is appended", async (place) => {
    const log = place.log();
    const readers: Promise<SseMessage[]>[] = [];
    const ids = await appendAll(log, numbers(1, 150));
    const appending = (async () => {
      for (const data of numbers(151, 450)) {
        ids.push(await log.append({ data }));
      }
    })();
    // One after another begins while messages are appended.
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

  test("answers overlapping calls in order", async (place) => {
    const log = place.log();
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

  test("tells a reader that is asked late what came since it began", async (place) => {
    const log = place.log("late", 2000);
    await log.append({ data: "0" });
    const ahead = new Reader(log.read(""));
    await ahead.take(1);
    // Another one follows, and gets further ahead than what is kept at hand.
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

  test("lets readers leave at any moment", async (place) => {
    const log = place.log();
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

  test("ends a reader with its signal's reason, wherever it is", async (place) => {
    const log = place.log();
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
      // The first call may have been answered before.
      await failure.catch(() =>
        assertRejects(() => reader.next(), Error, "enough")
      );
      await reader.assertEnd();
      const late = new Reader(log.read("", { signal }));
      await assertRejects(() => late.next(), Error, "enough");
    }
  });

  for (
    const [what, idOf] of [
      ["is of no log", () => "7"],
      ["is long and strange", () => "☃-".repeat(10_000)],
      [
        "looks like one of its own",
        (id: string) => id.slice(0, -1) + (id.endsWith("x") ? "y" : "x"),
      ],
      ["is of its own, but longer", (id: string) => id + "0000000"],
      ["is of numbers too large", () => "9".repeat(30) + "-1-abcdefgh"],
      ["is of no whole number", (id: string) => id + ".5"],
    ] satisfies [string, (id: string) => string][]
  ) {
    test(`throws where an id ${what}, and goes on with the oldest message`, async (place) => {
      const log = place.log();
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

  test("takes no id of another log", async (place) => {
    const [log, other] = [place.log("a"), place.log("b")];
    const ids = await appendAll(other, ["1", "2", "3"]);
    await appendAll(log, ["1", "2", "3"]);
    for (const id of [...ids, (await other.status()).lastId]) {
      const reader = new Reader(log.read(id));
      await assertRejects(() => reader.next(), EventLogGapError);
    }
  });

  test("throws where messages have been dropped, and at no other id", async (place) => {
    const log = place.log("dropping", 100);
    const ids = await appendAll(log, numbers(1, 150 + 2 * place.slack));
    await log.end();
    const kept = (await rest(log.read(""))).map(({ data }) => Number(data));
    const first = kept[0];
    assert(kept.length >= 100 && kept.length <= 100 + place.slack);
    assertEquals(kept.map(String), numbers(first, ids.length));

    const dropped = new Reader(log.read(ids[first - 3]));
    const gap = await assertRejects(() => dropped.next(), EventLogGapError);
    assertEquals(
      (await rest(log.read(gap.resumeAfter))).map(({ data }) => data),
      kept.map(String),
    );
    assertEquals(
      (await rest(log.read(ids[first - 1]))).length,
      kept.length - 1,
    );
  });

  test("tells a slow reader of what it has missed", async (place) => {
    const log = place.log("slow", 100);
    await appendAll(log, numbers(1, 10));
    const reader = new Reader(log.read(""));
    const read = await reader.data(3);
    await appendAll(log, numbers(11, 400 + 2 * place.slack));
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

  test("is resumed where a client left off", async (place) => {
    const log = place.log();
    const ids = await appendAll(log, ["1", "2", "3"]);
    await log.end();
    for (const [id, data] of [["", 3], [ids[0], 2], [ids[2], 0]] as const) {
      const messages = await rest(resume(log, requestAfter(id)));
      assertEquals(messages.map(({ data }) => data), numbers(4 - data, 3));
    }
    const request = new Request(
      `http://localhost/?lastEventId=${encodeURIComponent(ids[1])}`,
    );
    assertEquals(await rest(resume(log, request)), [{ data: "3", id: ids[2] }]);
  });

  test("is resumed from now on, with an id to come back with", async (place) => {
    const log = place.log();
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

  test("says that messages are missing where it is resumed, and goes on", async (place) => {
    const log = place.log();
    const [first] = await appendAll(log, ["1", "2"]);
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

    // The client got the gap and nothing else: no second gap, and all messages.
    const again = new Reader(resume(log, requestAfter(message.id!)));
    assertEquals(await again.data(3), ["1", "2", "3"]);
    await again.return();

    const told: string[] = [];
    const silent = new Reader(resume(log, requestAfter("unknown"), {
      onGap({ after, resumeAfter }) {
        told.push(after);
        assert(resumeAfter !== "");
        return undefined;
      },
    }));
    assertEquals((await silent.take(1))[0].id, first);
    assertEquals(told, ["unknown"]);
    await silent.return();

    const snapshot = new Reader(resume(log, requestAfter("unknown"), {
      onGap: () => Promise.resolve({ json: { all: 3 }, id: "other" }),
    }));
    const [{ id, data }] = await snapshot.take(1);
    assertEquals([id, data], [message.id, '{"all":3}']);
    await snapshot.return();

    for (const wrong of [null, "reload", 5, [], {}, () => 1]) {
      const messages = resume(log, requestAfter("unknown"), {
        onGap: () => wrong as SseMessage,
      });
      await assertRejects(() => new Reader(messages).next(), TypeError);
    }

    const failing = new Reader(resume(log, requestAfter("unknown"), {
      onGap() {
        throw new RangeError("no snapshot");
      },
    }));
    await assertRejects(() => failing.next(), RangeError, "no snapshot");
    await failing.assertEnd();

    // The gap itself is no gap again.
    let calls = 0;
    const throwing = new Reader(resume(log, requestAfter("unknown"), {
      onGap(gap) {
        if (++calls === 100) throw new Error("Called again and again");
        throw gap;
      },
    }));
    await assertRejects(() => throwing.next(), EventLogGapError);
    await throwing.assertEnd();
  });

  test("is an endpoint, with sseResponse", async (place) => {
    const log = place.log();
    const ids = await appendAll(log, ["1", "2"]);
    const response = sseResponse(resume(log, requestAfter(ids[0])), {
      heartbeat: 60_000,
    });
    const text = deadline(response.text(), "the response");
    ids.push(await log.append({ event: "e", data: "3" }));
    await log.end();
    assertEquals(
      await text,
      `id: ${ids[1]}\ndata: 2\n\nevent: e\nid: ${ids[2]}\ndata: 3\n\n`,
    );
  });

  test("ends the response that writes a reader who is told to leave", async (place) => {
    const log = place.log();
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

  test("fails a response with its reader's reason", async (place) => {
    const log = place.log();
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

  test("encodes a message once for all who follow", async (place) => {
    const log = place.log();
    const { encode } = TextEncoder.prototype;
    let encoded = 0;
    TextEncoder.prototype.encode = function (text) {
      if (text?.startsWith("id: ")) encoded++;
      return encode.call(this, text);
    };
    try {
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
        assertEquals(chunks.length, 30);
        // The very same bytes.
        assert(chunks.every((chunk, i) => chunk === all[0][i]));
      }
      assertEquals(encoded, 30);
    } finally {
      TextEncoder.prototype.encode = encode;
    }
  });

  test("serves many readers, and those that come and go", async (place) => {
    const log = place.log();
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

  test("keeps nothing for readers that do not read", async (place) => {
    const log = place.log("idle", 100);
    const iterators = Array.from(
      { length: 50 },
      () => log.read("")[Symbol.asyncIterator](),
    );
    for (const iterator of iterators) {
      const first = iterator.next();
      await log.append({ data: "x" });
      await deadline(Promise.resolve(first), "a message");
    }
    await appendAll(log, numbers(1, 300 + place.slack));
    // Each reads on, or learns of the gap; none has had a queue.
    for (const iterator of iterators.slice(0, -1)) {
      await assertRejects(async () => {
        while (!(await iterator.next()).done);
      }, EventLogGapError);
    }
  });

  test("loses and repeats nothing in a random walk", async (place) => {
    await randomWalk(place, kind.steps);
  });
}
