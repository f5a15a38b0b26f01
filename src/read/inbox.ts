/**
 * The events of a connection, from its decoder to the caller.
 *
 * @module
 */

import { checkFunction, checkType } from "../internal/check.ts";
import { SseDecoder } from "./decoder.ts";
import type { ReadSseOptions } from "./options.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Holds what a connection has received and not delivered yet: the events and
 * comments of one chunk, and the unfinished event in the decoder. It lives longer
 * than a connection, so that a reconnect loses none of them.
 */
export class Inbox {
  /** The unfinished event, the last event ID and the reconnection time. */
  readonly decoder: SseDecoder;
  readonly until: ReadSseOptions["until"];
  readonly #onComment: ReadSseOptions["onComment"];
  /** Events and comments in reverse order: `pop` removes the oldest. */
  readonly #items: (ServerSentEvent | string)[] = [];

  /** The last event ID of what was delivered. */
  lastEventId: string;
  /** Whether `until` was met. */
  isComplete = false;

  /** Checks and uses the options about events. */
  constructor(options: ReadSseOptions) {
    const { until, onComment } = options;
    if (until !== undefined && typeof until !== "string") {
      checkType(until, "function", "until to be a string or a function");
    }
    checkFunction("onComment", onComment);
    this.until = until;
    this.#onComment = onComment;
    this.decoder = new SseDecoder({
      ...options,
      onComment: onComment && ((comment) => void this.#items.push(comment)),
    });
    this.lastEventId = this.decoder.lastEventId;
  }

  /** Whether an event has arrived and was not delivered. */
  get hasEvents(): boolean {
    return this.#items.some((item) => typeof item === "object");
  }

  /**
   * Decodes a chunk. Call it only if `dequeue` has returned undefined.
   *
   * @throws {SseError} `"event-too-large"`. The events before it are kept.
   * @throws {TypeError} If the chunk is neither bytes nor a string.
   */
  receive(chunk: Uint8Array<ArrayBuffer>): void {
    try {
      this.decoder.decode(chunk, this.#items);
    } finally {
      this.#items.reverse();
      if (this.#items.length === 0) this.lastEventId = this.decoder.lastEventId;
    }
  }

  /**
   * Ends the body. Some servers end without the last blank line, so an unfinished
   * event that equals `until` meets it.
   */
  receiveEnd(): void {
    const event = this.decoder.end();
    this.isComplete = event !== undefined && event.data === this.until;
  }

  /**
   * Removes and returns the next event, if there is one. Calls `onComment` with
   * the comments before it, and `until` with the event.
   *
   * @throws {unknown} What `onComment` or `until` throws.
   */
  dequeue(): ServerSentEvent | undefined {
    while (this.#items.length > 0) {
      const item = this.#items.pop()!;
      // A block without data, which is no event, may have set a newer id.
      const isLast = this.#items.length === 0;
      if (typeof item === "string") {
        this.#onComment!(item);
        if (isLast) this.lastEventId = this.decoder.lastEventId;
        continue;
      }
      const isEnd = this.#meetsUntil(item);
      this.lastEventId = isLast ? this.decoder.lastEventId : item.id;
      if (isEnd) {
        this.isComplete = true;
        this.clear();
        if (typeof this.until === "string") return undefined;
      }
      return item;
    }
  }

  #meetsUntil(event: ServerSentEvent): boolean {
    const { until } = this;
    return typeof until === "function" ? until(event) : event.data === until;
  }

  /** Drops all that was not delivered. */
  clear(): void {
    this.#items.length = 0;
  }
}
