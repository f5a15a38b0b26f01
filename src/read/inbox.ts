/**
 * The events of a connection, from its parser to the caller.
 *
 * @module
 */

import { SseError, type SseErrorCode } from "../error.ts";
import { checkBoolean, checkType } from "../internal/check.ts";
import { quote } from "../internal/quote.ts";
import type { ReadSseOptions } from "./options.ts";
import { EventStreamParser } from "./parser.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Holds what a connection has received and not delivered yet: the events and
 * comments of one chunk, and the unfinished event in the parser. It lives longer
 * than a connection, so that a reconnect loses none of them.
 */
export class Inbox {
  /** The unfinished event, the last event ID and the reconnection time. */
  readonly parser: EventStreamParser;
  readonly until: ReadSseOptions["until"];
  /** The events and comments of a chunk. */
  #items: (ServerSentEvent | string)[] = [];
  /** The index of the one to deliver next. */
  #nextIndex = 0;
  /** The newest event that was delivered or dropped. */
  #lastEvent: ServerSentEvent | undefined;
  /** The response that is being read. */
  #response: Response | undefined;
  /** Whether an event was delivered since the first byte of this response. */
  #hasDelivered = false;

  /** The last event ID of what was delivered. */
  lastEventId: string;
  /** Whether `until` was met. */
  isComplete = false;
  /** The error of the response, if it is no event stream. */
  malformed: SseError | undefined;

  /** Checks and uses the options about events. */
  constructor(
    options: ReadSseOptions,
    lastEventId?: string,
  ) {
    const { until, maxEventSize, onComment } = options;
    if (until !== undefined && typeof until !== "string") {
      checkType(until, "function", "until to be a string or a function");
    }
    this.until = until;
    this.parser = new EventStreamParser({
      lastEventId,
      maxEventSize,
      onComment,
    });
    this.lastEventId = this.parser.lastEventId;
  }

  /** The newest event that has arrived, delivered or not. */
  get lastEvent(): ServerSentEvent | undefined {
    return this.#items.findLast((item) => typeof item === "object") ??
      this.#lastEvent;
  }

  /** Whether an event of this response was delivered. */
  get hasDelivered(): boolean {
    return this.#hasDelivered && !this.parser.isAtStart;
  }

  /** Starts reading another response. Drops the unfinished event. */
  open(response: Response): void {
    this.parser.reset();
    this.#response = response;
  }

  /**
   * Parses a chunk. Call it only if `dequeue` has returned undefined.
   *
   * @throws {SseError} `"event-too-large"`. The events before it are kept.
   * @throws {TypeError} If the chunk is neither bytes nor a string.
   */
  receive(chunk: Uint8Array<ArrayBuffer>): void {
    // Not when the response is opened: events of the one before it may be left.
    if (this.parser.isAtStart) this.#hasDelivered = false;
    this.#items = this.parser.decode(chunk);
    this.#nextIndex = 0;
    if (this.#items.length === 0) this.lastEventId = this.parser.lastEventId;
    const { failure } = this.parser;
    if (!failure) return;
    const { code, message } = failure as SseError;
    throw this.#error(code, message);
  }

  /**
   * Ends the body. Returns `"truncated"`, or undefined if `until` is met.
   *
   * Servers often omit the blank line after the last event, so `until` is also
   * called with an unfinished event. If it throws then, the event was cut off.
   *
   * @throws {SseError} `"malformed"`, if the response is no event stream.
   */
  receiveEnd(): SseError | undefined {
    const event = this.parser.end();
    if (event && this.#meetsUntil(event, true)) {
      this.#items.push(event);
      this.isComplete = true;
      return undefined;
    }
    this.#checkIsEventStream();
    const goal = this.until === undefined ? "more events" : "`until` to be met";
    return this.#error("truncated", `Expected ${goal}, but the stream ended`);
  }

  /**
   * Removes and returns the next event, if there is one. Calls `onComment` with
   * the comments before it, and `until` with the event.
   *
   * @throws {SseError} `"malformed"`, if the response is no event stream.
   * @throws {unknown} What `onComment` or `until` throws.
   */
  dequeue(): ServerSentEvent | undefined {
    while (this.#nextIndex < this.#items.length) {
      const item = this.#items[this.#nextIndex++];
      // A block without data, which is no event, may have set a newer id.
      const isLast = this.#nextIndex === this.#items.length;
      if (typeof item === "string") {
        this.parser.onComment!(item);
        if (isLast) this.lastEventId = this.parser.lastEventId;
        continue;
      }
      this.#lastEvent = item;
      if (this.isComplete || this.#meetsUntil(item)) {
        this.isComplete = true;
        this.clear();
        if (typeof this.until === "string") return undefined;
        this.lastEventId = item.id;
      } else {
        this.lastEventId = isLast ? this.parser.lastEventId : item.id;
      }
      this.#hasDelivered = true;
      return item;
    }
  }

  #meetsUntil(event: ServerSentEvent, ignoresErrors = false): boolean {
    const { until } = this;
    if (typeof until !== "function") {
      const isMet = event.data === until;
      if (isMet) this.#checkIsEventStream();
      return isMet;
    }
    let result: unknown;
    try {
      result = until(event);
    } catch (error) {
      if (!ignoresErrors) throw error;
    }
    return checkBoolean("until", result);
  }

  /** Throws if a stream ends that has no event, but other text. */
  #checkIsEventStream(): void {
    if (this.hasDelivered || this.parser.foreignText === "") return;
    this.clear();
    const message = "Expected an event stream, got other text";
    throw this.malformed = this.#error("malformed", message);
  }

  #error(code: SseErrorCode, message: string): SseError {
    const { foreignText } = this.parser;
    const end = foreignText && `: ${quote(foreignText)}`;
    return new SseError(code, message + end, {
      response: this.#response,
      body: foreignText || undefined,
    });
  }

  /** Drops all that was not delivered. */
  clear(): void {
    this.#lastEvent = this.lastEvent;
    this.#items = [];
    this.#nextIndex = 0;
  }
}
