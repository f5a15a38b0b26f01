/**
 * A log as the answer to one client's request.
 *
 * @module
 */

import { check, checkFunction, checkType } from "../internal/check.ts";
import { pullFrom } from "../internal/pulled_source.ts";
import { lastEventIdOf } from "../last_event_id.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  isSubscribable,
  PulledSubscription,
  type Sink,
  SUBSCRIBE,
  type Subscription,
} from "./subscription.ts";
import {
  type EventLog,
  type EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
  isGapError,
} from "./event_log.ts";
import { extrasOf, toKept } from "./message.ts";
import { checkReadOptions, LogReader } from "./reader.ts";

/**
 * Options of {@linkcode resume}: where a client begins, and what it is told if
 * messages are missing, or if nobody appends any more.
 *
 * @example Send the whole state first, and then each change
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog({ maxMessages: 1000 });
 *
 * // The state is what a reader of the log has built, and after which message.
 * const prices: Record<string, number> = {};
 * let id = (await log.status()).lastId;
 * async function follow(): Promise<void> {
 *   for await (const message of log.read(id)) {
 *     Object.assign(prices, JSON.parse(message.data!));
 *     id = message.id!;
 *   }
 * }
 * follow();
 *
 * function handler(request: Request): Response {
 *   const messages = resume(log, request, {
 *     snapshot: () => ({ id, event: "all", json: prices }),
 *   });
 *   return sseResponse(messages, { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * await log.end();
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
   * Called for a client whose request has no id, and, with the gap, for one that
   * has missed messages. Returns the message that stands for all messages before
   * it. Its `id` is that of the last message that it includes; reading continues
   * after it. With `undefined`, the client begins as without this option.
   *
   * It is exact if the state is what a reader of this log has built, as in the
   * example. If the state is kept elsewhere, read the id before the state
   * (`(await log.status()).lastId`), change the state before you append, and make
   * the changes idempotent: some may be in the state, and follow it as well.
   *
   * An error that it throws ends the stream.
   */
  snapshot?:
    | ((
      gap: EventLogGapError | undefined,
    ) =>
      | (SseMessage & { id: string })
      | undefined
      | Promise<(SseMessage & { id: string }) | undefined>)
    | undefined;
  /**
   * Called if nothing was appended for longer than `idleTimeout`. Returns the last
   * message that the client is sent; with `undefined`, there is none. Then the
   * response ends. It may call `log.end()`, so that clients that reconnect do not
   * wait again.
   *
   * By default, `{ event: "abandoned", data: "" }`.
   */
  onIdle?:
    | (() => SseMessage | undefined | Promise<SseMessage | undefined>)
    | undefined;
}

/** After so many gaps in a row without a message, a log is given up. */
const MAX_GAPS = 10;

/**
 * Reads a log for the client that sends a request: all that follows its last
 * event ID, once and in order, and then what is appended. If messages are
 * missing, it sends `{ event: "gap", data: "" }` or the `snapshot`, and continues
 * after it.
 *
 * A browser's `EventSource` connects again when the log has ended, as it does
 * after every end. Status 204 tells it to stop, as in the example.
 *
 * @param log What to read.
 * @param request The client's request.
 * @param options Where to begin, what to send in place of missing messages, and
 * when to end.
 * @returns The messages, for `sseResponse`.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `idleTimeout` is less than 1.
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
  const { from = "oldest", snapshot, onIdle } = options;
  checkType(log?.read, "function", "log to be an event log");
  checkFunction("snapshot", snapshot);
  checkFunction("onIdle", onIdle);
  checkReadOptions(options);
  check(
    from === "oldest" || from === "now",
    'from to be "oldest" or "now"',
    from,
  );
  return new ResumedReader(log, lastEventIdOf(request), options);
}

/** Reads a log anew after each gap. */
class ResumedReader extends LogReader {
  readonly #log: EventLog;
  readonly #after: string;
  readonly #options: ResumeOptions;
  /** The id to begin after if the client is to get what is appended from now on. */
  readonly #now: Promise<string> | undefined;
  /** Aborts when the client has left. */
  readonly #left = new AbortController();
  readonly #sink: Sink = {
    write: (message) => {
      this.#gaps = 0;
      return this.write(message);
    },
    close: () => this.#run(() => this.#finish()),
    error: (reason) => this.#run(() => this.#recover(reason)),
  };
  /**
   * - `"new"`: it has not begun.
   * - `"busy"`: `#run` is at work.
   * - A subscription: it reads the log.
   */
  #reading: "new" | "busy" | Subscription = "new";
  /** The id that the client has. */
  #sentId: string;
  /** The gaps in a row. */
  #gaps = 0;

  constructor(log: EventLog, after: string, options: ResumeOptions) {
    super({ signal: options.signal });
    this.#log = log;
    this.#after = this.#sentId = after;
    this.#options = options;
    // From when the request arrived, not from when the response is read.
    if (after === "" && options.from === "now") {
      this.#now = this.#lastId();
      this.#now.catch(() => {});
    }
  }

  async #lastId(): Promise<string> {
    const extras = extrasOf(this.#log);
    if (extras) return await extras.lastId(this.#left.signal);
    return (await this.#log.status()).lastId;
  }

  protected override write(message: SseMessage): boolean {
    this.#sentId = message.id ?? this.#sentId;
    return super.write(message);
  }

  protected flow(): void {
    if (this.#reading === "new") this.#run(() => this.#begin());
    else if (this.#reading !== "busy") this.#reading.pull();
  }

  protected leave(): void {
    if (typeof this.#reading === "object") {
      Promise.resolve(this.#reading.cancel()).catch(() => {});
    }
    this.#left.abort();
  }

  // The log's own reader has the option `idleTimeout`.
  protected status(): Promise<EventLogStatus> {
    return this.#log.status();
  }

  protected get isAtEnd(): boolean {
    return false;
  }

  /** Does work that takes time, and then goes on to read. */
  async #run(work: () => Promise<string | undefined>): Promise<void> {
    this.#reading = "busy";
    let after: string | undefined;
    try {
      after = await work();
    } catch (error) {
      return this.fail(error);
    }
    if (this.isOver) return;
    if (after === undefined) return this.close();
    try {
      this.#reading = this.#subscribe(after);
    } catch (error) {
      return this.#run(() => this.#recover(error));
    }
    if (this.isFlowing) this.flow();
  }

  #subscribe(after: string): Subscription {
    const { follow, idleTimeout } = this.#options;
    const { signal } = this.#left;
    const messages = this.#log.read(after, { signal, follow, idleTimeout });
    return isSubscribable(messages)
      ? messages[SUBSCRIBE](this.#sink)
      : new PulledSubscription(pullFrom(messages, "messages"), this.#sink);
  }

  /** Returns the id after which to read, or undefined to end. */
  async #begin(): Promise<string | undefined> {
    if (this.#after !== "") return this.#after;
    const id = await this.#show(undefined);
    if (id !== undefined) return id;
    if (this.#now === undefined) return "";
    const lastId = await this.#now;
    if (!this.isOver) this.write({ id: lastId });
    return lastId;
  }

  /** Sends a snapshot. Returns its id, or undefined if there is none. */
  async #show(gap: EventLogGapError | undefined): Promise<string | undefined> {
    const snapshot = await this.#options.snapshot?.(gap);
    if (snapshot === undefined || this.isOver) return undefined;
    checkType(snapshot, "object", "snapshot to return a message or undefined");
    checkType(snapshot.id, "string", "snapshot to return a message with an id");
    this.write({ ...toKept(snapshot), id: snapshot.id });
    return snapshot.id;
  }

  async #recover(error: unknown): Promise<string | undefined> {
    if (isIdleError(error)) return await this.#tellIdle();
    if (!isGapError(error) || ++this.#gaps > MAX_GAPS) throw error;
    const id = await this.#show(error);
    if (id !== undefined || this.isOver) return id;
    this.write({ event: "gap", data: "", id: error.resumeAfter });
    return error.resumeAfter;
  }

  async #tellIdle(): Promise<undefined> {
    const { onIdle = () => ({ event: "abandoned", data: "" }) } = this.#options;
    const message = await onIdle();
    if (message === undefined || this.isOver) return;
    checkType(message, "object", "onIdle to return a message or undefined");
    this.write(toKept(message));
  }

  /**
   * Sends the id of the end of the log, if the client could not know it. It would
   * connect again, and again.
   */
  async #finish(): Promise<undefined> {
    const status = await this.#log.status().catch(() => undefined);
    if (!status?.ended || this.isOver) return;
    if (status.lastId !== this.#sentId) this.write({ id: status.lastId });
  }
}

function isIdleError(error: unknown): boolean {
  return (error as Error | undefined)?.name === "EventLogIdleError";
}
