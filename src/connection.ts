/**
 * An open event stream: read, time out, end, reconnect.
 *
 * @module
 */

import { check, checkTimeout, checkType, MAX_TIMER_DELAY } from "./check.ts";
import { SseDecoder, type SseDecoderOptions } from "./decoder.ts";
import { reasonOf, SseError } from "./error.ts";
import { type ReconnectOptions, ReconnectPolicy } from "./reconnect.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/** Options that govern how a connection is read, and when it ends. */
export interface SseConnectionOptions extends SseDecoderOptions {
  /**
   * What ends the stream. A string is compared with each event's `data`, and
   * the event that equals it is not yielded; a function ends the stream after
   * the event it accepts, which is yielded. The connection is then closed. A
   * stream that ends without it is `"truncated"`, or reconnects.
   *
   * By default the end of the body is a normal end.
   */
  until?: string | ((event: ServerSentEvent) => boolean);
  /**
   * How many ms without a byte, be it of a comment, make the stream fail. The
   * clock runs only while an event is waited for. Off by default.
   */
  idleTimeout?: number;
  /**
   * How many ms the response headers may take to come, at each attempt. Off by
   * default.
   */
  connectTimeout?: number;
  /**
   * Whether to connect again where the connection ends or fails, and how: see
   * {@linkcode ReconnectOptions}. Each attempt sends the request again, its body
   * included, and the last event ID.
   *
   * @default {false}
   */
  reconnect?: boolean | ReconnectOptions;
}

/** How many ms `close` waits for a source that does not come to an end. */
const MAX_CLOSE_TIME = 1000;

/** Sends the request; aborting `signal` gives it up. */
export type Send = (
  lastEventId: string,
  signal: AbortSignal,
) => Promise<Response>;

/**
 * An open event stream, as `connectSse` gives it: an iterator over its events
 * that reads only as far as it is asked to, so that at most the events of one
 * chunk wait in memory.
 *
 * `next()` reads an event and leaves the connection open; leaving a `for await`
 * loop in any way closes it, as `close()` and `await using` do. What the server
 * answered can be looked at before the first event is asked for.
 *
 * @example
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * await using sse = await connectSse("https://example.com/events", {
 *   fetch: () =>
 *     new Response("id: 7\ndata: Hello\n\n", {
 *       headers: { "Content-Type": "text/event-stream" },
 *     }),
 * });
 * assertEquals(sse.response.status, 200);
 *
 * const { value } = await sse.next();
 * assertEquals(value?.data, "Hello");
 * assertEquals(sse.lastEventId, "7");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export class SseConnection
  implements AsyncIterableIterator<ServerSentEvent>, AsyncDisposable {
  /**
   * Opens a connection with a first request, which `signal` aborts as it does
   * all that follows. Private, as nobody but `connectSse` is to open one.
   */
  private static async open(
    send: Send,
    options: SseConnectionOptions,
    signal: AbortSignal | null | undefined,
  ): Promise<SseConnection> {
    const connection = new SseConnection(send, options, signal);
    try {
      await connection.#connect();
    } catch (error) {
      await connection.#recover(error);
      if (connection.#failure !== undefined) throw connection.#failure.error;
    }
    return connection;
  }

  readonly #send: Send;
  readonly #until: SseConnectionOptions["until"];
  readonly #idleTimeout: number | undefined;
  readonly #connectTimeout: number | undefined;
  readonly #policy: ReconnectPolicy | undefined;
  readonly #signal: AbortSignal | null | undefined;
  readonly #onAbort = () => this.#endAndClose({ error: this.#signal?.reason });
  readonly #decoder: SseDecoder;

  #response!: Response;
  /** Gives up the newest request, the response to it, or the wait for another. */
  #attempt = new AbortController();
  /** Of the body, once the response proved to be an event stream. */
  #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;
  #cancelled: Promise<void> | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  /** The events of the newest chunk, of which `#taken` are handed out. */
  #events: ServerSentEvent[] = [];
  #taken = 0;
  #lastEventId: string;

  /** What cut the connection; the events before it are handed out first. */
  #fault: { error: unknown } | undefined;
  #ended = false;
  /** What the next call of `next` throws, once all has ended. */
  #failure: { error: unknown } | undefined;

  /** Settles once there is another connection, or all has ended. */
  #recovery: Promise<void> | undefined;
  /** Attempts in a row. */
  #attempts = 0;
  /** Whether the caller wants another connection without a wait. */
  #now = false;
  /** Cuts the wait for another attempt short. */
  #pausing: AbortController | undefined;

  /** How many calls of `next` wait, and the newest of them. */
  #waiting = 0;
  #newest: Promise<unknown> | undefined;

  private constructor(
    send: Send,
    options: SseConnectionOptions,
    signal: AbortSignal | null | undefined,
  ) {
    const { until, idleTimeout, connectTimeout, reconnect = false } = options;
    check(
      until === undefined || typeof until === "string" ||
        typeof until === "function",
      "until to be a string or a function",
      until,
    );
    this.#send = send;
    this.#until = until;
    this.#idleTimeout = checkTimeout("idleTimeout", idleTimeout);
    this.#connectTimeout = checkTimeout("connectTimeout", connectTimeout);
    if (reconnect !== false) {
      if (reconnect !== true) {
        checkType(reconnect, "object", "reconnect to be a boolean or options");
      }
      this.#policy = new ReconnectPolicy(reconnect === true ? {} : reconnect);
    }
    this.#decoder = new SseDecoder(options);
    this.#lastEventId = this.#decoder.lastEventId;
    signal?.throwIfAborted();
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
  }

  /** The response that the events come from: that of the newest connection. */
  get response(): Response {
    return this.#response;
  }

  /**
   * The id up to which events were handed out: what to store, and to give as the
   * option `lastEventId` to go on from here later. A reconnect sends it too, or
   * the id of the newest event that has yet to be handed out.
   */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The newest reconnection time that the server gave, in ms. */
  get reconnectionTime(): number | undefined {
    return this.#decoder.reconnectionTime;
  }

  /**
   * Reads the next event. Calls may overlap and are answered in order.
   *
   * @returns The event, or `{ done: true }` once the stream has ended, also by
   * an error that an earlier call has thrown.
   * @throws {SseError} `"status"`, `"content-type"`, `"network"`,
   * `"idle-timeout"`, `"event-too-large"` or `"truncated"`; with `reconnect`,
   * also `"reconnect-failed"`, once `maxAttempts` are used up.
   * @throws {TypeError} If somebody else has read the response's body.
   * @throws {unknown} What the signal was aborted with, or what `until`,
   * `onComment`, `shouldReconnect` or `onReconnect` threw.
   */
  next(): Promise<IteratorResult<ServerSentEvent>> {
    if (this.#waiting > 0) {
      const turn = () => this.#read();
      this.#waiting++;
      const result = this.#newest!.then(turn, turn);
      this.#newest = result;
      return result;
    }
    if (this.#taken < this.#events.length) {
      // What is at hand needs no async function, which costs several times more.
      try {
        return Promise.resolve(this.#take());
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#waiting++;
    const result = this.#read();
    this.#newest = result;
    return result;
  }

  /**
   * Drops the connection, or cuts the wait for one short, and opens another
   * now, as when a network has come back. Events that have arrived are not lost.
   * After the end it does nothing.
   *
   * @throws {TypeError} If the option `reconnect` is off.
   *
   * @example
   * ```ts
   * import { connectSse } from "@x/sse";
   *
   * const sse = await connectSse("https://example.com/events", {
   *   reconnect: true,
   * });
   * addEventListener("online", () => sse.reconnect());
   * await sse.close();
   * ```
   */
  reconnect(): void {
    check(
      this.#policy !== undefined,
      "the option reconnect where reconnect() is called",
      undefined,
    );
    if (this.#ended) return;
    // What a callback threw is for the caller to hear.
    if (this.#fault && !(this.#fault.error instanceof SseError)) return;
    this.#now = true;
    if (this.#recovery === undefined) {
      this.#drop();
      this.#startRecovery();
    } else {
      this.#pausing?.abort();
      this.#attempt.abort();
    }
  }

  /**
   * Closes the connection; leaving a `for await` loop calls it.
   *
   * @returns The end of the iteration.
   */
  async return(): Promise<IteratorResult<ServerSentEvent>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /**
   * Closes the connection: cancels the request or the response's body, also one
   * that an error left to be read, and ends the iteration. Calling it again does
   * nothing.
   *
   * @returns Once the body is cancelled, or a second later where its source does
   * not come to an end.
   */
  async close(): Promise<void> {
    this.#end();
    this.#failure = undefined;
    // Also after the end, as a refused response was left to be read.
    this.#drop();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, MAX_CLOSE_TIME);
    });
    await Promise.race([this.#cancelled, late]);
    clearTimeout(timer);
  }

  /** Closes the connection, at the end of an `await using` scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The connection is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Sends the request, and waits for the response's headers. */
  async #connect(): Promise<void> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    const timer = this.#connectTimeout && setTimeout(() =>
      attempt.abort(
        new SseError(
          "connect-timeout",
          `Expected response headers within ${this.#connectTimeout} ms ` +
            "(connectTimeout), but none came",
        ),
      ), this.#connectTimeout);
    try {
      const sent = this.#send(this.#decoder.lastEventId, attempt.signal);
      const response = await abortable(sent, attempt.signal, dispose);
      if (attempt.signal.aborted) {
        dispose(response);
        throw attempt.signal.reason;
      }
      this.#response = response;
      this.#recovery = undefined;
    } catch (error) {
      // A fetch may wrap the reason it was aborted with.
      throw attempt.signal.aborted ? attempt.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Reads until there is an event to hand out, or the stream has ended. */
  async #read(): Promise<IteratorResult<ServerSentEvent>> {
    try {
      while (true) {
        if (this.#taken < this.#events.length) return this.#take();
        if (this.#fault !== undefined) this.#startRecovery(this.#fault.error);
        if (this.#ended) return this.#conclude();
        if (this.#recovery !== undefined) {
          await this.#recovery;
          continue;
        }
        if (this.#reader === undefined) {
          this.#openBody();
          continue;
        }

        const reader = this.#reader;
        if (this.#idleTimeout !== undefined) this.#startIdleTimer();
        let chunk: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;
        try {
          chunk = await reader.read();
        } catch (cause) {
          if (reader === this.#reader) {
            this.#lose(broken(this.#response, cause));
          }
          continue;
        }
        // Dropped while it was read: the loop's start knows what follows.
        if (reader !== this.#reader) continue;
        if (chunk.done) {
          // Nothing is left to give up: to abort it would tell a handler in
          // process that its client had gone.
          this.#attempt = new AbortController();
          this.#lose(this.#truncated());
          continue;
        }
        this.#decode(chunk.value);
      }
    } finally {
      this.#waiting--;
    }
  }

  /** Hands out the next of the events at hand. */
  #take(): IteratorResult<ServerSentEvent> {
    const event = this.#events[this.#taken++];
    this.#lastEventId = this.#taken < this.#events.length
      ? event.id
      : this.#decoder.lastEventId;
    const until = this.#until;
    if (typeof until === "string") {
      if (event.data === until) {
        this.#endAndClose();
        return { done: true, value: undefined };
      }
    } else if (until !== undefined) {
      try {
        if (until(event)) this.#endAndClose();
      } catch (error) {
        this.#endAndClose();
        throw error;
      }
    }
    return { done: false, value: event };
  }

  /** Tells how all has ended. */
  #conclude(): IteratorResult<ServerSentEvent> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    return { done: true, value: undefined };
  }

  /** Takes the response as an event stream, where it is one. */
  #openBody(): void {
    const response = this.#response;
    const error = refusal(response);
    if (error !== undefined) {
      // Its body is left unread, for the caller to look at.
      this.#fault = { error };
      return;
    }
    if (response.bodyUsed || response.body?.locked) {
      this.#endAndClose({
        error: new TypeError(
          "Expected a response whose body nobody has read, but it is in use: " +
            "read a response.clone() instead",
        ),
      });
      return;
    }
    if (response.body === null) this.#lose(this.#truncated());
    else this.#reader = response.body.getReader();
  }

  /** What the end of the body means, unless it is a normal one. */
  #truncated(): SseError {
    const goal = this.#until === undefined ? "" : " until `until` is met";
    return new SseError(
      "truncated",
      `Expected the stream to go on${goal}, but its body ended`,
      { response: this.#response },
    );
  }

  #decode(chunk: Uint8Array<ArrayBuffer>): void {
    if (chunk.length > 0) this.#stopIdleTimer();
    this.#events = [];
    this.#taken = 0;
    try {
      this.#decoder.decode(chunk, this.#events);
    } catch (error) {
      // What this connection fails with is moot where onComment called for
      // another; what onComment threw is not.
      const moot = this.#recovery !== undefined && error instanceof SseError;
      if (!moot) this.#lose(error);
    }
    if (this.#events.length > 0) this.#attempts = 0;
    else this.#lastEventId = this.#decoder.lastEventId;
  }

  /** Has the stream fail where it is silent for too long. */
  #startIdleTimer(): void {
    if (this.#idleTimer !== undefined) return;
    const lose = () =>
      this.#lose(
        new SseError(
          "idle-timeout",
          `Expected a byte at least every ${this.#idleTimeout} ms ` +
            "(idleTimeout), but none came",
          { response: this.#response },
        ),
      );
    const start = Date.now();
    this.#idleTimer = setTimeout(() => {
      // Where the program was too busy to be called in time, it may have been
      // too busy to read as well: what has come by now is read first.
      const isLate = Date.now() - start > this.#idleTimeout! + 50;
      if (isLate) this.#idleTimer = setTimeout(lose);
      else lose();
    }, this.#idleTimeout);
  }

  #stopIdleTimer(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
  }

  /** Gives the connection up. */
  #lose(error: unknown): void {
    this.#fault = { error };
    this.#drop();
  }

  #startRecovery(error?: unknown): void {
    this.#fault = undefined;
    // Not at once: it may be the decoder, or a callback, that asks for it.
    this.#recovery = Promise.resolve().then(() => this.#recover(error));
  }

  /** Does what follows `error`: ends all, or connects until that succeeds. */
  async #recover(error: unknown): Promise<void> {
    while (!this.#ended) {
      if (!this.#now) await this.#pause(error);
      if (this.#ended) return;
      this.#now = false;
      this.#decoder.reset();
      try {
        await this.#connect();
        return;
      } catch (failure) {
        error = failure;
      }
    }
  }

  /** Waits as long as the policy says after `error`, or ends all. */
  async #pause(error: unknown): Promise<void> {
    let delay: number | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { signal } = this.#pausing = new AbortController();
    try {
      if (this.#policy !== undefined && error instanceof SseError) {
        delay = await abortable(
          this.#policy.decide(
            error,
            this.#attempts + 1,
            this.reconnectionTime,
            signal,
          ),
          signal,
        );
      }
      if (delay !== undefined) {
        this.#attempts++;
        // Not before, as shouldReconnect may read a refused response.
        this.#drop();
        const waited = new Promise<void>((resolve) => {
          timer = setTimeout(resolve, Math.min(delay!, MAX_TIMER_DELAY));
        });
        await abortable(waited, signal);
        return;
      }
    } catch (failure) {
      // Cut short by reconnect(), or all has ended.
      if (signal.aborted) return;
      error = failure;
    } finally {
      clearTimeout(timer);
    }
    if (this.#isEnd(error)) this.#endAndClose();
    // Without closing, as a refused response is left for the caller to read.
    else if (error instanceof SseError) this.#end({ error });
    else this.#endAndClose({ error });
  }

  /** Whether the stream ends normally where nothing follows `error`. */
  #isEnd(error: unknown): boolean {
    if (!(error instanceof SseError)) return false;
    return error.code === "truncated" && this.#until === undefined ||
      error.code === "status" && saysNoStream(error.response!);
  }

  /** Ends all, and closes the connection. */
  #endAndClose(failure?: { error: unknown }): void {
    this.#end(failure);
    this.#drop(failure?.error);
  }

  /** Ends all; whoever calls `next` next is told of the failure. */
  #end(failure?: { error: unknown }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#fault = undefined;
    this.#events = [];
    this.#taken = 0;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#pausing?.abort();
  }

  /** Lets go of the newest request and the response to it. */
  #drop(reason?: unknown): void {
    this.#stopIdleTimer();
    // Cancelling settles a pending read at once, as done.
    if (this.#reader !== undefined) {
      this.#cancelled = this.#reader.cancel(reason).catch(() => {});
      this.#reader = undefined;
    } else if (this.#response !== undefined && !this.#response.body?.locked) {
      this.#cancelled = dispose(this.#response);
    }
    this.#attempt.abort(reason);
  }
}

/** Why a response is no event stream, if it is none. */
export function refusal(response: Response): SseError | undefined {
  const { status, statusText, headers } = response;
  if (!response.ok || saysNoStream(response)) {
    return new SseError(
      "status",
      `Expected a status of 2xx, got ${`${status} ${statusText}`.trim()}: ` +
        "see the error's response for what the server says",
      { response },
    );
  }
  const type = headers.get("Content-Type");
  if (type === null || !isEventStream(type)) {
    return new SseError(
      "content-type",
      `Expected the content type text/event-stream, got ${type ?? "none"}: ` +
        "see the error's response for what the server says",
      { response },
    );
  }
}

/** Whether the status says that there is no stream, and will be none. */
function saysNoStream({ status }: Response): boolean {
  return status === 204 || status === 205;
}

/** Whether any item of a `Content-Type` names an event stream. */
function isEventStream(contentType: string): boolean {
  // Quoted parameters may hold commas.
  return contentType.replace(/"(?:[^"\\]|\\.)*"/g, "").split(",").some((type) =>
    type.split(";", 1)[0].trim().toLowerCase() === "text/event-stream"
  );
}

function broken(response: Response, cause: unknown): SseError {
  return new SseError(
    "network",
    `Expected the stream to go on, but it broke: ${reasonOf(cause)}`,
    { response, cause },
  );
}

/** Cancels the body of a response that nobody reads. */
export async function dispose(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // It has failed already, or somebody reads it.
  }
}

/** Settles as `promise` does or `signal` aborts; `late` has what comes after. */
function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  late?: (value: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
    promise.then((value) => {
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) late?.(value);
      else resolve(value);
    }, reject);
  });
}
