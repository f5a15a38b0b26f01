/**
 * What the readers of all logs have in common.
 *
 * @module
 */

import type { SseMessage } from "../write/encoder.ts";
import { END, POLL, type Pollable, type Waker } from "../write/poll.ts";

type Result = IteratorResult<SseMessage, undefined>;

/** A call of `next`. */
interface Call {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** A reader that returns messages in promises, and at once if it is polled. */
export abstract class LogReader
  implements AsyncIterableIterator<SseMessage>, Pollable, Waker {
  protected readonly signal: AbortSignal | undefined;
  /** The calls of `next` that have yet to be answered. */
  #calls: Call[] | undefined;
  #state: "new" | "asked" | "ended" = "new";
  /** Who asked last. */
  #waker: Waker | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.signal = signal;
  }

  /** The id after which it began, if that takes time to learn. */
  get begun(): string | undefined {
    return undefined;
  }

  protected get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** The next message or the end; or undefined, to wake `waker` in time. */
  protected abstract take(waker: Waker): Result | undefined;

  /** Releases what is being waited for on behalf of `waker`. */
  protected abstract leave(waker: Waker | undefined): void;

  /** Wakes the waiting reader, which then polls again. */
  protected ask(): void {
    this.#waker?.wake();
  }

  [POLL](waker: Waker): Result | undefined {
    if (this.isEnded) return END;
    try {
      if (this.signal !== undefined) this.#heed(this.signal);
      this.#waker = waker;
      const result = this.take(waker);
      if (result?.done) this.end();
      return result;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  next(): Promise<Result> {
    const calls = this.#calls ??= [];
    return new Promise((resolve, reject) => {
      if (calls.push({ resolve, reject }) === 1) this.wake();
    });
  }

  return(): Promise<Result> {
    this.end();
    this.wake();
    this.ask();
    return Promise.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Settles the calls of `next` that can be, in their order. */
  wake(message?: SseMessage): boolean {
    const calls = this.#calls ?? [];
    if (message !== undefined) {
      calls.shift()!.resolve({ done: false, value: message });
    }
    while (calls.length > 0) {
      try {
        const result = this[POLL](this);
        if (result === undefined) return true;
        calls.shift()!.resolve(result);
      } catch (error) {
        calls.shift()!.reject(error);
      }
    }
    return false;
  }

  /** The signal's listener. */
  handleEvent(): void {
    this.ask();
  }

  #heed(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#state === "new") signal.addEventListener("abort", this);
    this.#state = "asked";
  }

  /** Ends it, without notifying the waiter, which is the caller. */
  end(): void {
    if (this.isEnded) return;
    this.#state = "ended";
    this.signal?.removeEventListener("abort", this);
    this.leave(this.#waker);
  }
}
