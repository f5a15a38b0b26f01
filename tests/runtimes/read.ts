import type { SseConnection } from "../../mod.ts";
import { assert } from "./assert.ts";

/** The next event: its type, data and id. */
export async function read(sse: SseConnection): Promise<string[]> {
  const { value } = await sse.next();
  assert(value, "Expected an event, got the end");
  return [value.event, value.data, value.id];
}

/** The data of all events that are left. */
export async function readAll(sse: SseConnection): Promise<string[]> {
  const data: string[] = [];
  for await (const event of sse) data.push(event.data);
  return data;
}

/** All that is left of a stream. */
export async function drain<T>(stream: ReadableStream<T>): Promise<T[]> {
  const values: T[] = [];
  const reader = stream.getReader();
  // Not every runtime can iterate over a stream.
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return values;
    values.push(value);
  }
}

/** A stream of these values; not every runtime has `ReadableStream.from`. */
export function streamOf<T>(values: Iterable<T>): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const value of values) controller.enqueue(value);
      controller.close();
    },
  });
}
