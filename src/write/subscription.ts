/**
 * Subscriptions: how a source writes its messages to a sink, such as the body of
 * a response. A log does so without a promise for each message.
 *
 * @module
 */

import {
  type PulledSource,
  pullFrom,
  pullFromFunction,
} from "../internal/pulled_source.ts";
import type { SseMessage } from "./encoder.ts";

/**
 * A source of messages: a generator, another iterable, or a stream. `sseResponse`
 * and `record` accept it, or a function that returns it.
 *
 * @example Answer with any source
 * ```ts
 * import { sseResponse, type SseSource } from "@x/sse";
 *
 * function answer(source: SseSource): Response {
 *   return sseResponse(source, { heartbeat: 15_000, sendTimeout: 60_000 });
 * }
 * export default { fetch: () => answer([{ data: "Hello" }]) };
 * ```
 *
 * @see {@link https://streams.spec.whatwg.org/#rs-from}
 */
export type SseSource =
  | AsyncIterable<SseMessage>
  | Iterable<SseMessage>
  | ReadableStream<SseMessage>;

/**
 * The key of {@linkcode Subscribable}'s method, a symbol so that it is not part
 * of the public API.
 */
export const SUBSCRIBE: unique symbol = /* @__PURE__ */ Symbol("subscribe");

/** A source that writes its messages to a sink, as long as the sink wants them. */
export interface Subscribable {
  /** Returns a subscription. Nothing is written before its `pull()`. */
  [SUBSCRIBE](sink: Sink): Subscription;
}

/**
 * A consumer of messages. Its methods do not throw; only a `PulledSubscription`
 * accepts that `write` does. After `close` or `error`, and once the subscription
 * is canceled, the source calls no method of it.
 */
export interface Sink {
  /** Takes a message. Returns false if it wants none until the next `pull()`. */
  write(message: SseMessage): boolean;
  /** The source has ended. */
  close(): void;
  /** The source has failed. */
  error(reason: unknown): void;
}

/** The subscription of a sink to a source. */
export interface Subscription {
  /** Lets the source write, now or later, until `write` returns false. */
  pull(): void;
  /** Closes the source. */
  cancel(): void | Promise<void>;
}

/**
 * Subscribes to a source. A function that returns the source is called by the
 * first `pull()`.
 *
 * @throws {TypeError} If it is a locked stream, or no source.
 */
export function subscribe(
  source: SseSource | (() => Promise<SseSource>),
  sink: Sink,
): Subscription {
  const subscribable = source as Partial<Subscribable> | undefined;
  const subscription = subscribable?.[SUBSCRIBE]?.(sink);
  return subscription ?? new PulledSubscription(source, sink);
}

// The states of a `PulledSubscription`.
/** The sink wants no message for now. */
const PAUSED = 0;
/** `next()` was called. */
const PULLING = 1;
/** The source has ended or failed, or it was closed. */
const OVER = 2;

/**
 * Subscribes to a source that is read with `next()`, or to a function that
 * returns the source and is called by the first `pull()`. If `write` of the sink
 * throws, the source is closed, and the error is passed to the sink, as if the
 * source had failed.
 */
export class PulledSubscription implements Subscription {
  readonly #source: PulledSource<SseMessage>;
  readonly #sink: Sink;
  #state: typeof PAUSED | typeof PULLING | typeof OVER = PAUSED;
  /** The number of messages. */
  #count = 0;

  /** @throws {TypeError} If the source is a locked stream, or no source. */
  constructor(
    source: SseSource | (() => SseSource | Promise<SseSource>),
    sink: Sink,
  ) {
    this.#source = typeof source === "function"
      ? pullFromFunction(source)
      : pullFrom(source);
    this.#sink = sink;
  }

  async pull(): Promise<void> {
    if (this.#state !== PAUSED) return;
    this.#state = PULLING;
    try {
      while (true) {
        const { done, value } = await this.#source.next();
        // If neither the source nor the sink ever waits, no timer would fire.
        if (++this.#count % 5000 === 0) await new Promise((r) => setTimeout(r));
        // `cancel` may have been called during each `await`.
        if (this.#state !== PULLING) return;
        if (done) {
          this.#state = OVER;
          return this.#sink.close();
        }
        if (!this.#sink.write(value)) break;
      }
      // The sink may have called `cancel`.
      if (this.#state === PULLING) this.#state = PAUSED;
    } catch (error) {
      if (this.#state !== PULLING) return;
      this.cancel().catch(() => {});
      this.#sink.error(error);
    }
  }

  async cancel(): Promise<void> {
    if (this.#state === OVER) return;
    this.#state = OVER;
    await this.#source.return?.();
  }
}
