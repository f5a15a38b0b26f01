/**
 * The interface of event logs, and their errors.
 *
 * @module
 */

import { truncate } from "../internal/truncate.ts";
import type { SseMessage } from "../write/encoder.ts";

/**
 * A list of messages in the order in which they were appended. Any number of
 * readers can read it, each at its own pace, and each can continue after the
 * last message that it has read. Use a log to broadcast messages to many
 * clients, and to replay to a client what it missed.
 *
 * `MemoryEventLog` is a log for one process. `RedisEventLog`, `KvEventLog` and
 * `SqlEventLog` are logs for many processes. To store messages elsewhere,
 * implement this interface. `resume` and `record` work with any implementation
 * that follows these rules:
 *
 * - The log assigns the ids, and never uses one twice: an id of another log, or
 *   of this log before it was deleted, is unknown to the log.
 * - A reader that starts after an id gets each message that was appended after
 *   the message with that id, once and in order. If one of these messages is no
 *   longer kept, or the id is unknown, the reader throws an
 *   {@linkcode EventLogGapError}.
 * - `return()` of a reader and its signal end the reader at once, even while it
 *   waits.
 * - `append` retries temporary errors itself: `record` calls it only once.
 * - `read` implements its options itself: with `idleTimeout`, it throws an
 *   {@linkcode EventLogIdleError}.
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
   * Appends messages. `json` is stored as `data`, and the `id` of a message is
   * replaced by an id of the log. A message that is only a comment has no id
   * when it is read, because many clients would dispatch an empty event for the
   * id. A client that reconnects right after such a message therefore gets it
   * again.
   *
   * If you have several messages, append them with one call, which takes about
   * as long as for one message. All of them are stored or none.
   *
   * @param message The first message.
   * @param more Messages that follow it.
   * @returns The id of the last message, when all messages are stored.
   * @throws {TypeError} If a message cannot be encoded, or has none of the
   * fields `event`, `data`, `json`, `retry` and `comment`.
   * @throws {EventLogEndedError} If the log has ended.
   */
  append(message: SseMessage, ...more: SseMessage[]): Promise<string>;

  /**
   * Ends the log: nothing can be appended to it any more, and readers end after
   * the last message. Any process may call it. Has no effect on a log that has
   * ended.
   */
  end(): Promise<void>;

  /**
   * Reads the messages of the log, and waits for new ones, until the log has
   * ended.
   *
   * Messages are read only on demand, and the log has no queue for each reader.
   * If a reader is so slow that its next message is no longer kept, it throws
   * an {@linkcode EventLogGapError}.
   *
   * @param after The id after which to begin, or `""` to begin with the oldest
   * message that is kept. By default, reading begins with the first message
   * that is appended after the call.
   * @param options The signal, whether to wait for new messages, and for how
   * long.
   * @returns The messages, with their ids.
   * @throws {TypeError} If `after` or an option has the wrong type.
   * @throws {RangeError} If `idleTimeout` is less than 1.
   */
  read(
    after?: string | undefined,
    options?: EventLogReadOptions | undefined,
  ): AsyncIterable<SseMessage>;

  /**
   * Returns the state of the log: its newest id, and whether it has ended.
   *
   * If the log has ended, a client that reconnects with `lastId` has all
   * messages. Answer it with status 204, which tells `EventSource` and
   * `connectSse` to stop.
   *
   * @returns The newest id, whether the log has ended, and the time since the
   * last append.
   */
  status(): Promise<EventLogStatus>;
}

/**
 * Options of {@linkcode EventLog.read}: when reading ends.
 *
 * @see {@link https://dom.spec.whatwg.org/#interface-AbortSignal}
 */
export interface EventLogReadOptions {
  /**
   * Ends reading when it aborts: the reader throws the signal's reason. Set it
   * if a generator reads the log: a generator cannot be closed while it waits
   * for a message. To end responses at the shutdown of a server, pass the signal
   * to `sseResponse` instead: with this option, they fail.
   */
  signal?: AbortSignal | undefined;
  /**
   * Whether to wait for messages that are appended later. With `false`, reading
   * ends after the newest message at the time of the call. Use it to export a
   * log, or to rebuild a state from it.
   *
   * @default {true}
   */
  follow?: boolean | undefined;
  /**
   * Maximum time in milliseconds without an append. If it is exceeded, the
   * reader throws an {@linkcode EventLogIdleError}, after it has returned all
   * messages that are kept. If nothing was ever appended, the time counts from
   * the first read.
   *
   * Set it if the program that appends may crash: the log then never ends, and
   * its readers would wait forever.
   *
   * If the source of the log can be silent for longer, set `keepAlive` of
   * `record`.
   *
   * @default {Infinity}
   */
  idleTimeout?: number | undefined;
}

/** The state of a log, which {@linkcode EventLog.status} returns. */
export interface EventLogStatus {
  /**
   * The id of the newest message or, if there is no message yet, an id that
   * stands for the start of the log. Reading after this id returns only
   * messages that are appended later. If a log is deleted and created again, the
   * id of its start is the same, so a reader that continues after it gets no gap.
   */
  lastId: string;
  /** Whether the log has ended, so that nothing can be appended. */
  ended: boolean;
  /**
   * The time in milliseconds since the last append, or since `record` last
   * renewed the log because of its option `keepAlive`. In SQL, `end()` counts
   * as an append. `Infinity` if nothing was appended yet, or if the time is not
   * known. On Deno KV, it is measured with the clocks of two processes: this one,
   * and that of the append.
   */
  idle: number;
}

/**
 * The error of a reader for which messages are missing: the id after which it
 * reads is unknown to the log, or a message after this id is no longer kept.
 * The latter also happens if a reader is too slow.
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
  /**
   * `"EventLogGapError"`. It is a getter of the prototype, so that consoles do
   * not list it among the properties of the error.
   */
  override get name(): string {
    return "EventLogGapError";
  }

  /** The id after which the reader expected its next message. */
  readonly after: string;

  /**
   * The id to pass to `read` to continue with the oldest message that is kept.
   */
  readonly resumeAfter: string;

  /**
   * Creates an error, for example in a test.
   *
   * @param after The id after which the reader expected its next message.
   * @param resumeAfter The id to pass to `read` to continue with the oldest
   * message that is kept.
   */
  constructor(after: string, resumeAfter: string) {
    const id = JSON.stringify(truncate(after, 100));
    super(
      `Expected the log to have all messages after ${id}, but it does not know ` +
        "the id, or has deleted messages after it",
    );
    this.after = after;
    this.resumeAfter = resumeAfter;
  }
}

/** Whether an error is an `EventLogGapError`, even of another copy of this module. */
export function isGapError(error: unknown): error is EventLogGapError {
  return (error as Error | undefined)?.name === "EventLogGapError";
}

/**
 * The error of a reader whose option `idleTimeout` was exceeded: nothing was
 * appended to the log for this long. The program that appends has probably
 * crashed.
 *
 * @example Tell a crashed producer from one that is done
 * ```ts
 * import { EventLogIdleError, MemoryEventLog } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog();
 * await log.append({ data: "50%" });
 *
 * try {
 *   for await (const { data } of log.read("", { idleTimeout: 10 })) {
 *     console.log(data);
 *   }
 *   console.log("done");
 * } catch (error) {
 *   if (!(error instanceof EventLogIdleError)) throw error;
 *   console.log("abandoned");
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export class EventLogIdleError extends Error {
  /**
   * `"EventLogIdleError"`. It is a getter of the prototype, so that consoles do
   * not list it among the properties of the error.
   */
  override get name(): string {
    return "EventLogIdleError";
  }

  /** The id of the newest message. `undefined` if it is not known. */
  readonly lastId: string | undefined;

  /**
   * Creates an error, for example in a test.
   *
   * @param idleTimeout The value of the option, in milliseconds.
   * @param lastId The id of the newest message.
   */
  constructor(idleTimeout: number, lastId?: string | undefined) {
    super(
      `Expected an append within ${idleTimeout} ms (idleTimeout), but there ` +
        "was none",
    );
    this.lastId = lastId;
  }
}

/** Whether an error is an `EventLogIdleError`, even of another copy. */
export function isIdleError(error: unknown): error is EventLogIdleError {
  return (error as Error | undefined)?.name === "EventLogIdleError";
}

/**
 * The error of an append to a log that has ended.
 *
 * @example Stop the work if the log was ended
 * ```ts
 * import { EventLogEndedError, MemoryEventLog } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog();
 * await log.end();
 *
 * try {
 *   await log.append({ data: "Hello" });
 * } catch (error) {
 *   if (!(error instanceof EventLogEndedError)) throw error;
 *   console.log("stopped");
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export class EventLogEndedError extends Error {
  /**
   * `"EventLogEndedError"`. It is a getter of the prototype, so that consoles
   * do not list it among the properties of the error.
   */
  override get name(): string {
    return "EventLogEndedError";
  }

  /** Creates an error, for example in a test. */
  constructor() {
    super("Expected an open log to append to, but it has ended");
  }
}

/** Whether an error is an `EventLogEndedError`, even of another copy. */
export function isEndedError(error: unknown): boolean {
  return (error as Error | undefined)?.name === "EventLogEndedError";
}
