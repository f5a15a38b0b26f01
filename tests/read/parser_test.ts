// What the connection needs beyond `SseDecoder`, whose tests are in
// decoder_test.ts and decoder_end_test.ts.

import { assertEquals, assertThrows } from "@std/assert";
import type { ServerSentEvent, SseError } from "../../mod.ts";
import { EventStreamParser } from "../../src/read/parser.ts";
import { Random, randomBytes, randomChunks } from "../support/random.ts";
import { scaled } from "../support/scale.ts";

/** Returns what a parser remembers of a stream that has ended. */
function foreignText(...chunks: string[]): string {
  const parser = new EventStreamParser({});
  for (const chunk of chunks) parser.decode(chunk);
  parser.end();
  return parser.foreignText;
}

const foreign = [
  '{"error":{"code":400}}',
  '{\n  "error": "No"\n}',
  "<html>",
  'error: {"code":400}',
  "error",
  "error:",
  " data: a",
  "0: a",
  "a b: c",
  "_: a",
  "Bad gateway",
  "é",
  "\ufffd",
];
for (const text of foreign) {
  Deno.test(`EventStreamParser remembers ${JSON.stringify(text)} as foreign text`, () => {
    assertEquals(foreignText(text), text);
    assertEquals(foreignText(`${text}\n\n`), text);
    assertEquals(foreignText(": PROCESSING\n\n", text), text);
    assertEquals(foreignText(`${text}\n\ndata: [DONE]\n\n`), text);
    assertEquals(foreignText(`data: a\n\n${text}`), text);
    // One character a chunk.
    assertEquals(foreignText(...text), text);
    assertEquals(foreignText(...`${text}\n`), text);
  });
}

const ordinary = [
  "",
  "data: a\n\n",
  "dat",
  "d",
  "event",
  "ping: 1\n",
  "ping: 1",
  "unknown-Field_2: a\n",
  "errors: 1\n",
  "erro",
  "Error: 1\n",
  "retry: never\n",
  "id: \0\n",
  ": {}\n",
  ":",
  "\ufeffdata: a",
  "x".repeat(1000),
  `${"x".repeat(1000)}: {`,
];
for (const text of ordinary) {
  const name = JSON.stringify(text.slice(0, 20));
  Deno.test(`EventStreamParser does not take ${name} for foreign text`, () => {
    assertEquals(foreignText(text), "");
    assertEquals(foreignText(...text), "");
  });
}

Deno.test("EventStreamParser remembers the first 200 characters of foreign lines", () => {
  const lines = Array.from({ length: 100 }, (_, i) => `{ line ${i} }`);
  const text = foreignText(lines.join("\n"));
  assertEquals(text, `${lines.join("\n").slice(0, 200)}…`);
  assertEquals(foreignText(...lines.join("\n")), text);
  assertEquals(foreignText("{".repeat(200)), "{".repeat(200));
  assertEquals(foreignText("{".repeat(1e6)), `${"{".repeat(200)}…`);
  const pairs = `{${"🎉".repeat(200)}`;
  assertEquals(foreignText(pairs), `${pairs.slice(0, 199)}…`);
});

Deno.test("EventStreamParser remembers the same foreign text however the stream is split", () => {
  for (let seed = 1; seed <= scaled(3000); seed++) {
    const random = new Random(seed);
    const bytes = randomBytes(random);
    const whole = new EventStreamParser({});
    whole.decode(bytes);
    whole.end();
    const split = new EventStreamParser({});
    for (const { chunk } of randomChunks(random, bytes)) {
      split.decode(chunk);
    }
    split.end();
    assertEquals(split.foreignText, whole.foreignText, `seed ${seed}`);
  }
});

Deno.test("EventStreamParser takes the lines for foreign that a plain reading takes for it", () => {
  const isOrdinary = (line: string) => {
    const [name] = line.split(":", 1);
    return name === "" || name !== "error" && /^[A-Za-z][\w-]*$/.test(name);
  };
  for (let seed = 1; seed <= scaled(3000); seed++) {
    const bytes = randomBytes(new Random(seed));
    // Drops the byte order mark, and a sequence that is cut off at the end.
    const text = new TextDecoder().decode(bytes, { stream: true });
    const expected = text.split(/\r\n|\r|\n/)
      .filter((it) => !isOrdinary(it)).join("\n");
    const parser = new EventStreamParser({});
    parser.decode(bytes);
    parser.end();
    const actual = parser.foreignText;
    const whole = expected.length <= 200 ? expected : expected.slice(0, 199);
    assertEquals(actual.slice(0, 199), whole.slice(0, 199), `seed ${seed}`);
  }
});

Deno.test("EventStreamParser.reset() forgets the foreign text", () => {
  const parser = new EventStreamParser({});
  parser.decode("{}\n");
  parser.reset();
  assertEquals(parser.foreignText, "");
});

Deno.test("EventStreamParser.isAtStart is true until something was parsed", () => {
  const parser = new EventStreamParser({});
  assertEquals(parser.isAtStart, true);
  parser.decode("");
  parser.decode(new Uint8Array());
  assertEquals(parser.isAtStart, true);
  parser.decode(":\n");
  assertEquals(parser.isAtStart, false);
  parser.reset();
  assertEquals(parser.isAtStart, true);
  parser.decode("\r");
  assertEquals(parser.isAtStart, false);
});

Deno.test("EventStreamParser does not take a cut-off UTF-8 sequence for foreign text", () => {
  for (const bytes of [[0xef], [0xef, 0xbb], [0x64, 0x61, 0xe2, 0x98]]) {
    const parser = new EventStreamParser({});
    parser.decode(Uint8Array.from(bytes));
    parser.end();
    assertEquals(parser.foreignText, "");
  }
});

Deno.test("EventStreamParser returns events and comments in order", () => {
  const parser = new EventStreamParser({ onComment: () => {} });
  const items = parser.decode(":1\ndata: a\n\n: 2\n:\n\ndata: b\n\n:3");
  assertEquals(items.map((it) => typeof it === "string" ? it : [it.data]), [
    "1",
    ["a"],
    "2",
    "",
    ["b"],
  ]);
  assertEquals(parser.decode("4\n"), ["34"]);
});

Deno.test("EventStreamParser ignores comments if there is no onComment", () => {
  const parser = new EventStreamParser({});
  assertEquals(parser.decode(": a\n:\n\n: b"), []);
  assertEquals(parser.decode("\n"), []);
});

Deno.test("EventStreamParser returns the events before one that is too large, and then requires reset()", () => {
  const tooLarge = "data: 12345\n\n";
  for (const rest of [[tooLarge], ["data: 12", "345\n\n"], ["data: 123456"]]) {
    const parser = new EventStreamParser({ maxEventSize: 10 });
    const [first, ...others] = rest;
    const items = parser.decode(`data: a\n\n${first}`);
    for (const chunk of others) assertEquals(parser.decode(chunk), []);
    assertEquals(items.map((it) => (it as ServerSentEvent).data), ["a"]);
    assertEquals((parser.failure as SseError).code, "event-too-large");
    assertThrows(() => parser.decode("data: b\n\n"), TypeError, "reset()");
    assertThrows(() => parser.end(), TypeError, "reset()");
    parser.reset();
    assertEquals(parser.failure, undefined);
    assertEquals(parser.decode("data: b\n\n").length, 1);
  }
});
