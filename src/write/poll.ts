/**
 * Polling: how a response reads the messages of a log without a promise for
 * each.
 *
 * @module
 */

import type { SseMessage } from "./encoder.ts";

/**
 * The key of {@linkcode Pollable}'s method, a symbol so that it is not part of
 * the public API.
 */
export const POLL: unique symbol = /* @__PURE__ */ Symbol("poll");

/** A source of messages that can be polled. */
export interface Pollable {
  /**
   * Returns the next message, or the end. If there is neither yet, returns
   * `undefined`, and calls `wake` of the waker later. Only the waker of the
   * last call is used.
   *
   * @throws {unknown} The error with which reading failed. Not called again
   * after that, or after the end.
   */
  [POLL](waker: Waker): IteratorResult<SseMessage, undefined> | undefined;
}

/** A consumer that polls a source. */
export interface Waker {
  /**
   * Delivers a message. Returns whether to deliver the next one directly. If
   * there is no message, the consumer polls again; there may still be none.
   */
  wake(message?: SseMessage): boolean;
}

export const END: IteratorResult<never, undefined> = {
  done: true,
  value: undefined,
};
