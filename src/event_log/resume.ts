/**
 * A log as the answer to one client's request.
 *
 * @module
 */

import { check, checkType, functionOption } from "../internal/check.ts";
import { lastEventIdOf } from "../last_event_id.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type Sink,
  subscribe,
  type Subscription,
} from "../write/subscription.ts";
import {
  type EventLog,
  type EventLogGapError,
  type EventLogReadOptions,
  isGapError,
  isIdleError,
} from "./event_log.ts";
import { extrasOf, toStored } from "./message.ts";
import { checkReadOptions, LogReader } from "./reader.ts";

/**
 * Options of {@linkcode resume}: where a client begins, and what to send if
 * messages are missing, or if nothing was appended for too long.
 *
 * @example Send the whole state first, and then each change
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog({ maxMessages: 1000 });
 *
 * // The state that a reader of the log has built, and the last id in it.
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
   * Where to begin for a client whose request has no last event ID: with the
   * oldest message that is kept, or with the first message that is appended
   * after the call of `resume`. With `"now"`, the client is first sent an id
   * without an event, so that it continues from there if it loses the
   * connection before the first message.
   *
   * @default {"oldest"}
   */
  from?: "oldest" | "now" | undefined;
  /**
   * Called for a client whose request has no last event ID, and, with the
   * {@linkcode EventLogGapError}, for a client that has missed messages.
   * Returns a message that replaces all messages up to its `id`, such as the
   * whole state. Reading continues after this id. If it returns `undefined`,
   * the client is treated as without this option.
   *
   * Set it if messages are changes of a state, which a client cannot use
   * without the messages before them.
   *
   * The snapshot is exact if a reader of this log has built the state, as in
   * the example. If the state is stored elsewhere, read the id
   * (`(await log.status()).lastId`) before the state, change the state before
   * you append, and make the changes idempotent: a change may be in the
   * snapshot and also be sent after it.
   *
   * `json` is encoded as soon as the function returns. If the function is
   * `async`, return a copy of a state that changes in place, for example with
   * `structuredClone`.
   *
   * If the log no longer keeps all messages after the `id`, the function is
   * called again, up to ten times in a row; then the response errors. If the
   * function throws, the response errors.
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
   * Called if nothing was appended for longer than `idleTimeout`. Returns the
   * last message to send to the client, or `undefined` to send none. Then the
   * response ends. If the function throws, the response errors.
   *
   * A client that reconnects would wait again. To prevent that, answer with
   * status 204 if the client has `lastId`, and `idle` is greater than
   * `idleTimeout`: `log.status()` returns both. The function may call
   * `log.end()` instead: this also stops the writer, but ends other readers
   * without the last message.
   *
   * By default, `{ event: "abandoned", data: "" }` is sent. The client gets
   * `lastId` with the message, or alone if there is no message.
   */
  onIdle?:
    | (() => SseMessage | undefined | Promise<SseMessage | undefined>)
    | undefined;
}

/**
 * Maximum number of gaps in a row without a message between them. After one
 * more, reading fails.
 */
const MAX_GAPS = 10;

/**
 * Reads a log for the client that has sent a request: first the messages after
 * the client's last event ID, then each new message, once and in order. A
 * client without an id begins with the oldest message that is kept, unless an
 * option says otherwise. If messages are missing, the client is sent
 * `{ event: "gap", data: "" }` or the `snapshot`, and then the messages that
 * follow.
 *
 * When the log has ended, the response ends, and a browser's `EventSource`
 * reconnects, as it does after each response. Answer that request with status
 * 204, which tells `EventSource` to stop. The example does this.
 *
 * @param log The log to read.
 * @param request The client's request.
 * @param options Where to begin, what to send in place of missing messages, and
 * when to end.
 * @returns The messages, for `sseResponse`.
 * @throws {TypeError} If the log or an option has the wrong type.
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
  const { from = "oldest" } = options;
  checkType(log?.read, "function", "log to be an event log");
  functionOption(options, "snapshot");
  functionOption(options, "onIdle");
  checkReadOptions(options);
  const isKnown = from === "oldest" || from === "now";
  check(isKnown, 'from to be "oldest" or "now"', from);
  return new ResumedReader(log, lastEventIdOf(request), options);
}

/** Reads a log for one client. Starts a new read of it after each gap. */
class ResumedReader extends LogReader {
  readonly #log: EventLog;
  readonly #options: ResumeOptions;
  /** With `from: "now"`: the newest id when the reader was created. */
  readonly #now: Promise<string> | undefined;
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
    super(log, { signal: options.signal }); // The log's own reader gets the others.
    this.#log = log;
    this.#sentId = after;
    this.#options = options;
    // "Now" is when the request arrives, not when the response is first read.
    if (after === "" && options.from === "now") {
      this.#now = extrasOf(log).lastId(this.left);
      this.#now.catch(() => {});
    }
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
  }

  /**
   * Waits for `work`, and then reads after the id that it returns, or ends
   * without an id.
   */
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
    const { follow, idleTimeout } = this.#options;
    const options = { signal: this.left, follow, idleTimeout };
    try {
      this.#reading = subscribe(this.#log.read(after, options), this.#sink);
    } catch (error) {
      return this.#run(() => this.#recover(error));
    }
    if (this.isFlowing) this.flow();
  }

  /** Returns the id after which to read, or undefined to end. */
  async #begin(): Promise<string | undefined> {
    if (this.#sentId !== "") return this.#sentId;
    const id = await this.#show(undefined);
    if (id !== undefined) return id;
    if (this.#now === undefined) return "";
    const lastId = await this.#now;
    this.write({ id: lastId });
    return lastId;
  }

  /** Sends a snapshot. Returns its id, or undefined if there is none. */
  async #show(gap: EventLogGapError | undefined): Promise<string | undefined> {
    const returned = this.#options.snapshot?.(gap);
    // Not awaited if it is no promise: the state may change in the next microtask.
    const message = toSnapshot(isPromise(returned) ? await returned : returned);
    if (message !== undefined) this.write(message);
    return message?.id;
  }

  async #recover(error: unknown): Promise<string | undefined> {
    if (isIdleError(error)) return await this.#tellIdle(error.lastId);
    if (!isGapError(error) || ++this.#gaps > MAX_GAPS) throw error;
    const id = await this.#show(error);
    if (id !== undefined) return id;
    // Told once: the log may delete more while the client takes this event.
    if (this.#gaps === 1) {
      this.write({ event: "gap", data: "", id: error.resumeAfter });
    }
    return error.resumeAfter;
  }

  async #tellIdle(lastId: string | undefined): Promise<undefined> {
    const { onIdle = () => ({ event: "abandoned", data: "" }) } = this.#options;
    const message = await onIdle();
    if (message === undefined) return this.#sendId(lastId);
    checkType(message, "object", "onIdle to return a message or undefined");
    this.write({ ...toStored(message), id: lastId });
  }

  async #finish(): Promise<undefined> {
    const status = await this.#log.status().catch(() => undefined);
    if (status?.ended) this.#sendId(status.lastId);
  }

  /**
   * Sends the newest id if the client does not have it. Otherwise, a server
   * could not recognize that the client has all messages, and the client would
   * reconnect forever.
   */
  #sendId(id: string | undefined): undefined {
    if (id !== undefined && id !== this.#sentId) this.write({ id });
  }
}

type Snapshot = SseMessage & { id: string };

/** Returns a snapshot as the client gets it, encoded. */
function toSnapshot(snapshot: Snapshot | undefined): Snapshot | undefined {
  if (snapshot === undefined) return undefined;
  checkType(snapshot, "object", "snapshot to return a message or undefined");
  checkType(snapshot.id, "string", "snapshot to return a message with an id");
  return { ...toStored(snapshot), id: snapshot.id };
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}
