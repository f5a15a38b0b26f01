/**
 * What no reader can beat: every chunk is read and decoded, and ready-made
 * events are handed out by the cheapest async iterator there is.
 */
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";
import type { Workload } from "../workloads.ts";

export const read: Read = (workload) => tally(new Floor(workload));

class Floor implements AsyncIterableIterator<{ data: string }> {
  readonly #events: { data: string }[];
  readonly #completes: number[];
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #decoder = new TextDecoder();
  #chunk = 0;
  #next = 0;
  #ready = 0;

  constructor({ chunks, events, completes }: Workload) {
    this.#events = events;
    this.#completes = completes;
    this.#reader = respond(chunks).body!.getReader();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next(): Promise<IteratorResult<{ data: string }>> {
    if (this.#next === this.#ready) return this.#read();
    return Promise.resolve({ done: false, value: this.#events[this.#next++] });
  }

  async #read(): Promise<IteratorResult<{ data: string }>> {
    while (true) {
      const { done, value } = await this.#reader.read();
      if (done) return { done, value: undefined };
      this.#decoder.decode(value); // cheaper than with `stream: true`
      this.#ready += this.#completes[this.#chunk++];
      if (this.#next < this.#ready) {
        return { done: false, value: this.#events[this.#next++] };
      }
    }
  }
}
