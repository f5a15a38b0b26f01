// Tests `encoder.ts`, and also `encoder_stream.ts`.

import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  encodeSse,
  readSse,
  ServerSentEvent,
  SseDecoder,
  SseEncoderStream,
  SseEventStream,
  type SseMessage,
  sseResponse,
} from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { Random, randomChunks, randomText } from "../support/random.ts";
import { scaled } from "../support/scale.ts";
import { interpret } from "../reference.ts";

const utf8 = new TextEncoder();

/** Encodes the messages with `SseEncoderStream`. */
async function encodeAsStream(
  messages: Iterable<SseMessage>,
): Promise<string> {
  const body = ReadableStream.from(messages)
    .pipeThrough(new SseEncoderStream());
  return await new Response(body).text();
}

function decode(stream: BufferSource | string): ServerSentEvent[] {
  return new SseDecoder().decode(stream);
}

for (
  const [what, message, text] of [
    ["data", { data: "Hello" }, "data: Hello\n\n"],
    ["empty data", { data: "" }, "data: \n\n"],
    [
      "all fields",
      { event: "tick", data: "x", id: "7", retry: 250, comment: "note" },
      ": note\nevent: tick\nid: 7\nretry: 250\ndata: x\n\n",
    ],
    [
      "data with lines that end with LF",
      { data: "a\nb" },
      "data: a\ndata: b\n\n",
    ],
    [
      "data with lines that end with CR",
      { data: "a\rb" },
      "data: a\ndata: b\n\n",
    ],
    [
      "data with lines that end with CRLF",
      { data: "a\r\nb" },
      "data: a\ndata: b\n\n",
    ],
    [
      "data with empty lines",
      { data: "\n\r\r\n" },
      "data: \ndata: \ndata: \ndata: \n\n",
    ],
    ["data with a leading space", { data: " x" }, "data:  x\n\n"],
    [
      "a comment without other fields",
      { comment: "still here" },
      ": still here\n",
    ],
    ["an empty comment without other fields", { comment: "" }, ": \n"],
    [
      "a comment with several lines",
      { comment: "a\rdata: b\r\nc\nd" },
      ": a\n: data: b\n: c\n: d\n",
    ],
    ["an ID without other fields", { id: "7" }, "id: 7\n\n"],
    ["an empty ID, which resets the last one", { id: "" }, "id: \n\n"],
    ["a reconnection time without other fields", { retry: 0 }, "retry: 0\n\n"],
    [
      "the largest reconnection time",
      { retry: Number.MAX_SAFE_INTEGER },
      "retry: 9007199254740991\n\n",
    ],
    ["an event without data", { event: "tick" }, "event: tick\ndata: \n\n"],
    [
      "an event of the default type without data",
      { event: "message" },
      "data: \n\n",
    ],
    [
      "no type if it is the default",
      { event: "message", data: "x" },
      "data: x\n\n",
    ],
    ["no type if it is empty", { event: "", data: "x" }, "data: x\n\n"],
    ["JSON", { json: { a: ["☃", null] } }, 'data: {"a":["☃",null]}\n\n'],
    ["null as JSON", { json: null }, "data: null\n\n"],
    ["a string as JSON", { json: "a\nb" }, 'data: "a\\nb"\n\n'],
    ["a lone surrogate as JSON", { json: "\uD83C" }, 'data: "\\ud83c"\n\n'],
    [
      "JSON if data is undefined",
      { data: undefined, json: 1, event: "n" },
      "event: n\ndata: 1\n\n",
    ],
    [
      "data if JSON is undefined",
      { data: "x", json: undefined },
      "data: x\n\n",
    ],
    ["nothing for an empty message", {}, ""],
    ["nothing for a message with only an empty type", { event: "" }, ""],
    [
      "nothing for a message whose fields are undefined",
      {
        event: undefined,
        data: undefined,
        id: undefined,
        retry: undefined,
        comment: undefined,
      },
      "",
    ],
  ] satisfies [string, SseMessage, string][]
) {
  Deno.test(`encodeSse writes ${what}`, async () => {
    assertEquals(encodeSse(message), text);
    assertEquals(await encodeAsStream([message]), text);
  });
}

for (
  const [what, given, expected] of [
    ["an LF in event", { event: "a\nb" }, "event"],
    ["a CR in event", { event: "a\r" }, "event"],
    ["an LF in id", { id: "\n" }, "id"],
    ["a CR in id", { id: "\rx" }, "id"],
    ["a NUL in id", { id: "a\0" }, "id"],
    ["a negative retry", { retry: -1 }, "retry"],
    ["a fractional retry", { retry: 1.5 }, "retry"],
    ["a retry of NaN", { retry: NaN }, "retry"],
    ["an infinite retry", { retry: Infinity }, "retry"],
    ["a retry above the largest safe integer", { retry: 2 ** 53 }, "retry"],
    ["a string as retry", { retry: "5" }, "retry"],
    ["a bigint as retry", { retry: 5n }, "retry"],
    ["null as retry", { retry: null }, "retry"],
    ["a symbol as retry", { retry: Symbol() }, "retry"],
    ["null as data", { data: null }, "data"],
    ["a number as data", { data: 5 }, "data"],
    ["an object as data", { data: {} }, "data"],
    [
      "an object without a prototype as data",
      { data: Object.create(null) },
      "data",
    ],
    ["a number as id", { id: 5 }, "id"],
    ["false as event", { event: false }, "event"],
    ["an array as comment", { comment: [] }, "comment"],
    ["a lone surrogate in data", { data: "\uD83C" }, "strings"],
    ["a lone surrogate in event", { event: "\uDF89x" }, "strings"],
    ["a lone surrogate in id", { id: "x\uD83C" }, "strings"],
    ["a lone surrogate in comment", { comment: "\uD83C" }, "strings"],
    ["JSON together with data", { data: "", json: 1 }, "data or json"],
    [
      "null as JSON together with data",
      { data: "x", json: null },
      "data or json",
    ],
    ["a function as JSON", { json: () => 1 }, "json"],
    ["a symbol as JSON", { json: Symbol() }, "json"],
    [
      "JSON whose toJSON() returns undefined",
      { json: { toJSON() {} } },
      "json",
    ],
    ["null as message", null, "a message"],
    ["a string as message", "data: x\n\n", "a message"],
    ["undefined as message", undefined, "a message"],
  ] satisfies [string, unknown, string][]
) {
  Deno.test(`encodeSse throws at ${what}`, async () => {
    const message = given as SseMessage;
    const problem = `Expected ${expected}`;
    assertThrows(() => encodeSse(message), TypeError, problem);
    await assertRejects(() => encodeAsStream([message]), TypeError, problem);
  });
}

Deno.test("encodeSse quotes the invalid value in its error", () => {
  assertThrows(() => encodeSse({ id: "a\r\n" }), TypeError, 'got "a\\r\\n"');
  assertThrows(() => encodeSse({ retry: -1.5 }), TypeError, "got -1.5");
});

Deno.test("encodeSse quotes only the start of a long invalid value in its error", () => {
  const error = assertThrows(
    () => encodeSse({ id: "x".repeat(1_000_000) + "\n" }),
    TypeError,
  );
  assertStringIncludes(error.message, "xxx");
  assertLess(error.message.length, 200);
});

const PIECES = [
  "",
  "a",
  "b",
  " ",
  "  ",
  ":",
  "é",
  "☃",
  "🎉",
  "\t",
  "\v",
  "\x85",
  "\u2028",
  "\uFEFF",
  "\uFFFD",
  "event",
  "data",
  "data: x",
  "id: 1",
  "retry: 5",
  "message",
  "[DONE]",
];
const LINE_ENDS = ["\n", "\r", "\r\n", "\n\r", "\r\r", "\n\n"];
const INJECTIONS = [
  "\ndata: forged\n\n",
  "\r\rdata: forged\r\r",
  "x\r\n\r\nevent: forged\r\ndata: forged\r\n\r\n",
  "\n\nid: forged\n\n",
  "\r:\n",
];
const SURROGATES = ["\uD83C", "\uDF89"];
const RETRIES = [0, -0, 1, 3000, Number.MAX_SAFE_INTEGER];
const INVALID_RETRIES = [
  -1,
  0.5,
  NaN,
  Infinity,
  2 ** 53,
  "1",
  "1\n\ndata: x",
  null,
];

/** Returns a random string, such as a server may get from outside. */
function randomString(random: Random, ...others: string[][]): string {
  const pieces = [PIECES, PIECES, ...others].flat();
  return random.join(pieces, 6);
}

/** Returns a random message, valid or not. */
function randomMessage(random: Random): SseMessage {
  const message: SseMessage = {};
  const hostile = random.chance(0.3);
  const more = hostile ? [LINE_ENDS, INJECTIONS, SURROGATES, ["\0"]] : [];
  if (random.chance(0.5)) {
    message.event = random.chance(0.2)
      ? random.pick(["", "message"])
      : randomString(random, ["\0"], ...more);
  }
  if (random.chance(0.8)) {
    message.data = randomString(random, LINE_ENDS, INJECTIONS, ["\0"], ...more);
  }
  if (random.chance(0.5)) message.id = randomString(random, ...more);
  if (random.chance(0.3)) {
    message.retry = hostile && random.chance(0.3)
      ? random.pick(INVALID_RETRIES) as number
      : random.pick(RETRIES);
  }
  if (random.chance(0.2)) {
    message.comment = randomString(random, LINE_ENDS, INJECTIONS, ["\0"]);
  }
  return message;
}

/** Returns whether the message is valid, so that decoding it restores it. */
function isEncodable(
  { event = "", data = "", id = "", retry = 0, comment = "" }: SseMessage,
): boolean {
  return !/[\r\n]/.test(event) && !/[\r\n\0]/.test(id) &&
    !/[\uD800-\uDFFF]/u.test(event + "|" + data + "|" + id + "|" + comment) &&
    Number.isSafeInteger(retry) && retry >= 0;
}

/** Returns the expected result of decoding the message after `lastEventId`. */
function expectedResult(message: SseMessage, lastEventId: string) {
  const { event = "", data, id = lastEventId, retry, comment } = message;
  const lines = (text: string) => text.replace(/\r\n?/g, "\n").split("\n");
  return {
    events: data === undefined && event === "" ? [] : [{
      event: event || "message",
      data: lines(data ?? "").join("\n"),
      id,
      retry,
    }],
    lastEventId: id,
    reconnectionTime: retry,
    comments: comment === undefined ? [] : lines(comment),
  };
}

/** Decodes the chunks with `SseDecoder`, and returns all that it reports. */
function decodeAll(chunks: (BufferSource | string)[], lastEventId: string) {
  const comments: string[] = [];
  const decoder = new SseDecoder({
    lastEventId,
    onComment: (comment) => comments.push(comment),
  });
  const events = chunks.flatMap((chunk) => decoder.decode(chunk));
  return {
    events: events.map(({ event, data, id, retry }) => ({
      event,
      data,
      id,
      retry,
    })),
    lastEventId: decoder.lastEventId,
    reconnectionTime: decoder.reconnectionTime,
    comments,
  };
}

/** Asserts equality. Comparing JSON first is several times faster. */
function assertSame(actual: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(actual) === JSON.stringify(expected)) return;
  assertEquals(actual, expected, what);
}

Deno.test("encodeSse throws, or writes text that decodes to exactly the message", () => {
  const cases = scaled(10_000);
  let decoded = 0;
  let rejected = 0;
  for (let seed = 1; seed <= cases; seed++) {
    const random = new Random(seed);
    const message = randomMessage(random);
    const what = `seed ${seed}, ${JSON.stringify(message)}`;
    const lastEventId = random.pick(["", "before"]);
    if (!isEncodable(message)) {
      assertThrows(() => encodeSse(message), TypeError, "Expected", what);
      rejected++;
      continue;
    }
    const text = encodeSse(message);
    const bytes = utf8.encode(text);
    const expected = expectedResult(message, lastEventId);
    decoded += expected.events.length;
    const chunks = randomChunks(random, bytes).map(({ chunk }) => chunk);
    assertSame(decodeAll([text], lastEventId), expected, what);
    assertSame(decodeAll([bytes], lastEventId), expected, what);
    assertSame(decodeAll(chunks, lastEventId), expected, what);
    assertSame(interpret(bytes, lastEventId), expected, what);
  }
  // Both outcomes must be common.
  assert(decoded > cases / 2, `${decoded} of ${cases} were decoded`);
  assert(rejected > cases / 20, `${rejected} of ${cases} were rejected`);
});

Deno.test("encodeSse and SseEncoderStream write messages that decode one by one", async () => {
  for (let seed = 1; seed <= 1000; seed++) {
    const random = new Random(seed);
    const messages = Array.from({ length: 20 }, () => randomMessage(random))
      .filter(isEncodable);
    const text = messages.map(encodeSse).join("");
    const expected: ReturnType<typeof expectedResult> = {
      events: [],
      lastEventId: "",
      reconnectionTime: undefined,
      comments: [],
    };
    // The retry of a message without data, which the next event reports.
    let retry: number | undefined;
    for (const message of messages) {
      const one = expectedResult(message, expected.lastEventId);
      retry = one.reconnectionTime ?? retry;
      for (const event of one.events) {
        expected.events.push({ ...event, retry });
        retry = undefined;
      }
      expected.comments.push(...one.comments);
      expected.lastEventId = one.lastEventId;
      expected.reconnectionTime = one.reconnectionTime ??
        expected.reconnectionTime;
    }
    const what = `seed ${seed}, ${JSON.stringify(messages)}`;
    assertSame(decodeAll([text], ""), expected, what);
    assertSame(interpret(utf8.encode(text)), expected, what);
    if (seed <= 100) assertEquals(await encodeAsStream(messages), text, what);
  }
});

Deno.test("encodeSse writes an ID or reconnection time that applies without an event", () => {
  const decoder = new SseDecoder();
  assertEquals(decoder.decode(encodeSse({ id: "7" })), []);
  assertEquals(decoder.lastEventId, "7");
  assertEquals(decoder.decode(encodeSse({ retry: 50 })), []);
  assertEquals(decoder.reconnectionTime, 50);
  assertEquals(decoder.decode(encodeSse({ id: "" })), []);
  assertEquals(decoder.lastEventId, "");
});

Deno.test("encodeSse escapes characters of JSON at which some readers end a line", () => {
  const json = { "\u2028": "a\u2028b\u2029c\x85d\x85", plain: "é☃" };
  const text = encodeSse({ json });
  assertEquals(
    text,
    'data: {"\\u2028":"a\\u2028b\\u2029c\\u0085d\\u0085","plain":"é☃"}\n\n',
  );
  assertEquals(JSON.parse(text.slice("data: ".length)), json);
});

Deno.test("encodeSse writes a lone surrogate that JSON.stringify has escaped", () => {
  const [event] = decode(encodeSse({ data: JSON.stringify("\uD83C") }));
  assertEquals(event.json(), "\uD83C");
});

Deno.test("encodeSse writes a message of a million lines", () => {
  const data = "\n".repeat(1_000_000);
  const [event] = decode(encodeSse({ data }));
  assert(event.data === data);
});

Deno.test("encodeSse does not change the message", () => {
  const message = Object.freeze({ event: "tick" });
  encodeSse(message);
  assertEquals(message, { event: "tick" });
});

/** Asserts that encoding in both ways and decoding restores the events. */
async function assertRoundTrip(
  events: ServerSentEvent[],
  what?: string,
): Promise<void> {
  const body = ReadableStream.from(events)
    .pipeThrough(new SseEncoderStream())
    .pipeThrough(new SseEventStream());
  assertEquals(await Array.fromAsync(body), events, what);
  assertEquals(decode(events.map(encodeSse).join("")), events, what);
}

Deno.test("encodeSse and SseEncoderStream keep all fields of ServerSentEvents", async () => {
  await assertRoundTrip([
    new ServerSentEvent(),
    new ServerSentEvent({ event: "tick", data: "a\n\n b:c\n" }),
    new ServerSentEvent({ data: "\uFEFFdata: x\0", retry: 0 }),
    new ServerSentEvent({ event: " \uFEFF:\0", data: " ", id: " ☃:" }),
  ]);
});

Deno.test("encodeSse and SseEncoderStream keep an ID that stays, changes or is reset", async () => {
  const ids = ["", "1", "1", "2", "", "", "2", "1", ""];
  await assertRoundTrip(
    ids.map((id) => new ServerSentEvent({ data: "x", id })),
  );
});

Deno.test("encodeSse and SseEncoderStream keep reconnection times", async () => {
  const times = [undefined, 1000, undefined, 1000, 0];
  await assertRoundTrip(
    times.map((retry) => new ServerSentEvent({ data: "x", retry })),
  );
});

Deno.test("encodeSse and SseEncoderStream keep events decoded from random streams", async () => {
  let count = 0;
  for (let seed = 1; seed <= 1000; seed++) {
    const events = decode(randomText(new Random(seed)));
    count += events.length;
    await assertRoundTrip(events, `seed ${seed}`);
  }
  assert(count > 1000);
});

Deno.test("SseEncoderStream writes the ID of decoded events only if it changes", async () => {
  const events = decode(
    "data: 0\n\nid: 1\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\ndata: 4\n\n",
  );
  assertEquals(
    await encodeAsStream(events),
    "id: \ndata: 0\n\nid: 1\ndata: 1\n\ndata: 2\n\nid: \ndata: 3\n\ndata: 4\n\n",
  );
});

Deno.test("encodeSse throws the error of JSON.stringify", () => {
  assertThrows(() => encodeSse({ json: 1n }), TypeError);
});

Deno.test("SseEncoderStream resets an ID that a reader may still have", async () => {
  const [event] = decode("id\ndata: x\n\n");
  const decoder = new SseDecoder({ lastEventId: "5" });
  const [again] = decoder.decode(await encodeAsStream([event]));
  assertEquals(again, event);
  assertEquals(decoder.lastEventId, "");
});

Deno.test("SseEncoderStream recognizes a decoded event by its method json()", async () => {
  // As from another copy of this module, or from another library.
  const event = { data: "x", id: "1", json: () => "x" };
  assertEquals(
    await encodeAsStream([event, event]),
    "id: 1\ndata: x\n\ndata: x\n\n",
  );
});

Deno.test("SseEncoderStream reads the getters of an event's class", async () => {
  class Event {
    #data: string;
    constructor(data: string) {
      this.#data = data;
    }
    get data() {
      return this.#data;
    }
    get id() {
      return "7";
    }
    get comment() {
      return "note";
    }
    json() {}
  }
  assertEquals(
    await encodeAsStream([new Event("1"), new Event("2")]),
    ": note\nid: 7\ndata: 1\n\n: note\ndata: 2\n\n",
  );
});

Deno.test("SseEncoderStream writes every ID of messages that are not decoded events", async () => {
  assertEquals(
    await encodeAsStream([{ id: "1" }, { id: "1", data: "x" }, {
      id: "",
      data: "y",
    }]),
    "id: 1\n\nid: 1\ndata: x\n\nid: \ndata: y\n\n",
  );
});

Deno.test("SseEncoderStream omits the ID of a decoded event if another message has set it", async () => {
  assertEquals(
    await encodeAsStream([
      { id: "1" },
      new ServerSentEvent({ data: "a", id: "1" }),
      { data: "b" },
      new ServerSentEvent({ data: "c", id: "1" }),
      { id: "", data: "d" },
      new ServerSentEvent({ data: "e", id: "" }),
      new ServerSentEvent({ data: "f", id: "1" }),
    ]),
    "id: 1\n\ndata: a\n\ndata: b\n\ndata: c\n\nid: \ndata: d\n\n" +
      "data: e\n\nid: 1\ndata: f\n\n",
  );
});

Deno.test("SseEncoderStream emits a chunk per message, and none for an empty message", async () => {
  const body = ReadableStream.from([{}, { data: "a\nb" }, { event: "" }, {
    comment: "c",
  }, {}]).pipeThrough(new SseEncoderStream());
  const chunks = await Array.fromAsync(body);
  assertEquals(
    chunks.map((chunk) => new TextDecoder().decode(chunk)),
    ["data: a\ndata: b\n\n", ": c\n"],
  );
});

Deno.test("SseEncoderStream reads messages only on demand", async () => {
  let produced = 0;
  const source = ReadableStream.from((function* () {
    while (true) yield { data: String(produced++) };
  })());
  const reader = source.pipeThrough(new SseEncoderStream()).getReader();
  for (let i = 0; i < 3; i++) await reader.read();
  assertLess(produced, 6);
  await reader.cancel();
});

Deno.test("SseEncoderStream errors at an invalid message, and closes its source", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const source = ReadableStream.from((function* () {
    try {
      yield { data: "1" };
      yield { id: "\n" };
      yield { data: "3" };
    } finally {
      resolve();
    }
  })());
  const reader = source.pipeThrough(new SseEncoderStream()).getReader();
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), "data: 1\n\n");
  await assertRejects(() => reader.read(), TypeError, "Expected id ");
  await deadline(ended, "the source to end");
});

Deno.test("SseEncoderStream errors with the error of its source", async () => {
  const source = ReadableStream.from((function* () {
    yield { data: "1" };
    throw new RangeError("no more");
  })());
  const body = source.pipeThrough(new SseEncoderStream());
  await assertRejects(() => new Response(body).text(), RangeError, "no more");
});

const retriesOfText = {
  "retry: 7\n\ndata: a\n\ndata: b\n\n": [7, undefined],
  "retry: 7\n\nid: 1\n\ndata: a\n\ndata: b\n\n": [7, undefined],
  "retry: 6\n\nid: 1\n\nretry: 7\n\ndata: a\n\ndata: b\n\n": [7, undefined],
  "retry: 6\n\nretry: 7\ndata: a\n\ndata: b\n\n": [7, undefined],
  "retry: 7\ndata: a\n\nretry: 8\n\ndata: b\n\n": [7, 8],
  "data: a\n\nretry: 0\n\ndata: b\n\n": [undefined, 0],
};
for (const [text, retries] of Object.entries(retriesOfText)) {
  Deno.test(`sseResponse and SseEncoderStream forward the retry of a block without data: ${JSON.stringify(text)}`, async () => {
    const source = () =>
      new Response(text, { headers: { "content-type": "text/event-stream" } });
    const ways = [
      source().body!.pipeThrough(new SseEventStream())
        .pipeThrough(new SseEncoderStream()),
      sseResponse(readSse(source())).body!,
      sseResponse(source().body!.pipeThrough(new SseEventStream())).body!,
    ];
    for (const body of ways) {
      const written = await new Response(body).text();
      assertEquals(
        new SseDecoder().decode(written).map(({ retry }) => retry),
        retries,
      );
    }
  });
}
