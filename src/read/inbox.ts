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
  readonly #until: ReadSseOptions["until"];
  readonly #onComment: ReadSseOptions["onComment"];
  readonly #decoder: SseDecoder;
  /** Events and comments in reverse order: `pop` removes the oldest. */
  #items: (ServerSentEvent | string)[] = [];
  #lastEventId: string;
  #isComplete = false;

  /** Checks and uses the options about events. */
  constructor(options: ReadSseOptions) {
    const { until, onComment } = options;
    if (until !== undefined && typeof until !== "string") {
      checkType(until, "function", "until to be a string or a function");
    }
    checkFunction("onComment", onComment);
    this.#until = until;
    this.#onComment = onComment;
    this.#decoder = new SseDecoder({
      ...options,
      onComment: onComment && ((comment) => void this.#items.push(comment)),
    });
    this.#lastEventId = this.#decoder.lastEventId;
  }

  /** The last event ID of what was delivered. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The last event ID of what was received, to reconnect with. */
  get receivedId(): string {
    return this.#decoder.lastEventId;
  }

  /** The newest reconnection time that was received, in milliseconds. */
  get reconnectionTime(): number | undefined {
    return this.#decoder.reconnectionTime;
  }

  /** Whether there are events to deliver. */
  get hasEvents(): boolean {
    return this.#items.some((item) => typeof item !== "string");
  }

  /** Whether `until` is an option. */
  get hasUntil(): boolean {
    return this.#until !== undefined;
  }

  /** Whether `until` was met. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * Decodes a chunk. Call it only if `take` has returned undefined.
   *
   * @throws {SseError} `"event-too-large"`. The events before it are kept.
   * @throws {TypeError} If the chunk is neither bytes nor a string.
   */
  receive(chunk: Uint8Array<ArrayBuffer>): void {
    try {
      this.#decoder.decode(chunk, this.#items);
    } finally {
      this.#items.reverse();
      if (this.#items.length === 0) this.#lastEventId = this.receivedId;
    }
  }

  /**
   * Ends the body. Some servers end without the last blank line, so an unfinished
   * event that equals `until` meets it.
   */
  receiveEnd(): void {
    const event = this.#decoder.end();
    if (event !== undefined && event.data === this.#until) {
      this.#isComplete = true;
    }
  }

  /** Prepares for another connection: drops the unfinished event. */
  reconnect(): void {
    this.#decoder.reset();
  }

  /**
   * Removes and returns the next event, if there is one. Calls `onComment` with
   * the comments before it, and asks `until` about it.
   *
   * @throws {unknown} What `onComment` or `until` throws.
   */
  take(): ServerSentEvent | undefined {
    while (this.#items.length > 0) {
      const item = this.#items.pop()!;
      // A block without data, which is no event, can have set a newer id.
      const isLast = this.#items.length === 0;
      if (typeof item === "string") {
        this.#onComment!(item);
        if (isLast) this.#lastEventId = this.receivedId;
        continue;
      }
      const until = this.#until;
      const isEnd = typeof until === "function"
        ? until(item)
        : item.data === until;
      this.#lastEventId = isLast ? this.receivedId : item.id;
      if (isEnd) {
        this.#isComplete = true;
        this.clear();
      }
      if (isEnd && typeof until === "string") return undefined;
      return item;
    }
  }

  /** Drops all that was not delivered. */
  clear(): void {
    this.#items = [];
  }
}
