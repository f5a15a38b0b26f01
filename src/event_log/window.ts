/**
 * The newest messages of a log, in memory.
 *
 * @module
 */

import type { SseMessage } from "../write/encoder.ts";

/** A message with its id. */
export interface Entry {
  id: string;
  message: SseMessage;
  /** The size of the encoded message in bytes. */
  size: number;
  /** The time of the append, by `Date.now()`. */
  time: number;
}

/** Numbered messages without a gap. */
export class LogWindow {
  /** The entries before the index `#head` were dropped. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;

  /** The number of the oldest entry. */
  first = 1;
  /** The number of the entry that comes next. */
  next = 1;
  /** The size of all entries in bytes. */
  size = 0;
  /** Whether no entry will follow. */
  ended = false;

  get length(): number {
    return this.next - this.first;
  }

  /** Returns an entry, or undefined if it was dropped or is still to come. */
  entry(number: number): Entry | undefined {
    return this.#entries[this.#head + number - this.first];
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.size += entry.size;
    this.next++;
  }

  dropFirst(): Entry {
    const entry = this.#entries[this.#head]!;
    this.#entries[this.#head++] = undefined;
    this.first++;
    this.size -= entry.size;
    // The array is copied only now and then, so that a drop is O(1) on average.
    if (this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }
}
