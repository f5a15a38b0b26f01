/**
 * What the readers of all logs have in common.
 *
 * @module
 */

import { check, checkSignal, checkTimeout } from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import type { SseMessage } from "../write/encoder.ts";
import { END, POLL, type Pollable, type Waker } from "../write/poll.ts";
import {
  type Sink,
  type Subscribable,
  SUBSCRIBE,
  type Subscription,
} from "./subscription.ts";
import {
  EventLogIdleError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";

type Result = IteratorResult<SseMessage, undefined>;

/** The longest time in ms between two looks at a log that may be idle. */
const MAX_LOOK_DELAY = 1000;

/** Checks the options of a read. Returns `idleTimeout` as a delay for a timer. */
export function checkReadOptions(
  { follow, signal, idleTimeout }: EventLogReadOptions,
): number | undefined {
  checkSignal(signal);
  const isBoolean = follow === undefined || typeof follow === "boolean";
  check(isBoolean, "follow to be a boolean", follow);
  return checkTimeout("idleTimeout", idleTimeout);
}

/**
 * A reader of a log: an async iterator, until something subscribes to it or polls
 * it. It ends with its signal, and if its log is idle for too long.
 */
export abstract class LogReader
  implements
    AsyncIterableIterator<SseMessage, undefined>,
    Pollable,
    Subscribable,
    Subscription {
  protected readonly signal: AbortSignal | undefined;
  readonly #idleTimeout: number | undefined;
  readonly #calls = new Calls();
  #sink: Sink = this.#calls;
  /**
   * - `"new"`: nothing was asked for.
   * - `"paused"`: the sink wants nothing more for now.
   * - `"flowing"`: the sink waits for a message.
   * - `"over"`: the reader has ended, has failed or was canceled.
   */
  #state: "new" | "paused" | "flowing" | "over" = "new";
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EventLogReadOptions) {
    this.#idleTimeout = checkReadOptions(options);
    this.signal = options.signal;
  }

  /** Writes what there is, and arranges to be called again if there is more. */
  protected abstract flow(): void;

  /** Stops what was arranged. */
  protected abstract leave(): void;

  protected abstract status(): Promise<EventLogStatus>;

  /** Whether all messages of the log were written. */
  protected abstract get isAtEnd(): boolean;

  protected get isFlowing(): boolean {
    return this.#state === "flowing";
  }

  protected get isOver(): boolean {
    return this.#state === "over";
  }

  /** Writes a message. Returns whether the sink wants another one. */
  protected write(message: SseMessage): boolean {
    const wantsMore = this.#sink.write(message);
    if (!wantsMore && this.isFlowing) this.#state = "paused";
    return wantsMore && this.isFlowing;
  }

  /** Ends the reader. */
  protected close(): void {
    if (this.isOver) return;
    this.#stop();
    this.#sink.close();
  }

  protected fail(reason: unknown): void {
    if (this.isOver) return;
    this.#stop();
    this.#sink.error(reason);
  }

  [SUBSCRIBE](sink: Sink): Subscription {
    this.#sink = sink;
    return this;
  }

  [POLL](waker: Waker): Result | undefined {
    const polls = this.#sink instanceof Polls ? this.#sink : new Polls();
    // What has ended before the first poll.
    if (polls !== this.#sink) polls.end = this.#calls.end;
    this.#sink = polls;
    return polls.poll(waker, this);
  }

  pull(): void {
    if (this.isOver) return this.#sink.close();
    if (this.signal?.aborted) return this.handleEvent();
    if (this.#state === "new") {
      this.signal?.addEventListener("abort", this);
      this.#watchIdle(Date.now(), 0);
    }
    this.#state = "flowing";
    this.flow();
  }

  cancel(): void {
    if (!this.isOver) this.#stop();
  }

  next(): Promise<Result> {
    return this.#calls.add(this);
  }

  return(): Promise<Result> {
    this.close();
    return Promise.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Called when the signal aborts. */
  handleEvent(): void {
    this.fail(this.signal!.reason);
  }

  #stop(): void {
    this.#state = "over";
    clearTimeout(this.#idleTimer);
    this.signal?.removeEventListener("abort", this);
    this.leave();
  }

  /** Looks after `delay` ms, and then again and again, whether the log is idle. */
  #watchIdle(start: number, delay: number): void {
    if (this.#idleTimeout === undefined) return;
    this.#idleTimer = setTimeout(async () => {
      const left = await this.#timeLeft(start).catch(() => MAX_LOOK_DELAY);
      if (this.isOver) return;
      if (left > 0) return this.#watchIdle(start, left);
      this.fail(new EventLogIdleError(this.#idleTimeout!));
    }, delay);
  }

  /** The time in ms until the log counts as idle. */
  async #timeLeft(start: number): Promise<number> {
    const timeout = this.#idleTimeout!;
    // One that waits for its client is not to blame.
    if (!this.isFlowing) return Math.min(timeout, MAX_LOOK_DELAY);
    const { idle } = await this.status();
    // Nobody has appended to a log of which no time is known.
    const left = timeout - (idle === Infinity ? Date.now() - start : idle);
    if (left <= 0 && !this.isAtEnd) return Math.min(timeout, MAX_LOOK_DELAY);
    return left;
  }
}

/** What the next call or poll gets once the reader is over. */
type End = { readonly error?: unknown; readonly isError: boolean };

/** The calls of `next()` that have not been answered, as a sink. */
class Calls implements Sink {
  readonly #waiting: PromiseWithResolvers<Result>[] = [];
  end: End | undefined;

  add(reader: Subscription): Promise<Result> {
    const call = deferred<Result>();
    this.#waiting.push(call);
    if (this.end !== undefined) this.#settle();
    else if (this.#waiting.length === 1) reader.pull();
    return call.promise;
  }

  write(message: SseMessage): boolean {
    this.#waiting.shift()!.resolve({ done: false, value: message });
    return this.#waiting.length > 0;
  }

  close(): void {
    this.end = { isError: false };
    this.#settle();
  }

  error(error: unknown): void {
    this.end = { error, isError: true };
    this.#settle();
  }

  /** Answers all calls. An error is thrown once. */
  #settle(): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      const { isError, error } = this.end!;
      if (isError) reject(error);
      else resolve(END);
      this.end = { isError: false };
    }
  }
}

/** One that polls, as a sink. */
class Polls implements Sink {
  #waker: Waker | undefined;
  /** The message of the poll that is being answered. */
  #message: SseMessage | undefined;
  end: End | undefined;

  poll(waker: Waker, reader: Subscription): Result | undefined {
    this.#waker = undefined;
    this.#message = undefined;
    if (this.end === undefined) reader.pull();
    if (this.#message !== undefined) {
      return { done: false, value: this.#message };
    }
    const { end } = this;
    if (end === undefined) {
      this.#waker = waker;
      return undefined;
    }
    this.end = { isError: false };
    if (end.isError) throw end.error;
    return END;
  }

  write(message: SseMessage): boolean {
    if (this.#waker) return this.#waker.wake(message);
    this.#message = message;
    return false;
  }

  close(): void {
    this.end = { isError: false };
    this.#waker?.wake();
  }

  error(error: unknown): void {
    this.end = { error, isError: true };
    this.#waker?.wake();
  }
}
