import { assert, assertEquals, assertThrows } from "@std/assert";
import { SseDecoder } from "../../mod.ts";
import { interpret } from "../reference.ts";
import { Random, randomBytes, randomChunks } from "../support/random.ts";
import { scaled } from "../support/scale.ts";

Deno.test("SseDecoder.end() returns the event that has no blank line", () => {
  for (
    const [stream, data] of [
      ["data: a", "a"],
      ["data: a\n", "a"],
      ["data: a\r", "a"],
      ["data: a\ndata: b", "a\nb"],
      ["data: a\nevent: cut o", "a"],
      ["data: a\ndat", "a"],
      ["data", ""],
    ]
  ) {
    const decoder = new SseDecoder();
    assertEquals(decoder.decode(stream), []);
    assertEquals(decoder.end()?.data, data, JSON.stringify(stream));
  }
});

Deno.test("SseDecoder.end() returns undefined without an unfinished event", () => {
  for (const stream of ["", "data: a\n\n", ": a", "id: 1\nevent: x\n", "dat"]) {
    const decoder = new SseDecoder();
    decoder.decode(stream);
    assertEquals(decoder.end(), undefined, JSON.stringify(stream));
  }
});

Deno.test("SseDecoder.end() sets the event's type, id and retry, and keeps lastEventId", () => {
  const decoder = new SseDecoder({ lastEventId: "0" });
  decoder.decode("retry: 5\nid: 1\nevent: x\ndata: a\n");
  const { event, data, id, retry } = decoder.end()!;
  assertEquals({ event, data, id, retry }, {
    event: "x",
    data: "a",
    id: "1",
    retry: 5,
  });
  assertEquals(decoder.lastEventId, "0");
});

Deno.test("SseDecoder.end() replaces an incomplete UTF-8 sequence, as the standard does", () => {
  const decoder = new SseDecoder();
  decoder.decode(new TextEncoder().encode("data: ☃").subarray(0, -1));
  assertEquals(decoder.end()?.data, "\ufffd");
});

Deno.test("SseDecoder.end() resets the decoder for the next stream", () => {
  const decoder = new SseDecoder();
  decoder.decode("id: 1\nevent: x\ndata: a");
  decoder.end();
  const [{ event, data, id }] = decoder.decode("\ufeffdata: b\n\n");
  assertEquals({ event, data, id }, { event: "message", data: "b", id: "" });
});

Deno.test("SseDecoder.end() returns retry with one event only", () => {
  const decoder = new SseDecoder();
  decoder.decode("retry: 5\ndata: a");
  assertEquals(decoder.end()?.retry, 5);
  assertEquals(decoder.decode("data: b\n\n")[0].retry, undefined);
  assertEquals(decoder.reconnectionTime, 5);
});

Deno.test("SseDecoder.end() throws after a failed call until reset()", () => {
  const decoder = new SseDecoder({ maxEventSize: 5 });
  assertThrows(() => decoder.decode("data: too large\n\n"));
  assertThrows(() => decoder.end(), TypeError, "reset()");
  decoder.reset();
  assertEquals(decoder.end(), undefined);
});

Deno.test("SseDecoder.end() agrees with the reference implementation on random streams", () => {
  const cases = scaled(1000);
  const utf8 = new TextEncoder();
  let unfinished = 0;
  for (let seed = 1; seed <= cases; seed++) {
    const random = new Random(seed);
    const bytes = randomBytes(random);
    const decoder = new SseDecoder();
    for (const { chunk } of randomChunks(random, bytes)) decoder.decode(chunk);

    // The same stream with its blank line, and without an unfinished line that
    // is not data.
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    const start = Math.max(text.lastIndexOf("\n"), text.lastIndexOf("\r")) + 1;
    const bom = start === 0 && text.startsWith("\ufeff") ? 1 : 0;
    const isData = /^data(:|$)/.test(text.slice(start + bom));
    const finished = (isData ? text : text.slice(0, start)) + "\n\n";
    const { events, lastEventId } = interpret(bytes);
    const expected = interpret(utf8.encode(finished)).events[events.length];

    const event = decoder.end();
    const actual = event && {
      event: event.event,
      data: event.data,
      id: event.id,
      retry: event.retry,
    };
    assertEquals(actual, expected, `seed ${seed}`);
    assertEquals(decoder.lastEventId, lastEventId, `seed ${seed}`);
    if (event) unfinished++;
  }
  assert(unfinished > cases / 20, `${unfinished} unfinished events`);
});
