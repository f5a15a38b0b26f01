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
   * Appends messages. `json` is kept as `data`, and an `id` of the message's own
   * is replaced by the log's. A comment alone has no id when it is read, as
   * readers would take it for an empty event. So it comes again to a reader that
   * continues after the message before it.
   *
   * Append several at once if you have them: it takes about as long as one. In
   * memory and on Deno KV, all of them are stored or none. On Redis, a failure
   * may leave some of them stored.
   *
   * @param message The message.
   * @param more Messages that follow it.
   * @returns The id of the last one, once all are stored.
   * @throws {TypeError} If a message cannot be written, or says nothing.
   * @throws {EventLogEndedError} If the log has ended.
   */
  append(message: SseMessage, ...more: SseMessage[]): Promise<string>;

  /**
   * Says that nothing follows: readers end after the last message. Any process
   * may call it. Has no effect on a log that has ended.
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
   * @param options When reading ends.
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
  /**
   * Whether to wait for messages that are appended later. With `false`, reading
   * ends after the newest message at the time of the call. Use it to export a
   * log, or to rebuild a state from it.
   *
   * @default {true}
   */
  follow?: boolean | undefined;
  /**
   * Maximum time in milliseconds since the last append. After it, the reader
   * throws an {@linkcode EventLogIdleError}, because the program that appends has
   * probably crashed. Messages that are kept are read first. If nothing was ever
   * appended, the time counts from the call.
   *
   * `record` with `keepAlive` keeps a log from being idle while its source is
   * silent.
   *
   * @default {Infinity}
   */
  idleTimeout?: number | undefined;
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
  /**
   * The time in milliseconds since the last append, or since `record` has renewed
   * the log. `Infinity` if nothing was appended, or it is not known.
   */
  idle: number;
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
  /** `"EventLogGapError"`. It is on the prototype, so that it is not printed. */
  override get name(): string {
    return "EventLogGapError";
  }

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

/** Whether an error is an `EventLogGapError`, also of another copy of this module. */
export function isGapError(error: unknown): error is EventLogGapError {
  return (error as Error | undefined)?.name === "EventLogGapError";
}

/**
 * Nothing was appended to a log for longer than the option `idleTimeout` of its
 * reader allows. The program that appended has probably crashed.
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
  /** `"EventLogIdleError"`. It is on the prototype, so that it is not printed. */
  override get name(): string {
    return "EventLogIdleError";
  }

  /**
   * Makes an error.
   *
   * @param idleTimeout The option, in milliseconds.
   */
  constructor(idleTimeout: number) {
    super(
      `Expected an append within ${idleTimeout} ms (idleTimeout), but there ` +
        "was none",
    );
  }
}

/**
 * Something was to be appended to a log that has ended.
 *
 * @example Stop the work if somebody has ended the log
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
  /** `"EventLogEndedError"`. It is on the prototype, so that it is not printed. */
  override get name(): string {
    return "EventLogEndedError";
  }

  /** Makes an error. */
  constructor() {
    super("Expected a log that goes on, but it has ended");
  }
}

/** Whether an error is an `EventLogEndedError`, also of another copy of this module. */
export function isEndedError(error: unknown): boolean {
  return (error as Error | undefined)?.name === "EventLogEndedError";
}
