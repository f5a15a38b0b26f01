import type { SseConnection } from "../../mod.ts";
import { assert } from "./assert.ts";

/** Returns the type, data and ID of the next event. */
export async function read(sse: SseConnection): Promise<string[]> {
  const { value } = await sse.next();
  assert(value, "Expected an event, got the end");
  return [value.event, value.data, value.id];
}

/** Returns the data of all remaining events. */
export async function readAll(sse: SseConnection): Promise<string[]> {
  const data: string[] = [];
  for await (const event of sse) data.push(event.data);
  return data;
}

/** Returns all remaining values of a stream. */
export async function drain<T>(stream: ReadableStream<T>): Promise<T[]> {
  const values: T[] = [];
  const reader = stream.getReader();
  // Some runtimes do not support async iteration of streams.
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return values;
    values.push(value);
  }
}

/** Like `ReadableStream.from`, which some runtimes lack. */
export function streamOf<T>(values: Iterable<T>): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const value of values) controller.enqueue(value);
      controller.close();
    },
  });
}
