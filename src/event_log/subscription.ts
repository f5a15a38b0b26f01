/**
 * Subscriptions: how a log writes messages to a sink without a promise for
 * each.
 *
 * @module
 */

import type { PulledSource } from "../internal/pulled_source.ts";
import type { SseMessage } from "../write/encoder.ts";

/** The key of {@linkcode Subscribable}'s method. */
export const SUBSCRIBE: unique symbol = /* @__PURE__ */ Symbol("subscribe");

/** A source that writes its messages to a sink, as long as the sink wants them. */
export interface Subscribable {
  /** Returns a subscription. Nothing is written before its `pull()`. */
  [SUBSCRIBE](sink: Sink): Subscription;
}

/**
 * A consumer of messages. After `close` or `error`, and once the subscription
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

/** Whether a source can be subscribed to. */
export function isSubscribable(source: unknown): source is Subscribable {
  return typeof (source as Partial<Subscribable>)[SUBSCRIBE] === "function";
}

/** Subscribes to a source that is read with `next()`. */
export class PulledSubscription implements Subscription {
  readonly #source: PulledSource<SseMessage>;
  readonly #sink: Sink;
  /**
   * - `"paused"`: the sink wants no message for now.
   * - `"pulling"`: `next()` was called.
   * - `"over"`: the source has ended or failed, or it was closed.
   */
  #state: "paused" | "pulling" | "over" = "paused";

  constructor(source: PulledSource<SseMessage>, sink: Sink) {
    this.#source = source;
    this.#sink = sink;
  }

  async pull(): Promise<void> {
    if (this.#state !== "paused") return;
    this.#state = "pulling";
    try {
      while (this.#accept(await this.#source.next()));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Passes on what the source gave. Returns whether to read another message. */
  #accept({ done, value }: IteratorResult<SseMessage>): boolean {
    if (this.#state === "over") return false;
    if (done) {
      this.#state = "over";
      this.#sink.close();
      return false;
    }
    if (this.#sink.write(value)) return true;
    this.#state = "paused";
    return false;
  }

  #fail(error: unknown): void {
    if (this.#state === "over") return;
    // The source is still open if `write` has thrown.
    this.cancel().catch(() => {});
    this.#sink.error(error);
  }

  async cancel(): Promise<void> {
    if (this.#state === "over") return;
    this.#state = "over";
    await this.#source.return?.();
  }
}
