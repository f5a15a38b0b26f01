import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type ServerSentEvent,
  SseDecoder,
  type SseDecoderOptions,
  SseError,
} from "../../mod.ts";
import {
  asText,
  Random,
  randomBytes,
  randomChunks,
  randomText,
} from "../support/random.ts";
import { scaled } from "../support/scale.ts";
import { interpret, type Interpretation } from "../reference.ts";
import { type Vector, vectors } from "../vectors.ts";

type Chunks = Iterable<BufferSource | string>;

function plain({ event, data, id, retry }: ServerSentEvent) {
  return { event, data, id, retry };
}

function dataOf(events: ServerSentEvent[]): string[] {
  return events.map((event) => event.data);
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Decodes the chunks with `SseDecoder`, and returns all that it reports. */
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

/** Returns the bytes of all chunks of a vector, joined. */
function bytesOf({ chunks }: Vector): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let text = "";
  for (const chunk of [...chunks, new Uint8Array()]) {
    if (typeof chunk === "string") {
      // Join strings before encoding: two chunks may share a surrogate pair.
      text += chunk;
    } else {
      parts.push(encode(text), chunk);
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

Deno.test("vectors has at least 70 entries with unique names", () => {
  const names = new Set(vectors.map((vector) => vector.name));
  assertEquals(names.size, vectors.length);
  assert(names.size >= 70);
});

Deno.test("interpret returns the expected result of each vector", () => {
  for (const vector of vectors) {
    assertVector(vector, interpret(bytesOf(vector)));
  }
});

Deno.test("SseDecoder decodes each vector in its own chunks", () => {
  for (const vector of vectors) assertVector(vector, decodeAll(vector.chunks));
});

Deno.test("SseDecoder decodes each vector in one chunk", () => {
  for (const vector of vectors) {
    assertVector(vector, decodeAll([bytesOf(vector)]));
  }
});

Deno.test("SseDecoder decodes each vector one byte at a time", () => {
  for (const vector of vectors) {
    const bytes = Array.from(bytesOf(vector), (byte) => Uint8Array.of(byte));
    assertVector(vector, decodeAll(bytes));
  }
});

Deno.test("SseDecoder decodes each vector split in two at every byte", () => {
  for (const vector of vectors) {
    const bytes = bytesOf(vector);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assertVector(vector, decodeAll(chunks));
    }
  }
});

Deno.test("SseDecoder decodes each text vector from strings", () => {
  let texts = 0;
  for (const vector of vectors) {
    const text = asText(bytesOf(vector));
    if (text === undefined) continue;
    texts++;
    assertVector(vector, decodeAll([text]));
    // Split into UTF-16 code units, so that surrogate pairs are split, too.
    assertVector(vector, decodeAll(text.split("")));
    for (let cut = 0; cut <= text.length; cut++) {
      const chunks = [text.slice(0, cut), text.slice(cut)];
      assertVector(vector, decodeAll(chunks));
    }
  }
  assert(texts >= 70);
});

Deno.test("SseDecoder agrees with interpret after every byte", () => {
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

Deno.test("SseDecoder agrees with the reference implementation on random streams", () => {
  const cases = scaled(10_000);
  let events = 0;
  for (let seed = 1; seed <= cases; seed++) events += compareRandom(seed);
  // Without events, the comparison would prove nothing.
  assert(events >= cases);
});

/** Compares both on one random stream. Returns the number of its events. */
function compareRandom(seed: number): number {
  const random = new Random(seed);
  const comments: string[] = [];
  const events: ServerSentEvent[] = [];
  const hasOnComment = random.chance(0.5);
  const lastEventId = random.pick(["", "", "known"]);
  const decoder = new SseDecoder({
    lastEventId,
    onComment: hasOnComment ? (comment) => comments.push(comment) : undefined,
  });

  // Sometimes the stream spans two connections.
  const connections: Uint8Array<ArrayBuffer>[] = [];
  for (let rest = random.chance(0.1) ? 2 : 1; rest > 0; rest--) {
    const bytes = randomBytes(random);
    const chunks = randomChunks(random, bytes);

    const compare = (end: number) => {
      const expected = interpret(
        [...connections, bytes.slice(0, end)],
        lastEventId,
      );
      if (!hasOnComment) expected.comments = [];
      const actual = {
        events: events.map(plain),
        lastEventId: decoder.lastEventId,
        reconnectionTime: decoder.reconnectionTime,
        comments,
      };
      // Comparing JSON is several times faster.
      if (JSON.stringify(actual) === JSON.stringify(expected)) return;
      const cuts = chunks.map(({ chunk, end }) =>
        `${
          typeof chunk === "string" ? "string" : chunk.constructor.name
        } ${end}`
      );
      const stream = asText(bytes) ?? Array.from(bytes);
      assertEquals(
        actual,
        expected,
        `seed ${seed}, after ${end} bytes of ${JSON.stringify(stream)} in ` +
          `chunks up to ${cuts.join(", ")}`,
      );
    };

    // Compare in the middle, too: at the end, a late event would go unnoticed.
    const halfway = random.below(chunks.length);
    for (const [index, { chunk, end }] of chunks.entries()) {
      decoder.decode(chunk, events);
      // The caller may reuse its buffer.
      if (typeof chunk !== "string") overwrite(chunk);
      if (index === halfway) compare(end);
    }
    compare(bytes.length);
    connections.push(bytes);
    decoder.reset();
  }
  return events.length;
}

function overwrite(chunk: BufferSource): void {
  new Uint8Array(ArrayBuffer.isView(chunk) ? chunk.buffer : chunk).fill(0x0a);
}

Deno.test("SseDecoder starts without event, ID and reconnection time", () => {
  const decoder = new SseDecoder();
  assertEquals(decoder.decode(""), []);
  assertEquals(decoder.lastEventId, "");
  assertEquals(decoder.reconnectionTime, undefined);
});

Deno.test("SseDecoder.decode() appends to the given array and returns it", () => {
  const decoder = new SseDecoder();
  const events: ServerSentEvent[] = [];
  assertStrictEquals(decoder.decode("data: a\n\ndata: b\n\n", events), events);
  assertStrictEquals(decoder.decode("data: c\n\n", events), events);
  assertEquals(dataOf(events), ["a", "b", "c"]);
  assertEquals(dataOf(decoder.decode("data: d\n\n")), ["d"]);
});

Deno.test("SseDecoder dispatches at a final CR, and drops the LF that follows", () => {
  const decoder = new SseDecoder();
  assertEquals(dataOf(decoder.decode("data: a\r\n\r")), ["a"]);
  assertEquals(dataOf(decoder.decode("")), []);
  assertEquals(dataOf(decoder.decode(new Uint8Array())), []);
  assertEquals(dataOf(decoder.decode("\ndata: b\r\r")), ["b"]);
  assertEquals(dataOf(decoder.decode("data: c\r")), []);
  assertEquals(dataOf(decoder.decode("\r")), ["c"]);
});

Deno.test("SseDecoder reads buffers and views within their bounds", () => {
  const bytes = encode("data: x\n\ndata: abc\n\ndata: y\n\n");
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

Deno.test("SseDecoder ignores an empty chunk inside a UTF-8 sequence", () => {
  for (const empty of [new Uint8Array(), new ArrayBuffer(0), ""]) {
    const decoder = new SseDecoder();
    decoder.decode("data: ");
    decoder.decode(Uint8Array.of(0xe2, 0x98));
    decoder.decode(empty);
    decoder.decode(Uint8Array.of(0x83));
    assertEquals(dataOf(decoder.decode("\n\n")), ["☃"]);
  }
});

Deno.test("SseDecoder.decode() calls push() of any object with each event as it completes", () => {
  const log: string[] = [];
  const decoder = new SseDecoder({ onComment: (it) => void log.push(it) });
  const sink = { push: ({ data }: ServerSentEvent) => log.push(data) };
  const returned = decoder.decode("data: 1\n\n:c\n\ndata: 2\n\n", sink);
  assertStrictEquals(returned, sink);
  assertEquals(log, ["1", "c", "2"]);
});

Deno.test("SseDecoder.decode() throws at an invalid chunk, quotes it and remains usable", () => {
  const decoder = new SseDecoder();
  decoder.decode("data: a\n");
  const wrong: [unknown, string][] = [
    [5, "5"],
    [undefined, "undefined"],
    [null, "null"],
    [[1, 2], "1,2"],
    [[], "object"],
    [{ length: 1 }, "[object Object]"],
  ];
  for (const [chunk, got] of wrong) {
    const error = assertThrows(
      () => decoder.decode(chunk as BufferSource),
      TypeError,
    );
    assertEquals(
      error.message,
      `Expected a chunk of bytes or a string, got ${got}`,
    );
  }
  assertEquals(dataOf(decoder.decode("\n")), ["a"]);
});

Deno.test("SseDecoder starts with the given lastEventId", () => {
  const decoder = new SseDecoder({ lastEventId: "7" });
  assertEquals(decoder.lastEventId, "7");
  assertEquals(decoder.decode("data: a\n\n")[0].id, "7");
  assertEquals(decoder.decode("id\ndata: b\n\n")[0].id, "");
  assertEquals(decoder.lastEventId, "");
});

Deno.test("SseDecoder updates lastEventId only at a blank line", () => {
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

Deno.test("SseDecoder updates reconnectionTime as soon as the line ends", () => {
  const decoder = new SseDecoder();
  decoder.decode("data: a\nretry: 20");
  assertEquals(decoder.reconnectionTime, undefined);
  decoder.decode("\r");
  assertEquals(decoder.reconnectionTime, 20);
  decoder.decode("\nretry: 30x\n");
  assertEquals(decoder.reconnectionTime, 20);
});

Deno.test("SseDecoder calls onComment as soon as the line ends", () => {
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

Deno.test("SseDecoder.reset() drops the unfinished event and its ID", () => {
  const beginnings: Chunks[] = [
    ["data: x\n"],
    ["data: x"],
    ["dat"],
    ["data: x\ndata: y\ndata: z"],
    ["event: x\n"],
    ["event: x"],
    ["id: x\n"],
    ["id: x\ndata: x\n"],
    ["retry: 5"],
    ["foo: x"],
    [": x"],
    ["data: x\r"],
    [Uint8Array.of(0xf0, 0x9f, 0x8e)],
    ["data: ", Uint8Array.of(0xe2, 0x98)],
    [Uint8Array.of(0xef, 0xbb)],
    ["\uFEFF"],
  ];
  for (const beginning of beginnings) {
    for (const next of ["data: b\n\n", encode("data: b\n\n")]) {
      const comments: string[] = [];
      const decoder = new SseDecoder({ onComment: (it) => comments.push(it) });
      decoder.decode("id: 1\ndata: a\n\n");
      for (const chunk of beginning) decoder.decode(chunk);
      decoder.reset();
      assertEquals(decoder.lastEventId, "1");
      assertEquals(
        decoder.decode(next).map(plain),
        [{ event: "message", data: "b", id: "1", retry: undefined }],
        JSON.stringify(beginning),
      );
      assertEquals(comments, []);
    }
  }
});

Deno.test("SseDecoder.reset() keeps the last event ID and reconnection time", () => {
  const decoder = new SseDecoder();
  decoder.decode("id: 1\nretry: 10\n\nid: 2\nretry: 20\n");
  decoder.reset();
  assertEquals(decoder.lastEventId, "1");
  assertEquals(decoder.reconnectionTime, 20);
  assertEquals(decoder.decode("\n"), []);
  assertEquals(decoder.lastEventId, "1");
});

Deno.test("SseDecoder drops a BOM again after reset(), whether whole or split", () => {
  const bom = encode("\uFEFF");
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

Deno.test("SseDecoder.decode() throws the error of onComment, and then requires reset()", () => {
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
  assertThrows(() => decoder.decode("data: d\n\n", events));
  assertThrows(() => decoder.decode("", events));
  assertEquals(dataOf(events), ["a"]);

  decoder.reset();
  assertEquals(decoder.decode("data: e\n\n").map(plain), [
    { event: "message", data: "e", id: "1", retry: undefined },
  ]);
});

Deno.test("SseDecoder.decode() may be called in onComment, with a chunk that follows", () => {
  const inner: ServerSentEvent[] = [];
  const decoder = new SseDecoder({
    onComment: () => decoder.decode("ta: b\n\n", inner),
  });
  const outer = decoder.decode("data: a\n\n:\nid: 1\nda");
  assertEquals(dataOf(outer), ["a"]);
  assertEquals(inner.map(plain), [
    { event: "message", data: "b", id: "1", retry: undefined },
  ]);
});

Deno.test("SseDecoder throws a TypeError that names an option of the wrong type", () => {
  for (const options of [{ lastEventId: 5 }, { onComment: "log" }]) {
    const [name] = Object.keys(options);
    const wrong = options as unknown as SseDecoderOptions;
    assertThrows(() => new SseDecoder(wrong), TypeError, name);
  }
});

Deno.test("SseDecoder throws if maxEventSize is not a number from 1", () => {
  for (const size of [NaN, -1, 0.5, 0, -Infinity, "16", null]) {
    const options = { maxEventSize: size } as SseDecoderOptions;
    const error = assertThrows(() => new SseDecoder(options), Error);
    assert(error instanceof RangeError || error instanceof TypeError);
    assertStringIncludes(error.message, "maxEventSize");
    assertStringIncludes(error.message, String(size));
  }
});

function assertTooLarge(fail: () => unknown, limit: number): void {
  const error = assertThrows(fail, SseError);
  assertEquals(error.code, "event-too-large");
  assertStringIncludes(error.message, String(limit));
  assertStringIncludes(error.message, "maxEventSize");
}

/**
 * Texts, and the maximum number of code units that are buffered at once for them,
 * without `onComment` and with it.
 */
const sizes: { text: string; size: number; sizeWithOnComment?: number }[] = [
  // The unfinished line in UTF-16 code units, not in bytes or code points.
  { text: "data: 1234", size: 10 },
  { text: "data: 1234\n", size: 10 },
  { text: "data:1234\r\n\r\n", size: 9 },
  { text: "data:☃☃", size: 7 },
  { text: "data:🎉🎉", size: 9 },
  { text: "\uFEFFdata:1", size: 6 },
  { text: "event: abc", size: 10 },
  { text: "id: 1", size: 5 },
  { text: "retry: 10", size: 9 },
  { text: "id\n", size: 2 },
  // The buffered fields of the event plus the current line.
  { text: "data:12\ndata:34", size: 2 + 7 },
  { text: "data:12\ndata:34\ndata:5", size: 2 + 1 + 2 + 6 },
  { text: "data\ndata\ndata\ndata\n", size: 2 + 4 },
  { text: "event:abcd\ndata:12345", size: 4 + 10 },
  { text: "event:abcd\nevent:e\nevent:fgh", size: 4 + 7 },
  { text: "id:123456\nid:78\nid:9", size: 6 + 5 },
  { text: "id:1\nevent:2\ndata:3\ndata:4\n", size: 1 + 1 + 1 + 6 },
  // Lines and events that are released before the next line.
  { text: "retry:1000\ndata:1", size: 10 },
  { text: "id:\0\0\0\0\0\ndata:1", size: 8 },
  { text: "data:1\n\ndata:2\n\ndata:3\n\n", size: 6 },
  { text: "id:1234567\n\ndata:123\n\n", size: 10 },
  { text: "event:123\n\ndata:1234\n\n", size: 9 },
  // Lines that are no field, too.
  { text: "data:123\nevent", size: 3 + 5 },
  { text: "data:123\nevents: 123456", size: 3 + 14 },
  { text: "data:1\nfoo: 123456\nfoobar\nDATA: 1\n", size: 1 + 11 },
  { text: "data:1\n: 123456", size: 1 + 8 },
  { text: ": 123456\ndata:1\n:\n", size: 8 },
];

Deno.test("SseDecoder buffers up to maxEventSize code units, and not one more", () => {
  for (const { text, size } of sizes) {
    const bytes = encode(text);
    const cuts: Chunks[] = [
      [text],
      [bytes],
      Array.from(bytes, (byte) => Uint8Array.of(byte)),
    ];
    for (const chunks of cuts) {
      for (const onComment of [undefined, () => {}]) {
        const decode = (maxEventSize: number) => {
          const decoder = new SseDecoder({ maxEventSize, onComment });
          for (const chunk of chunks) decoder.decode(chunk);
        };
        decode(size);
        assertTooLarge(() => decode(size - 1), size - 1);
      }
    }
  }
});

Deno.test("SseDecoder limits the size of endless lines and endless events", () => {
  const endless = [
    "data: 0123456789",
    "data: 0123456789\n",
    "data\n",
    "id: 0123456789",
    "event: 0123456789",
    "retry: 0123456789",
    "unknown: 0123456789",
    ": 0123456789",
    "{0123456789",
  ];
  const maxEventSize = 100_000;
  for (const start of endless) {
    const decoder = new SseDecoder({ maxEventSize, onComment() {} });
    decoder.decode(start);
    const more = start.endsWith("\n") ? start : "0123456789";
    let sent = 0;
    assertTooLarge(() => {
      // Of the five characters of "data\n", one code unit is buffered.
      for (; sent < 10 * maxEventSize; sent += more.length) {
        decoder.decode(more);
      }
    }, maxEventSize);
    assert(sent >= maxEventSize - 2 * start.length, start);
  }
});

Deno.test("SseDecoder.decode() appends the events before one that is too large", () => {
  const decoder = new SseDecoder({ maxEventSize: 30 });
  const events: ServerSentEvent[] = [];
  const large = "id: 2\ndata: " + "x".repeat(100) + "\n\n";
  assertTooLarge(
    () => decoder.decode("id: 1\ndata: a\n\n" + large + "data: b\n\n", events),
    30,
  );
  assertEquals(dataOf(events), ["a"]);
  assertEquals(decoder.lastEventId, "1");
});

Deno.test("SseDecoder requires reset() after an event that is too large", () => {
  const decoder = new SseDecoder({ maxEventSize: 30 });
  decoder.decode("id: 1\nretry: 10\n\nid: 2\nevent: e\ndata: a\n");
  assertTooLarge(() => decoder.decode("data: " + "x".repeat(30)), 30);
  assertThrows(() => decoder.decode("\n\n"));
  assertThrows(() => decoder.decode(new Uint8Array()));

  decoder.reset();
  assertEquals(decoder.reconnectionTime, 10);
  assertEquals(decoder.decode("data: b\n\n").map(plain), [
    { event: "message", data: "b", id: "1", retry: 10 },
  ]);
});

Deno.test("SseDecoder.reset() keeps a retry that no event has reported yet", () => {
  const decoder = new SseDecoder();
  decoder.decode("retry: 50\ndata: cut off");
  decoder.reset();
  const [b, c] = decoder.decode("data: b\n\ndata: c\n\n");
  assertEquals([b.retry, c.retry], [50, undefined]);
});

Deno.test("SseDecoder applies maxEventSize independently of chunk boundaries", () => {
  let failures = 0;
  const cases = 4000;
  for (let seed = 1; seed <= cases; seed++) {
    if (compareLimited(seed)) failures++;
  }
  // Both outcomes must be common.
  assert(failures > cases / 10 && failures < cases * 9 / 10);
});

/** Compares one random stream with a limit. Returns whether it exceeds it. */
function compareLimited(seed: number): boolean {
  const random = new Random(seed);
  const bytes = encode(randomText(random));
  const text = asText(bytes)!;
  const maxEventSize = 6 + random.below(60);
  const hasOnComment = random.chance(0.5);

  const fault = tooLargeAt(text, maxEventSize);
  const expected = interpret(encode(text.slice(0, fault)));
  if (!hasOnComment) expected.comments = [];

  for (const cut of [false, true]) {
    const chunks = cut ? randomChunks(random, bytes) : [{ chunk: bytes }];
    const comments: string[] = [];
    const onComment = (comment: string) => comments.push(comment);
    const decoder = new SseDecoder({
      maxEventSize,
      onComment: hasOnComment ? onComment : undefined,
    });
    const events: ServerSentEvent[] = [];
    const decode = () => {
      for (const { chunk } of chunks) decoder.decode(chunk, events);
    };
    if (fault === undefined) decode();
    else assertTooLarge(decode, maxEventSize);
    assertEquals(
      {
        events: events.map(plain),
        lastEventId: decoder.lastEventId,
        reconnectionTime: decoder.reconnectionTime,
        comments,
      },
      expected,
      `seed ${seed}, ${JSON.stringify(text)} of at most ${maxEventSize}`,
    );
  }
  return fault !== undefined;
}

/** Returns the index of the character that makes an event too large, if any. */
function tooLargeAt(text: string, maxEventSize: number): number | undefined {
  let data: string | undefined;
  let event = "";
  let id = "";
  let line = "";
  for (let at = text.startsWith("\uFEFF") ? 1 : 0; at < text.length; at++) {
    if (text[at] === "\n" && text[at - 1] === "\r") continue;
    const ended = text[at] === "\n" || text[at] === "\r";
    if (!ended) line += text[at];

    const held = (data ?? "").length + event.length + id.length;
    if (held + line.length > maxEventSize) return at;
    if (!ended) continue;

    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (line === "") {
      data = undefined;
      event = id = "";
    } else if (field === "data") {
      data = data === undefined ? value : `${data}\n${value}`;
    } else if (field === "event") {
      event = value;
    } else if (field === "id" && !value.includes("\0")) {
      id = value;
    }
    line = "";
  }
  return undefined;
}

Deno.test("SseDecoder compares every character of a field name", () => {
  const names = ["data", "event", "id", "retry"];
  for (const name of names) {
    for (let at = 0; at <= name.length; at++) {
      const others = [
        name.slice(0, at) + "x" + name.slice(at + 1),
        name.slice(0, at) + "x" + name.slice(at),
        name.slice(0, at) + name.slice(at + 1),
      ].filter((other) => !names.includes(other) && other !== "");
      for (const other of others) {
        for (const cut of [other.length + 2, 1]) {
          const decoder = new SseDecoder();
          const line = `${other}: 7\n`;
          const events = [
            ...decoder.decode("data: a\n" + line.slice(0, cut)),
            ...decoder.decode(line.slice(cut) + "\n"),
          ];
          assertEquals(
            events.map(plain),
            [{ event: "message", data: "a", id: "", retry: undefined }],
            line,
          );
        }
      }
    }
  }
});
