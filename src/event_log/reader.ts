/**
 * What the readers of all logs have in common.
 *
 * @module
 */

import { check, checkSignal, checkTimeout } from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type Sink,
  type Subscribable,
  SUBSCRIBE,
  type Subscription,
} from "../write/subscription.ts";
import {
  EventLogIdleError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";

type Result = IteratorResult<SseMessage, undefined>;

const END: Result = { done: true, value: undefined };

/** What a reader needs of a log to check whether it is idle. */
interface WithStatus {
  status(): EventLogStatus | Promise<EventLogStatus>;
}

/** The maximum time in ms between two checks of a log that may be idle. */
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
 * A reader of a log. It is an async iterator, but a sink can subscribe to it
 * instead. It fails if its signal aborts, or if its log is idle for too long.
 */
export abstract class LogReader
  implements
    AsyncIterableIterator<SseMessage, undefined>,
    Subscribable,
    Subscription {
  protected readonly signal: AbortSignal | undefined;
  readonly #idleTimeout: number | undefined;
  readonly #log: WithStatus;
  readonly #calls = new Calls();
  #sink: Sink = this.#calls;
  /**
   * - `"new"`: nothing was read yet.
   * - `"paused"`: the sink does not want a message now.
   * - `"flowing"`: the sink waits for a message.
   * - `"over"`: the reader has ended, has failed or was canceled.
   */
  #state: "new" | "paused" | "flowing" | "over" = "new";
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    log: WithStatus,
    options: EventLogReadOptions,
  ) {
    this.#log = log;
    this.#idleTimeout = checkReadOptions(options);
    this.signal = options.signal;
  }

  /**
   * Writes the messages that there are. If the sink wants more, arranges to be
   * called again when there are more.
   */
  protected abstract flow(): void;

  /** Cancels what `flow` has arranged. */
  protected abstract leave(): void;

  /** Whether a reader that is flowing has written the newest message. */
  protected isAtEnd(_lastId: string): boolean {
    return true;
  }

  protected get isFlowing(): boolean {
    return this.#state === "flowing";
  }

  protected get isOver(): boolean {
    return this.#state === "over";
  }

  /** Writes a message. Returns whether the sink wants another one. */
  protected write(message: SseMessage): boolean {
    if (this.isOver) return false;
    const wantsMore = this.#sink.write(message);
    if (!wantsMore && this.isFlowing) this.#state = "paused";
    return this.isFlowing;
  }

  /** Ends the reader. */
  protected close(): void {
    if (this.isOver) return;
    this.#stop();
    this.#sink.close();
  }

  fail(reason: unknown): void {
    if (this.isOver) return;
    this.#stop();
    this.#sink.error(reason);
  }

  [SUBSCRIBE](sink: Sink): Subscription {
    this.#sink = sink;
    return this;
  }

  pull(): void {
    // It may have ended before the sink has subscribed, or before `next()`.
    if (this.isOver) return this.#calls.tellEnd(this.#sink);
    if (this.signal?.aborted) return this.handleEvent();
    if (this.#state === "new") {
      this.signal?.addEventListener("abort", this);
      this.#watchIdle(Date.now(), 0);
    }
    this.#state = "flowing";
    this.flow();
  }

  cancel(): void {
    this.#stop();
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

  /** Checks after `delay` ms, and then repeatedly, whether the log is idle. */
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
    // A reader that is paused waits for its client, not for the log.
    if (!this.isFlowing) return Math.min(timeout, MAX_LOOK_DELAY);
    const { idle, lastId } = await this.#log.status();
    // If nothing was appended yet, or the time is not known, it counts from the
    // first read.
    const left = timeout - (idle === Infinity ? Date.now() - start : idle);
    if (left <= 0 && !this.isAtEnd(lastId)) {
      return Math.min(timeout, MAX_LOOK_DELAY);
    }
    return left;
  }
}

/** How a reader ended. */
type End = { readonly error?: unknown; readonly isError: boolean };

/** A sink that settles the pending calls of `next()`. */
class Calls implements Sink {
  readonly #waiting: PromiseWithResolvers<Result>[] = [];
  /** How the reader ended, until a call has thrown its error. */
  #end: End | undefined;

  add(reader: Subscription): Promise<Result> {
    const call = deferred<Result>();
    this.#waiting.push(call);
    reader.pull();
    return call.promise;
  }

  write(message: SseMessage): boolean {
    this.#waiting.shift()!.resolve({ done: false, value: message });
    return this.#waiting.length > 0;
  }

  close(): void {
    this.#end = { isError: false };
    this.#settle();
  }

  error(error: unknown): void {
    this.#end = { error, isError: true };
    this.#settle();
  }

  /** Tells another sink how the reader ended. */
  tellEnd(sink: Sink): void {
    if (this.#end?.isError) sink.error(this.#end.error);
    else sink.close();
  }

  /** Settles all pending calls. An error is thrown only by the first one. */
  #settle(): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      const { isError, error } = this.#end!;
      if (isError) reject(error);
      else resolve(END);
      this.#end = { isError: false };
    }
  }
}
