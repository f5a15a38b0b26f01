import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  SseDecoder,
  type SseDecoderOptions,
  SseError,
  type ServerSentEvent,
} from "../mod.ts";
import { asText, Random, randomBytes, randomChunks, randomText } from "./random.ts";
import { interpret, type Interpretation } from "./reference.ts";
import { type Vector, vectors } from "./vectors.ts";

const MiB = 1024 * 1024;

type Chunks = Iterable<BufferSource | string>;

function plain({ event, data, id, retry }: ServerSentEvent) {
  return { event, data, id, retry };
}

function dataOf(events: ServerSentEvent[]): string[] {
  return events.map((event) => event.data);
}

/** What a decoder makes of a stream that comes in these chunks. */
function decodeAll(chunks: Chunks): Interpretation {
  const comments: string[] = [];
  const decoder = new SseDecoder({ onComment: (it) => comments.push(it) });
  const events: ServerSentEvent[] = [];
  for (const chunk of chunks) decoder.decode(chunk, events);
  return {
    events: events.map(plain),
    lastEventId: decoder.lastEventId,
    reconnectionTime: decoder.reconnectionTime,
    comments,
  };
}

/** The one stream of bytes that the chunks of a vector are. */
function bytesOf({ chunks }: Vector): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let text = "";
  for (const chunk of [...chunks, new Uint8Array()]) {
    if (typeof chunk === "string") {
      // Joined first: two chunks may share a surrogate pair.
      text += chunk;
    } else {
      parts.push(new TextEncoder().encode(text), chunk);
      text = "";
    }
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function assertVector(vector: Vector, actual: Interpretation): void {
  const { name, events, lastEventId, reconnectionTime } = vector;
  const comments = vector.comments ?? actual.comments;
  assertEquals(
    actual,
    { events, lastEventId, reconnectionTime, comments },
    name,
  );
}

Deno.test("The vectors are at least seventy, each with its own name", () => {
  const names = new Set(vectors.map((vector) => vector.name));
  assertEquals(names.size, vectors.length);
  assert(names.size >= 70);
});

Deno.test("The reference gives what each vector says", () => {
  for (const vector of vectors) {
    assertVector(vector, interpret(bytesOf(vector)));
  }
});

Deno.test("SseDecoder decodes each vector in the chunks it is written in", () => {
  for (const vector of vectors) assertVector(vector, decodeAll(vector.chunks));
});

Deno.test("SseDecoder decodes each vector in one chunk", () => {
  for (const vector of vectors) {
    assertVector(vector, decodeAll([bytesOf(vector)]));
  }
});

Deno.test("SseDecoder decodes each vector a byte at a time", () => {
  for (const vector of vectors) {
    const bytes = Array.from(bytesOf(vector), (byte) => Uint8Array.of(byte));
    assertVector(vector, decodeAll(bytes));
  }
});

Deno.test("SseDecoder decodes each vector cut in two at every byte", () => {
  for (const vector of vectors) {
    const bytes = bytesOf(vector);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assertVector(vector, decodeAll(chunks));
    }
  }
});

Deno.test("SseDecoder decodes each vector that is text from strings", () => {
  let texts = 0;
  for (const vector of vectors) {
    const text = asText(bytesOf(vector));
    if (text === undefined) continue;
    texts++;
    assertVector(vector, decodeAll([text]));
    // UTF-16 code units, so that surrogate pairs are cut too.
    assertVector(vector, decodeAll(text.split("")));
    for (let cut = 0; cut <= text.length; cut++) {
      const chunks = [text.slice(0, cut), text.slice(cut)];
      assertVector(vector, decodeAll(chunks));
    }
  }
  assert(texts >= 70);
});

Deno.test("SseDecoder is never behind the bytes it was given", () => {
  for (const vector of vectors) {
    const comments: string[] = [];
    const decoder = new SseDecoder({ onComment: (it) => comments.push(it) });
    const events: ServerSentEvent[] = [];
    const bytes = bytesOf(vector);
    for (let end = 1; end <= bytes.length; end++) {
      decoder.decode(bytes.subarray(end - 1, end), events);
      assertEquals(
        {
          events: events.map(plain),
          lastEventId: decoder.lastEventId,
          reconnectionTime: decoder.reconnectionTime,
          comments,
        },
        interpret(bytes.slice(0, end)),
        `${vector.name}, after byte ${end}`,
      );
    }
  }
});

Deno.test("SseDecoder agrees with the reference on random streams", () => {
  const cases = Number(Deno.env.get("SSE_FUZZ_CASES") ?? 20_000);
  assert(cases >= 1, "SSE_FUZZ_CASES is a number of cases");
  let events = 0;
  for (let seed = 1; seed <= cases; seed++) events += compareRandom(seed);
  // Streams that give nothing would agree on nothing.
  assert(events >= cases);
});

/** Compares one random stream, and tells how many events it had. */
function compareRandom(seed: number): number {
  const random = new Random(seed);
  const heard: string[] = [];
  const listens = random.chance(0.5);
  let lastEventId = random.pick(["", "", "known"]);
  let reconnectionTime: number | undefined;
  const decoder = new SseDecoder({
    lastEventId,
    onComment: listens ? (comment) => heard.push(comment) : undefined,
  });
  let count = 0;

  // Sometimes the stream comes over two connections.
  for (let rest = random.chance(0.1) ? 2 : 1; rest > 0; rest--) {
    const bytes = randomBytes(random);
    const chunks = randomChunks(random, bytes);
    const events: ServerSentEvent[] = [];

    const compare = (end: number) => {
      const expected = interpret(bytes.slice(0, end), lastEventId);
      expected.reconnectionTime ??= reconnectionTime;
      if (!listens) expected.comments = [];
      const actual = {
        events: events.map(plain),
        lastEventId: decoder.lastEventId,
        reconnectionTime: decoder.reconnectionTime,
        comments: heard,
      };
      // As strings, which is several times as fast.
      if (JSON.stringify(actual) === JSON.stringify(expected)) return;
      const cuts = chunks.map(({ chunk, end }) =>
        `${typeof chunk === "string" ? "string" : chunk.constructor.name} ${end}`
      );
      const stream = asText(bytes) ?? Array.from(bytes);
      assertEquals(
        actual,
        expected,
        `seed ${seed}, after ${end} bytes of ${JSON.stringify(stream)} in ` +
          `chunks up to ${cuts.join(", ")}`,
      );
    };

    // Looked at on the way too: what comes late would be right at the end.
    const halfway = random.below(chunks.length);
    for (const [index, { chunk, end }] of chunks.entries()) {
      decoder.decode(chunk, events);
      // The caller may use its buffer again.
      if (typeof chunk !== "string") overwrite(chunk);
      if (index === halfway) compare(end);
    }
    compare(bytes.length);

    count += events.length;
    lastEventId = decoder.lastEventId;
    reconnectionTime = decoder.reconnectionTime;
    heard.length = 0;
    decoder.reset();
  }
  return count;
}

function overwrite(chunk: BufferSource): void {
  new Uint8Array(ArrayBuffer.isView(chunk) ? chunk.buffer : chunk).fill(0x0a);
}

Deno.test("SseDecoder has no event, id or reconnection time at first", () => {
  const decoder = new SseDecoder();
  assertEquals(decoder.decode(""), []);
  assertEquals(decoder.lastEventId, "");
  assertEquals(decoder.reconnectionTime, undefined);
});

Deno.test("SseDecoder appends to the array it is given and returns it", () => {
  const decoder = new SseDecoder();
  const events: ServerSentEvent[] = [];
  assertStrictEquals(decoder.decode("data: a\n\ndata: b\n\n", events), events);
  assertStrictEquals(decoder.decode("data: c\n\n", events), events);
  assertEquals(dataOf(events), ["a", "b", "c"]);
  assertEquals(dataOf(decoder.decode("data: d\n\n")), ["d"]);
});

Deno.test("SseDecoder dispatches at a final CR and swallows its LF", () => {
  const decoder = new SseDecoder();
  assertEquals(dataOf(decoder.decode("data: a\r\n\r")), ["a"]);
  assertEquals(dataOf(decoder.decode("")), []);
  assertEquals(dataOf(decoder.decode(new Uint8Array())), []);
  assertEquals(dataOf(decoder.decode("\ndata: b\r\r")), ["b"]);
  assertEquals(dataOf(decoder.decode("data: c\r")), []);
  assertEquals(dataOf(decoder.decode("\r")), ["c"]);
});

Deno.test("SseDecoder reads buffers and views of them within their bounds", () => {
  const bytes = new TextEncoder().encode("data: x\n\ndata: abc\n\ndata: y\n\n");
  const from = 9, length = 11;
  const decoder = new SseDecoder();
  const { buffer } = bytes;
  assertEquals(dataOf(decoder.decode(buffer)), ["x", "abc", "y"]);
  const view = new Uint8Array(buffer, from, length);
  assertEquals(dataOf(decoder.decode(view)), ["abc"]);
  assertEquals(
    dataOf(decoder.decode(new DataView(buffer, from, length))),
    ["abc"],
  );
  const words = new Uint16Array(new ArrayBuffer(14), 2, 6);
  new Uint8Array(words.buffer, 2).set(bytes.subarray(from, from + 12));
  assertEquals(dataOf(decoder.decode(words)), ["abc"]);
});

Deno.test("SseDecoder takes an empty chunk within a UTF-8 sequence as nothing", () => {
  for (const empty of [new Uint8Array(), new ArrayBuffer(0), ""]) {
    const decoder = new SseDecoder();
    decoder.decode("data: ");
    decoder.decode(Uint8Array.of(0xe2, 0x98));
    decoder.decode(empty);
    decoder.decode(Uint8Array.of(0x83));
    assertEquals(dataOf(decoder.decode("\n\n")), ["☃"]);
  }
});

Deno.test("SseDecoder refuses what is no chunk, says what came and goes on", () => {
  const decoder = new SseDecoder();
  decoder.decode("data: a\n");
  const wrong: [unknown, RegExp][] = [
    [5, /number/i],
    [undefined, /undefined/i],
    [null, /null/i],
    [[1, 2], /array|object/i],
    [{ length: 1 }, /object/i],
  ];
  for (const [chunk, said] of wrong) {
    const error = assertThrows(
      () => decoder.decode(chunk as BufferSource),
      TypeError,
    );
    assertMatch(error.message, said);
  }
  assertEquals(dataOf(decoder.decode("\n")), ["a"]);
});

Deno.test("SseDecoder starts from the last event id that it is given", () => {
  const decoder = new SseDecoder({ lastEventId: "7" });
  assertEquals(decoder.lastEventId, "7");
  assertEquals(decoder.decode("data: a\n\n")[0].id, "7");
  assertEquals(decoder.decode("id\ndata: b\n\n")[0].id, "");
  assertEquals(decoder.lastEventId, "");
});

Deno.test("SseDecoder commits an id only at a blank line", () => {
  const decoder = new SseDecoder({ lastEventId: "7" });
  decoder.decode("id: 8\ndata: a\n");
  assertEquals(decoder.lastEventId, "7");
  decoder.decode("\n");
  assertEquals(decoder.lastEventId, "8");
  decoder.decode("id: 9\n");
  assertEquals(decoder.lastEventId, "8");
  decoder.decode("\n");
  assertEquals(decoder.lastEventId, "9");
});

Deno.test("SseDecoder knows a reconnection time once its line has ended", () => {
  const decoder = new SseDecoder();
  decoder.decode("data: a\nretry: 20");
  assertEquals(decoder.reconnectionTime, undefined);
  decoder.decode("\r");
  assertEquals(decoder.reconnectionTime, 20);
  decoder.decode("\nretry: 30x\n");
  assertEquals(decoder.reconnectionTime, 20);
});

Deno.test("SseDecoder hears a comment as soon as its line has ended", () => {
  const comments: string[] = [];
  const decoder = new SseDecoder({ onComment: (it) => comments.push(it) });
  decoder.decode("data: a\n: pi");
  decoder.decode("ng");
  assertEquals(comments, []);
  decoder.decode("\r");
  assertEquals(comments, ["ping"]);
  assertEquals(dataOf(decoder.decode("\n\n")), ["a"]);
  assertEquals(comments, ["ping"]);
});

Deno.test("SseDecoder.reset forgets the unfinished event, its id included", () => {
  const beginnings: Chunks[] = [
    ["data: x\n"],
    ["data: x"],
    ["dat"],
    ["data: x\ndata: y\ndata: z"],
    ["event: x\n"],
    ["event: x"],
    ["id: x\n"],
    ["id: x\ndata: x\n"],
    ["retry: 50\n"],
    ["retry: 50\ndata: x\n"],
    ["foo: x"],
    [": x"],
    ["data: x\r"],
    [Uint8Array.of(0xf0, 0x9f, 0x8e)],
    ["data: ", Uint8Array.of(0xe2, 0x98)],
    [Uint8Array.of(0xef, 0xbb)],
    ["\uFEFF"],
  ];
  for (const beginning of beginnings) {
    const comments: string[] = [];
    const decoder = new SseDecoder({ onComment: (it) => comments.push(it) });
    decoder.decode("id: 1\ndata: a\n\n");
    for (const chunk of beginning) decoder.decode(chunk);
    decoder.reset();
    assertEquals(decoder.lastEventId, "1");
    const events = decoder.decode("data: b\n\n").map(plain);
    assertEquals(
      events,
      [{ event: "message", data: "b", id: "1", retry: undefined }],
      JSON.stringify(beginning),
    );
    assertEquals(comments, []);
  }
});

Deno.test("SseDecoder.reset keeps the last event id and reconnection time", () => {
  const decoder = new SseDecoder();
  decoder.decode("id: 1\nretry: 10\n\nid: 2\nretry: 20\n");
  decoder.reset();
  assertEquals(decoder.lastEventId, "1");
  assertEquals(decoder.reconnectionTime, 20);
  assertEquals(decoder.decode("\n"), []);
  assertEquals(decoder.lastEventId, "1");
});

Deno.test("SseDecoder.reset lets a BOM come again, whole or cut", () => {
  const bom = new TextEncoder().encode("\uFEFF");
  const starts: Chunks[] = [
    ["\uFEFF"],
    [bom],
    Array.from(bom, (byte) => Uint8Array.of(byte)),
  ];
  const decoder = new SseDecoder();
  for (const start of starts) {
    for (const chunk of start) decoder.decode(chunk);
    assertEquals(dataOf(decoder.decode("data: a\n\n")), ["a"]);
    decoder.reset();
  }
});

Deno.test("SseDecoder lets an error of onComment through and then needs a reset", () => {
  const fault = new Error("not this one");
  const decoder = new SseDecoder({
    onComment(comment) {
      if (comment === "bad") throw fault;
    },
  });
  const events: ServerSentEvent[] = [];
  const error = assertThrows(() =>
    decoder.decode(
      "id: 1\ndata: a\n\n: good\ndata: b\n: bad\n\ndata: c\n\n",
      events,
    )
  );
  assertStrictEquals(error, fault);
  assertEquals(dataOf(events), ["a"]);
  assertEquals(decoder.lastEventId, "1");
  assertThrows(() => decoder.decode("data: d\n\n", events));
  assertThrows(() => decoder.decode("", events));
  assertEquals(dataOf(events), ["a"]);

  decoder.reset();
  assertEquals(decoder.decode("data: e\n\n").map(plain), [
    { event: "message", data: "e", id: "1", retry: undefined },
  ]);
});

Deno.test("SseDecoder takes a 16 MiB event in 1 KiB chunks", () => {
  const line = "0123456789abcdef".repeat(64);
  const decoder = new SseDecoder();
  decoder.decode("data: ");
  // Were each chunk to cost what has come before it, this would not end.
  const bytes = new TextEncoder().encode(line);
  for (let i = 0; i < 16 * 1024; i++) decoder.decode(bytes);
  const [event] = decoder.decode("\n\n");
  assert(event.data === line.repeat(16 * 1024));
});

Deno.test("SseDecoder takes 16 MiB of short data lines as one event", () => {
  const bytes = new TextEncoder().encode("data: 0123456789\n".repeat(64));
  const decoder = new SseDecoder();
  for (let i = 0; i < 16 * 1024; i++) decoder.decode(bytes);
  const [event] = decoder.decode("\n");
  assert(event.data === "0123456789\n".repeat(MiB).slice(0, -1));
});

Deno.test("SseDecoder takes a stream of 512 KiB a byte at a time", () => {
  const streams = [
    "data: " + "x".repeat(MiB / 2) + "\n\n",
    "data\n".repeat(MiB / 10) + "\n",
    "x".repeat(MiB / 2) + "\ndata\n\n",
    "data" + "x".repeat(MiB / 2) + "\ndata\n\n",
    "\r".repeat(MiB / 2) + "data\n\n",
  ];
  for (const stream of streams) {
    const bytes = new TextEncoder().encode(stream);
    const decoder = new SseDecoder();
    const events: ServerSentEvent[] = [];
    for (let i = 0; i < bytes.length; i++) {
      decoder.decode(bytes.subarray(i, i + 1), events);
    }
    assertEquals(events.length, 1);
    const [expected] = interpret(bytes).events;
    assert(events[0].data === expected.data);
  }
});

Deno.test("SseDecoder takes many events in one chunk", () => {
  const text = "data: a\n\n".repeat(500_000);
  assertEquals(new SseDecoder().decode(text).length, 500_000);
});

/** Bytes of heap in use, garbage not counted. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return Deno.memoryUsage().heapUsed;
}

Deno.test("SseDecoder holds nothing of unknown fields and unheard comments", () => {
  const chunk = new TextEncoder().encode("x".repeat(MiB));
  const starts = ["foo: ", "x", ": ", "data", "idx: ", "Data: ", " data: "];
  for (const start of starts) {
    const decoder = new SseDecoder({ maxEventSize: 16 });
    decoder.decode("data: a\n" + start);
    const before = heldBytes();
    for (let i = 0; i < 128; i++) decoder.decode(chunk);
    assert(heldBytes() - before < 64 * MiB, start);
    assertEquals(dataOf(decoder.decode("\ndata: b\n\n")), ["a\nb"]);
  }
});

Deno.test("SseDecoder does not keep chunks alive for the short lines in them", () => {
  const line = "data: a line that is long enough to be a part of its chunk\n";
  const comment = ":" + "x".repeat(256 * 1024) + "\n";
  const bytes = new TextEncoder().encode(comment + line);
  const decoder = new SseDecoder();
  const before = heldBytes();
  for (let i = 0; i < 1023; i++) decoder.decode(bytes);
  assert(heldBytes() - before < 128 * MiB);
  const [event] = decoder.decode("\n");
  assertEquals(event.data.split("\n").length, 1023);
});

Deno.test("SseDecoder refuses a maxEventSize that is no size", () => {
  for (const size of [NaN, -1, 1.5, 0, -Infinity, "16", null]) {
    const options = { maxEventSize: size } as SseDecoderOptions;
    const error = assertThrows(() => new SseDecoder(options), Error);
    assert(error instanceof RangeError || error instanceof TypeError);
    assertStringIncludes(error.message, "maxEventSize");
    assertStringIncludes(error.message, String(size));
  }
});

Deno.test("SseDecoder holds 64 Mi UTF-16 code units unless told otherwise", () => {
  const chunk = new TextEncoder().encode("x".repeat(MiB));
  const decoder = new SseDecoder();
  decoder.decode("data:");
  for (let i = 0; i < 63; i++) decoder.decode(chunk);
  decoder.decode(chunk.subarray("data:".length));
  assertTooLarge(() => decoder.decode("x"), 64 * MiB);

  const unlimited = new SseDecoder({ maxEventSize: Infinity });
  unlimited.decode("data:");
  for (let i = 0; i < 65; i++) unlimited.decode(chunk);
  assertEquals(unlimited.decode("\n\n")[0].data.length, 65 * MiB);
});

function assertTooLarge(fail: () => unknown, limit: number): void {
  const error = assertThrows(fail, SseError);
  assertEquals(error.code, "event-too-large");
  assertStringIncludes(error.message, String(limit));
  assertStringIncludes(error.message, "maxEventSize");
}

Deno.test("SseDecoder holds exactly maxEventSize and not one unit more", () => {
  const limit = 20;
  // Each is held at its peak in the state that its last character leaves.
  const full = [
    "data: 12345678901234", // the line
    "data:123456789012345\n", // the line, ended
    "data: 12345678901234\r\n\r\n", // the event, ended
    "data:☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃", // units, not bytes
    "data:🎉🎉🎉🎉🎉🎉🎉1", // units, not code points
    "data:1234\ndata:678901", // the data so far and the line: 4 + 11
      + "2345",
    "data:12\ndata:34\ndata:5678901", // 2 + 1 + 2, then 12 and 3 spare
    "data\ndata\ndata\ndata:678901234567890".slice(0, -2),
    "event:123456789\ndata:678", // 9 + 8, and 3 spare
    "id:12345678901234567", // an id
    "id:123456789012\nid:45678", // the id so far and another in its place
    "id:1\ndata:2\nevent:345678901234", // 1 + 1 + 18
    "retry:12345678901234",
    "event:12345678901234\n\nevent:12345678901234",
    "id:12345678901234567\n\nid:12345678901234567\n\ndata:678901234567890",
  ];
  for (const text of full) {
    const decoder = new SseDecoder({ maxEventSize: limit });
    decoder.decode(text);
    assertEquals(peakOf(text, false) <= limit, true, text);
  }
});
