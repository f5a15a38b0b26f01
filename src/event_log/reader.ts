/**
 * What the readers of all logs have in common.
 *
 * @module
 */

import { check, checkSignal, timeoutOption } from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import { wait } from "../internal/wait.ts";
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

/** The maximum time in ms between two checks of a log that may be idle. */
const MAX_LOOK_DELAY = 1000;

/** Checks the options of a read. Returns `idleTimeout` as a delay for a timer. */
export function checkReadOptions(
  options: EventLogReadOptions,
): number | undefined {
  const { follow } = options;
  checkSignal(options.signal);
  const isBoolean = follow === undefined || typeof follow === "boolean";
  check(isBoolean, "follow to be a boolean", follow);
  return timeoutOption(options, "idleTimeout");
}

/** A log whose idle time is watched. */
interface WatchedLog {
  status(): Promise<EventLogStatus>;
  /** Whether another call cannot succeed. By default, it may. */
  isPermanent?(error: unknown): boolean;
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
  readonly #log: WatchedLog;
  readonly #calls = new Calls();
  #sink: Sink = this.#calls;
  /**
   * - `"new"`: nothing was read yet.
   * - `"paused"`: the sink does not want a message now.
   * - `"flowing"`: the sink waits for a message.
   * - `"over"`: the reader has ended, has failed or was canceled.
   */
  #state: "new" | "paused" | "flowing" | "over" = "new";
  #left: AbortController | undefined;

  constructor(log: WatchedLog, options: EventLogReadOptions) {
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

  /** Aborts when the reader is over. */
  protected get left(): AbortSignal {
    this.#left ??= new AbortController();
    return this.#left.signal;
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
    this.cancel();
    this.#sink.close();
  }

  fail(reason: unknown): void {
    if (this.isOver) return;
    this.cancel();
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
      const timeout = this.#idleTimeout;
      if (timeout !== undefined) this.#watchIdle(timeout);
    }
    this.#state = "flowing";
    this.flow();
  }

  /** Ends the reader without a call of the sink. */
  cancel(): void {
    this.#state = "over";
    this.signal?.removeEventListener("abort", this);
    this.leave();
    this.#left?.abort();
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

  /** Fails when the log is idle. Checks this until the reader is over. */
  async #watchIdle(timeout: number): Promise<void> {
    const start = Date.now();
    const nextCheck = Math.min(timeout, MAX_LOOK_DELAY);
    let delay = 0;
    while (true) {
      await wait(delay, this.left);
      if (this.isOver) return;
      delay = nextCheck;
      // A reader that is paused waits for its client, not for the log.
      if (!this.isFlowing) continue;
      try {
        const { idle, lastId } = await this.#log.status();
        // If nothing was appended yet, or the time is not known, it counts from
        // the first read.
        const left = timeout - (idle === Infinity ? Date.now() - start : idle);
        if (left > 0) delay = left;
        else if (this.isAtEnd(lastId)) {
          this.fail(new EventLogIdleError(timeout, lastId));
        }
      } catch (error) {
        if (this.#log.isPermanent?.(error)) this.fail(error);
      }
    }
  }
}

/** A sink that settles the pending calls of `next()`. */
class Calls implements Sink {
  readonly #waiting: PromiseWithResolvers<Result>[] = [];
  /** The error with which the reader failed, until a call has thrown it. */
  #failure: { reason: unknown } | undefined;

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

  /** Ends all pending calls. The first one throws the error, if there is one. */
  close(): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#failure) reject(this.#failure.reason);
      else resolve(END);
      this.#failure = undefined;
    }
  }

  error(reason: unknown): void {
    this.#failure = { reason };
    this.close();
  }

  /** Tells a sink how the reader ended. */
  tellEnd(sink: Sink): void {
    if (this.#failure) sink.error(this.#failure.reason);
    else sink.close();
  }
}
