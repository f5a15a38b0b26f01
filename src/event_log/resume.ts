/**
 * A log as the answer to one client's request.
 *
 * @module
 */

import {
  check,
  checkFunction,
  checkSignal,
  checkType,
} from "../internal/check.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogGapError,
  type EventLogReadOptions,
} from "./event_log.ts";
import { lastEventIdOf } from "../last_event_id.ts";
import { toKept } from "./message.ts";
import { LogReader } from "./reader.ts";
import { END, POLL, type Waker } from "../write/poll.ts";

/**
 * How {@linkcode resume} begins, and what it says of missing messages.
 *
 * @example A client that has missed too much is sent the whole state
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const prices = new Map([["tea", 3], ["coffee", 4]]);
 * const log = new MemoryEventLog({ maxMessages: 1000 });
 *
 * function handler(request: Request): Response {
 *   const messages = resume(log, request, {
 *     onGap: () => ({ event: "all", json: Object.fromEntries(prices) }),
 *   });
 *   return sseResponse(messages, { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export interface ResumeOptions extends EventLogReadOptions {
  /**
   * The start for a client whose request has no id: the oldest message that is
   * kept, or now. With `"now"`, an id alone is sent first, so that the client
   * continues from there if it loses the connection before the first message.
   *
   * @default {"oldest"}
   */
  from?: "oldest" | "now" | undefined;
  /**
   * Called if messages are missing that the client should get. Returns the
   * message that says so, and perhaps what the client has missed. The message is
   * sent with the id to continue from, in place of its own. With `undefined`,
   * nothing is sent. An exception ends the stream, as does a value that is no
   * message.
   *
   * By default, `{ event: "gap", data: "" }`.
   */
  onGap?:
    | ((
      gap: EventLogGapError,
    ) => SseMessage | undefined | Promise<SseMessage | undefined>)
    | undefined;
}

/**
 * Reads a log for the client that sends a request: all that follows its last
 * event ID, once and in order, and then what is appended. If messages are
 * missing, it says so, and continues with the oldest that is kept.
 *
 * A browser's `EventSource` connects again when the log has ended, as it does
 * after every end. Status 204 tells it to stop, as in the example.
 *
 * @param log What to read.
 * @param request The client's request.
 * @param options How to begin, what to say of missing messages, and how to end
 * it from outside.
 * @returns The messages, for `sseResponse`.
 * @throws {TypeError} If an option has the wrong type.
 *
 * @example
 * ```ts
 * import { lastEventIdOf, sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog();
 * await log.append({ event: "progress", json: { percent: 100 } });
 * await log.end();
 *
 * async function handler(request: Request): Promise<Response> {
 *   const { lastId, ended } = await log.status();
 *   if (ended && lastEventIdOf(request) === lastId) {
 *     return new Response(null, { status: 204 });
 *   }
 *   return sseResponse(resume(log, request), { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export function resume(
  log: EventLog,
  request: Request,
  options: ResumeOptions = {},
): AsyncIterable<SseMessage> {
  const { from = "oldest", onGap = defaultMessage, signal } = options;
  checkType(log?.read, "function", "log to be an event log");
  checkFunction("onGap", onGap);
  checkSignal(signal);
  check(
    from === "oldest" || from === "now",
    'from to be "oldest" or "now"',
    from,
  );
  const after = lastEventIdOf(request);
  return new Resumed(log, after, from, onGap, signal);
}

function defaultMessage(): SseMessage {
  return { event: "gap", data: "" };
}

type Result = IteratorResult<SseMessage, undefined>;

/**
 * Reads a log anew after each gap. Not a generator, which could not be ended
 * while it waits.
 */
class Resumed extends LogReader {
  readonly #log: EventLog;
  readonly #onGap: NonNullable<ResumeOptions["onGap"]>;
  readonly #options: EventLogReadOptions;
  #reader: AsyncIterator<SseMessage> | undefined;
  /** The result of the work that `take` had to begin. */
  #result: Result | undefined;
  #failure: { error: unknown } | undefined;
  #working = false;
  /** Whether the client still has to get the id at which the reader began. */
  #tellsBegin = false;

  constructor(
    log: EventLog,
    after: string,
    from: ResumeOptions["from"],
    onGap: NonNullable<ResumeOptions["onGap"]>,
    signal: AbortSignal | undefined,
  ) {
    super(signal);
    this.#log = log;
    this.#onGap = onGap;
    this.#options = { signal };
    if (after !== "" || from === "oldest") this.#read(after);
    else this.#work(() => this.#readFromNow());
  }

  protected take(waker: Waker): Result | undefined {
    if (this.#working) return;
    const result = this.#result;
    this.#result = undefined;
    if (result !== undefined) return result;
    if (this.#failure !== undefined) throw this.#failure.error;
    const reader = this.#reader!;
    try {
      if (reader instanceof LogReader) {
        const id = reader.begun;
        if (!this.#tellsBegin || id === undefined) return reader[POLL](waker);
        this.#tellsBegin = false;
        return { done: false, value: { id } };
      }
    } catch (error) {
      this.#work(() => this.#readOn(error));
      return;
    }
    this.#work(async () => {
      try {
        return await reader.next();
      } catch (error) {
        return await this.#readOn(error);
      }
    });
  }

  protected leave(): void {
    if (this.#reader instanceof LogReader) this.#reader.end();
    else this.#letGo().catch(() => {});
  }

  /** Async, so that what `return` throws can be caught as well. */
  async #letGo(): Promise<void> {
    await this.#reader?.return?.();
  }

  /** Runs work that takes time, and then wakes the waiting reader. */
  async #work(work: () => Promise<Result | undefined>): Promise<void> {
    this.#working = true;
    try {
      this.#result = await work();
    } catch (error) {
      this.#failure = { error };
    }
    this.#working = false;
    this.ask();
  }

  #read(after: string | undefined): void {
    this.#reader = this.#log.read(after, this.#options)[Symbol.asyncIterator]();
  }

  async #readFromNow(): Promise<Result | undefined> {
    let id: string;
    try {
      id = (await this.#log.status()).lastId;
    } catch (error) {
      if (this.isEnded) return END;
      // If the log is unreachable, its reader waits for it, and learns the id.
      this.#read(undefined);
      if (!(this.#reader instanceof LogReader)) throw error;
      this.#tellsBegin = true;
      return undefined;
    }
    if (this.isEnded) return END;
    this.#read(id);
    return { done: false, value: { id } };
  }

  /** Goes on after a gap; throws any other error. */
  async #readOn(error: unknown): Promise<Result | undefined> {
    if (!(error instanceof EventLogGapError)) throw error;
    const message = await this.#onGap(error);
    // The client may have left meanwhile.
    if (this.isEnded) return END;
    const id = error.resumeAfter;
    let value: SseMessage | undefined;
    if (message !== undefined) {
      checkType(message, "object", "onGap to give a message or undefined");
      value = { ...toKept(message), id };
    }
    this.#read(id);
    return value && { done: false, value };
  }
}
