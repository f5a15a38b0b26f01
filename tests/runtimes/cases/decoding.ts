import { SseDecoder, SseEventStream } from "../../../mod.ts";
import type { ServerSentEvent } from "../../../mod.ts";
import { type Vector, vectors } from "../../vectors.ts";
import { assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, streamOf } from "../read.ts";

// Some runtimes, such as workerd, forbid many operations while a module loads.
// Decoding must not need any of them.
const atModuleScope = new SseDecoder().decode("data: early\n\n");

export const decoding: Case[] = [
  {
    name: "SseDecoder works while a module loads",
    run() {
      assertEquals(atModuleScope.map(({ data }) => data), ["early"]);
    },
  },
  {
    name: "SseDecoder decodes every test vector in its own chunks",
    run() {
      for (const vector of vectors) decodes(vector, vector.chunks);
    },
  },
  {
    name: "SseDecoder decodes every test vector one byte at a time",
    async run() {
      for (const vector of vectors) {
        const bytes = await bytesOf(vector);
        decodes(vector, Array.from(bytes, (byte) => Uint8Array.of(byte)));
      }
    },
  },
  {
    name: "SseDecoder decodes every test vector split in two at each byte",
    async run() {
      for (const vector of vectors) {
        const bytes = await bytesOf(vector);
        for (let cut = 0; cut <= bytes.length; cut++) {
          decodes(vector, [bytes.subarray(0, cut), bytes.subarray(cut)]);
        }
      }
    },
  },
  {
    name: "SseEventStream decodes every test vector in its own chunks",
    async run() {
      for (const vector of vectors) await streams(vector, vector.chunks);
    },
  },
  {
    name: "SseEventStream decodes every test vector one byte at a time",
    async run() {
      for (const vector of vectors) {
        const bytes = await bytesOf(vector);
        await streams(vector, Array.from(bytes, (byte) => Uint8Array.of(byte)));
      }
    },
  },
];

type Chunks = Vector["chunks"];

/** Returns the bytes of all chunks of a vector. */
async function bytesOf({ chunks }: Vector): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Chunks = [];
  for (const chunk of chunks) {
    const last = parts.at(-1);
    // A surrogate pair may be split between two strings.
    if (typeof chunk === "string" && typeof last === "string") {
      parts[parts.length - 1] = last + chunk;
    } else {
      parts.push(chunk);
    }
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function decodes(vector: Vector, chunks: Chunks): void {
  const comments: string[] = [];
  const decoder = new SseDecoder({
    onComment: (comment) => comments.push(comment),
  });
  const events = chunks.flatMap((chunk) => decoder.decode(chunk));
  check(vector, events, comments, decoder);
}

async function streams(vector: Vector, chunks: Chunks): Promise<void> {
  const comments: string[] = [];
  const stream = new SseEventStream({
    onComment: (comment) => comments.push(comment),
  });
  const events = await drain(streamOf(chunks).pipeThrough(stream));
  check(vector, events, comments, stream);
}

function check(
  vector: Vector,
  events: ServerSentEvent[],
  comments: string[],
  { lastEventId, reconnectionTime }: SseDecoder | SseEventStream,
): void {
  assertEquals(
    {
      events,
      lastEventId,
      reconnectionTime,
      comments: vector.comments && comments,
    },
    {
      events: vector.events,
      lastEventId: vector.lastEventId,
      reconnectionTime: vector.reconnectionTime,
      comments: vector.comments,
    },
    `"${vector.name}"`,
  );
}
