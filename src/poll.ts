/**
 * Messages with no promise between: how the readers of a log hand them to the
 * streams that write them.
 *
 * @module
 */

import type { SseMessage } from "./encoder.ts";

/** The name of {@linkcode Pollable}'s method, which nobody else can say. */
export const POLL: unique symbol = /* @__PURE__ */ Symbol("poll");

/** What can be asked for a message, and answers at once. */
export interface Pollable {
  /**
   * Gives the next message, or the end. Where there is neither yet it gives
   * `undefined`, and calls `wake` when it is worth asking again. Only the newest
   * `wake` is called, and it may be called for nothing.
   *
   * @throws What reading failed with; after that, it has ended.
   */
  [POLL](wake: () => void): IteratorResult<SseMessage, undefined> | undefined;
}

export const END: IteratorResult<never, undefined> = {
  done: true,
  value: undefined,
};
