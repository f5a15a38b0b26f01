/**
 * Messages with no promise between: how the readers of a log hand them to the
 * streams that write them.
 *
 * @module
 */

import type { SseMessage } from "./encoder.ts";

/** {@linkcode Pollable}'s method, not reachable from outside the module. */
export const POLL: unique symbol = /* @__PURE__ */ Symbol("poll");

/** What can be asked for a message, and answers at once. */
export interface Pollable {
  /**
   * Returns the next message, or the end. If there is neither yet, returns
   * `undefined`, and wakes the caller when there is. Only the last caller is
   * woken.
   *
   * @throws What reading failed with; after that, it has ended.
   */
  [POLL](waker: Waker): IteratorResult<SseMessage, undefined> | undefined;
}

/** Who asks for messages. */
export interface Waker {
  /**
   * Is handed the next message, and tells whether it is to be handed the one
   * after that, too. Without a message it is to ask again; there may still be
   * nothing.
   */
  wake(message?: SseMessage): boolean;
}

export const END: IteratorResult<never, undefined> = {
  done: true,
  value: undefined,
};
