import { SseDecoder, SseEventStream } from "../../../mod.ts";
import type { ServerSentEvent } from "../../../mod.ts";
import { type Vector, vectors } from "../../vectors.ts";
import { assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, streamOf } from "../read.ts";

// Some runtimes forbid much while a module loads: this must not be among it.
const atModuleScope = new SseDecoder().decode("data: early\n\n");

export const decoding: Case[] = [
  {
    name: "the module can be used while another one loads",
    run() {
      assertEquals(atModuleScope.map(({ data }) => data), ["early"]);
    },
  },
  {
    name: "SseDecoder reads every vector as it is chunked",
    run() {
      for (const vector of vectors) decodes(vector, vector.chunks);
    },
  },
  {
    name: "SseDecoder reads every vector a byte at a time",
    async run() {
      for (const vector of vectors) {
        const bytes = await bytesOf(vector);
        decodes(vector, Array.from(bytes, (byte) => Uint8Array.of(byte)));
      }
    },
  },
  {
    name: "SseDecoder reads every vector cut in two at every byte",
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
    name: "SseEventStream reads every vector as it is chunked",
    async run() {
      for (const vector of vectors) await streams(vector, vector.chunks);
    },
  },
  {
    name: "SseEventStream reads every vector a byte at a time",
    async run() {
      for (const vector of vectors) {
        const bytes = await bytesOf(vector);
        await streams(vector, Array.from(bytes, (byte) => Uint8Array.of(byte)));
      }
    },
  },
];

type Chunks = Vector["chunks"];

/** The one stream of bytes that the chunks of a vector are. */
async function bytesOf({ chunks }: Vector): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Chunks = [];
  for (const chunk of chunks) {
    const last = parts.at(-1);
    // Two texts may share a surrogate pair.
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
