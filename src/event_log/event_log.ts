/**
 * What an event log is.
 *
 * @module
 */

import type { SseMessage } from "../write/encoder.ts";

/**
 * Messages in the order in which they were appended, for any number of readers,
 * each at its own pace and from the message at which it stopped. One log serves for
 * broadcast, for replay, and to answer `Last-Event-ID`.
 *
 * `MemoryEventLog` keeps one in this process, `RedisEventLog` and `KvEventLog`
 * keep one for many processes. To keep one elsewhere, implement this interface;
 * `resume` works with it:
 *
 * - The ids are the log's own and name one message of one log for ever: an id of
 *   another log, or of this one before it was deleted, is unknown to it.
 * - After an id, a reader gets each message that was appended after the one with
 *   that id, once and in order, whatever is appended meanwhile. If one of them
 *   is no longer kept, or the id is unknown, it throws an
 *   {@linkcode EventLogGapError}.
 * - `return()` of a reader, and its signal, end it at once, also while it waits.
 *
 * @example
 * ```ts
 * import { type EventLog, MemoryEventLog } from "@x/sse/event-log";
 *
 * const log: EventLog = new MemoryEventLog();
 * await log.append({ data: "Hello" });
 * await log.append({ data: "world" });
 * await log.end();
 *
 * for await (const { id, data } of log.read("")) console.log(id, data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export interface EventLog {
  /**
   * Appends a message. `json` is kept as `data`, and an `id` of the message's
   * own is replaced by the log's. A comment alone has no id when it is read, as
   * readers would take it for an empty event. So it comes again to a reader that
   * goes on after the message before it.
   *
   * @param message What to append.
   * @returns Its id, once it is stored.
   * @throws {TypeError} If the message cannot be written, or says nothing.
   * @throws {Error} If the log has ended.
   */
  append(message: SseMessage): Promise<string>;

  /**
   * Says that nothing follows: readers end after the last message. Has no effect
   * on a log that has ended.
   */
  end(): Promise<void>;

  /**
   * Reads messages, those to come included, until the log has ended.
   *
   * A reader holds no message that it has not been asked for, and the log holds
   * none for it. A reader so slow that its next message is no longer kept throws
   * an {@linkcode EventLogGapError}.
   *
   * @param after The id after which to begin; `""` for the oldest message that
   * is kept. Without it, reading begins with what is appended next.
   * @param options How to end it from outside.
   * @returns The messages, with their ids.
   * @throws {TypeError} If `after` is no string, or `signal` no `AbortSignal`.
   */
  read(
    after?: string | undefined,
    options?: EventLogReadOptions | undefined,
  ): AsyncIterable<SseMessage>;

  /**
   * Tells how far the log has got.
   *
   * A client that reconnects with `lastId` to a log that has ended has all of
   * it: status 204 tells `EventSource` and `connectSse` to stop.
   *
   * @returns The id of the newest message, and whether the log has ended.
   */
  status(): Promise<EventLogStatus>;
}

/**
 * How a log is read.
 *
 * @see {@link https://dom.spec.whatwg.org/#interface-AbortSignal}
 */
export interface EventLogReadOptions {
  /** Ends reading when it aborts: the reader throws its reason. */
  signal?: AbortSignal | undefined;
}

/** How far a log has got. */
export interface EventLogStatus {
  /**
   * The id of the newest message; if there is none, one that stands for the
   * start. Reading after it gives what is appended from now on.
   */
  lastId: string;
  /** Whether nothing follows. */
  ended: boolean;
}

/**
 * Messages are missing: the id after which to read is unknown to the log, or a
 * message after it is no longer kept. A reader that is too slow meets the
 * latter.
 *
 * @example
 * ```ts
 * import { EventLogGapError, MemoryEventLog } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog({ maxMessages: 1 });
 * const first = await log.append({ data: "1" });
 * await log.append({ data: "2" });
 * await log.append({ data: "3" });
 * await log.end();
 *
 * try {
 *   for await (const { data } of log.read(first)) console.log(data);
 * } catch (error) {
 *   if (!(error instanceof EventLogGapError)) throw error;
 *   console.warn("Some are missing. The rest:"); // Only "3" is kept.
 *   for await (const { data } of log.read(error.resumeAfter)) console.log(data);
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export class EventLogGapError extends Error {
  /** `"EventLogGapError"`. */
  override readonly name = "EventLogGapError";

  /** The id after which the next message should have come. */
  readonly after: string;

  /** The id after which the oldest message that is kept comes. */
  readonly resumeAfter: string;

  /**
   * Makes an error.
   *
   * @param after The id after which the next message should have come.
   * @param resumeAfter The id after which the oldest message that is kept comes.
   */
  constructor(after: string, resumeAfter: string) {
    const id = after.length > 100 ? after.slice(0, 100) + "…" : after;
    super(
      `Expected the log to keep what follows ${
        JSON.stringify(id)
      }, but the id ` +
        "is unknown to it or too old: messages are missing",
    );
    this.after = after;
    this.resumeAfter = resumeAfter;
  }
}
