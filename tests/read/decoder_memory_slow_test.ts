import { assert, assertEquals, assertThrows } from "@std/assert";
import { type ServerSentEvent, SseDecoder, SseError } from "../../mod.ts";
import { interpret } from "../reference.ts";
import { heldBytes } from "../support/garbage.ts";
import { slowTest } from "../support/slow_test.ts";

const MiB = 1024 * 1024;

function dataOf(events: ServerSentEvent[]): string[] {
  return events.map((event) => event.data);
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

slowTest("SseDecoder decodes a 16 MiB event in 1 KiB chunks", () => {
  const line = "0123456789abcdef".repeat(64);
  const decoder = new SseDecoder();
  decoder.decode("data: ");
  // If each chunk cost as much as all before it, this would not finish.
  const bytes = encode(line);
  for (let i = 0; i < 16 * 1024; i++) decoder.decode(bytes);
  const [event] = decoder.decode("\n\n");
  assert(event.data === line.repeat(16 * 1024));
});

slowTest("SseDecoder decodes 16 MiB of short data lines as one event", () => {
  const bytes = encode("data: 0123456789\n".repeat(64));
  const decoder = new SseDecoder();
  for (let i = 0; i < 16 * 1024; i++) decoder.decode(bytes);
  const [event] = decoder.decode("\n");
  assert(event.data === "0123456789\n".repeat(MiB).slice(0, -1));
});

slowTest("SseDecoder decodes streams of 512 KiB one byte at a time", () => {
  const streams = [
    "data: " + "x".repeat(MiB / 2) + "\n\n",
    "data\n".repeat(MiB / 10) + "\n",
    "x".repeat(MiB / 2) + "\ndata\n\n",
    "data" + "x".repeat(MiB / 2) + "\ndata\n\n",
    "\r".repeat(MiB / 2) + "data\n\n",
  ];
  for (const stream of streams) {
    const bytes = encode(stream);
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

slowTest("SseDecoder decodes millions of lines in one chunk", () => {
  for (const lineEnd of ["\n", "\r", "\r\n"]) {
    const lines = ("x" + lineEnd).repeat(2 ** 21);
    const event = "data: a" + lineEnd + lineEnd;
    const events = new SseDecoder().decode(lines + event + lines);
    assertEquals(dataOf(events), ["a"]);
  }
});

slowTest("SseDecoder decodes 100,000 events in one chunk", () => {
  const events = new SseDecoder().decode("data: a\n\n".repeat(100_000));
  assertEquals(events.length, 100_000);
});

slowTest(
  "SseDecoder does not retain whole chunks for the short lines in them",
  () => {
    const line = "data: a line that is long enough to be a part of its chunk\n";
    const comment = ":" + "x".repeat(256 * 1024) + "\n";
    const bytes = encode(comment + line);
    const decoder = new SseDecoder();
    const before = heldBytes();
    for (let i = 0; i < 1023; i++) decoder.decode(bytes);
    assert(heldBytes() - before < 128 * MiB);
    const [event] = decoder.decode("\n");
    assertEquals(event.data.split("\n").length, 1023);
  },
);

for (const [what, start] of [["line", "data: "], ["event", ""]]) {
  slowTest(
    `SseDecoder releases its buffer if the ${what} is too large`,
    () => {
      const decoder = new SseDecoder({ maxEventSize: 64 * MiB });
      const chunk = encode(
        what === "line" ? "x".repeat(MiB) : `data: ${"x".repeat(MiB - 7)}\n`,
      );
      decoder.decode(start);
      const before = heldBytes();
      const tooLarge = () => {
        for (let i = 0; i < 70; i++) decoder.decode(chunk);
      };
      assertThrows(tooLarge, SseError);
      assert(heldBytes() - before < 16 * MiB);
      assertThrows(() => decoder.decode("\n"), TypeError, "reset()");
    },
  );
}

slowTest(
  "SseDecoder has a default maxEventSize of 64 Mi UTF-16 code units",
  () => {
    const chunk = encode("x".repeat(MiB));
    const decoder = new SseDecoder();
    decoder.decode("data:");
    for (let i = 0; i < 63; i++) decoder.decode(chunk);
    decoder.decode(chunk.subarray("data:".length));
    assertThrows(() => decoder.decode("x"), SseError, String(64 * MiB));

    const unlimited = new SseDecoder({ maxEventSize: Infinity });
    unlimited.decode("data:");
    for (let i = 0; i < 65; i++) unlimited.decode(chunk);
    assertEquals(unlimited.decode("\n\n")[0].data.length, 65 * MiB);
  },
);
