/**
 * The newest messages of a log, in memory.
 *
 * @module
 */

import type { SseMessage } from "../write/encoder.ts";
import type { Waker } from "../write/poll.ts";

/** A message, and its position in the log. */
export interface Entry {
  id: string;
  message: SseMessage;
  /** In bytes. */
  size: number;
  /** When it was put here, by `Date.now()`. */
  time: number;
}

/** Numbered messages without a gap, and who waits for the next. */
export class LogWindow<Reader> {
  /** The oldest ones before `#head` have been dropped. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  readonly #waiting = new Map<Waker, Reader>();
  readonly #onStop: (reader: Reader) => void;

  /** The number of the oldest entry. */
  first = 1;
  /** The number of the entry that comes next. */
  next = 1;
  /** Of all entries, in bytes. */
  size = 0;
  /** Whether there is none to come. */
  ended = false;

  /** Makes a window that tells when a reader waits no more. */
  constructor(onStop: (reader: Reader) => void = () => {}) {
    this.#onStop = onStop;
  }

  get length(): number {
    return this.next - this.first;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  entry(number: number): Entry | undefined {
    if (number < this.first) return undefined;
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
    // Cut only now and then, so that a drop is O(1) on average.
    if (this.#head > 1000 && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  wait(waker: Waker, reader: Reader): void {
    this.#waiting.set(waker, reader);
  }

  leave(waker: Waker): void {
    this.#waiting.delete(waker);
  }

  /** All who wait, who then wait no more. */
  takeWaiting(): Reader[] {
    const readers = [...this.#waiting.values()];
    this.#waiting.clear();
    return readers;
  }

  /** Hands a message to all who wait, or has them look for one. */
  wakeAll(message?: SseMessage): void {
    // Leaves a reader that keeps waiting in place: with thousands of them, to
    // move each would be most of the time.
    this.#waiting.forEach((reader, waker) => {
      if (waker.wake(message)) return;
      this.#waiting.delete(waker);
      this.#onStop(reader);
    });
  }
}
