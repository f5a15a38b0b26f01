/**
 * An open event stream: the states it goes through, and its events.
 *
 * @module
 */

import {
  check,
  checkFunction,
  checkSignal,
  checkTimeout,
  checkType,
} from "../internal/check.ts";
import { SseDecoder } from "./decoder.ts";
import { SseError } from "../error.ts";
import { Exchange, isRefused, saysNoStream } from "./exchange.ts";
import type { ConnectSseOptions, SseAttempt } from "./options.ts";
import { type ReconnectPolicy, reconnectPolicy } from "./reconnect.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/** Sends the request of an attempt; aborting `signal` gives it up. */
export type Send = (
  attempt: SseAttempt,
  signal: AbortSignal,
) => Promise<Response>;

/** How many ms `close` waits for a source that does not come to an end. */
const MAX_CLOSE_TIME = 1000;

/**
 * Where the connection stands. It ends from anywhere, by `until`, `close()` or
 * an abort.
 *
 *     connecting ── an event stream ──▶ open ── bytes ──▶ open
 *      ▲  ▲   │                          │ │
 *      │  │   │ ◀────── reconnect() ─────┘ └── ended, broke, stalled ──▶ lost
 *      │  │   │                                                           │
 *      │  │   └── anything else, for good ──▶ refused ── next() ──▶ ended │
 *      │  └── failed, and is tried again                                  │
 *      └──────────────────────────── next() ──────────────────────────────┘
 *
 * Events that have come are handed out first, whatever the state.
 */
type State =
  & {
    /** The newest. It is released when another replaces it, or at the end. */
    readonly exchange: Exchange;
  }
  & ({
    /** It asks the policy, waits, or sends the request. */
    readonly is: "connecting";
    settled: Promise<void>;
  } | {
    readonly is: "open";
  } | {
    /** What follows is decided once the caller asks for an event. */
    readonly is: "lost";
    readonly error: SseError;
  } | {
    /** The response is the caller's until an event is asked for. */
    readonly is: "refused";
  } | {
    readonly is: "ended";
    /** What the next call of `next` throws. */
    readonly failure: { readonly reason: unknown } | undefined;
  });

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
 *
 * await using sse = await connectSse("https://example.com/events");
 * console.log(sse.response.status);
 *
 * const first = await sse.next();
 * console.log(first.value?.data);
 *
 * for await (const event of sse) {
 *   console.log(event.data);
 *   if (event.id === "3") break; // Closes the connection.
 * }
 * console.log(sse.lastEventId);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export class SseConnection
  implements AsyncIterableIterator<ServerSentEvent>, AsyncDisposable {
  /**
   * Opens a connection, and waits for a response that no other follows.
   * Private, for `connectSse`.
   */
  private static async open(
    send: Send,
    options: ConnectSseOptions,
  ): Promise<SseConnection> {
    const connection = new SseConnection(options, send);
    while (connection.#state.is === "connecting") {
      await connection.#state.settled;
    }
    const { failure } = connection.#state as { failure?: { reason: unknown } };
    if (failure !== undefined) throw failure.reason;
    return connection;
  }

  /** Reads a response that is there. Private, for `readSse`. */
  private static read(
    response: Response,
    options: ConnectSseOptions,
  ): SseConnection {
    return new SseConnection(options, undefined, response);
  }

  readonly #send: Send | undefined;
  readonly #until: ConnectSseOptions["until"];
  readonly #idleTimeout: number | undefined;
  readonly #eventTimeout: number | undefined;
  readonly #connectTimeout: number | undefined;
  readonly #anyContentType: boolean;
  readonly #onOpen: ConnectSseOptions["onOpen"];
  readonly #onComment: ConnectSseOptions["onComment"];
  readonly #policy: ReconnectPolicy | undefined;
  readonly #signal: AbortSignal | null | undefined;
  readonly #onAbort = () => this.#stop({ reason: this.#signal!.reason });
  readonly #decoder: SseDecoder;

  #state: State;
  #response!: Response;
  /** How many attempts in a row were made since the last event. */
  #attempts = 0;
  #hasEvents = false;

  /**
   * What has come and is yet to be handed out, in reverse, so that `pop` gives
   * the first; a string is a comment. Nothing is kept longer: an event costs
   * half where the garbage collector finds it young.
   */
  #rest: (ServerSentEvent | string)[] = [];
  #lastEventId: string;
  /** How many calls of `next` wait, and the promise of the newest. */
  #waiting = 0;
  #newestResult: Promise<IteratorResult<ServerSentEvent>> | undefined;

  private constructor(
    options: ConnectSseOptions,
    send: Send | undefined,
    response?: Response,
  ) {
    const { until, idleTimeout, eventTimeout } = options;
    const { connectTimeout = idleTimeout, reconnect = false } = options;
    check(
      until === undefined || typeof until === "string" ||
        typeof until === "function",
      "until to be a string or a function",
      until,
    );
    this.#send = send;
    this.#until = until;
    this.#idleTimeout = checkTimeout("idleTimeout", idleTimeout);
    this.#eventTimeout = checkTimeout("eventTimeout", eventTimeout);
    this.#connectTimeout = checkTimeout("connectTimeout", connectTimeout);
    this.#anyContentType = options.anyContentType ?? false;
    checkFunction("onOpen", this.#onOpen = options.onOpen);
    checkFunction("onComment", this.#onComment = options.onComment);
    if (reconnect !== false) {
      if (reconnect !== true) {
        checkType(reconnect, "object", "reconnect to be a boolean or options");
      }
      this.#policy = reconnectPolicy(reconnect === true ? {} : reconnect);
    }
    this.#decoder = new SseDecoder({
      ...options,
      onComment: this.#onComment &&
        ((comment) => void this.#rest.push(comment)),
    });
    this.#lastEventId = this.#decoder.lastEventId;

    const exchange = new Exchange(response);
    this.#state = { is: "ended", exchange, failure: undefined };
    if (response !== undefined) this.#response = response;
    this.#signal = options.signal;
    checkSignal(this.#signal);
    if (this.#signal?.aborted) {
      this.#onAbort();
    } else {
      this.#signal?.addEventListener("abort", this.#onAbort);
      if (response === undefined) this.#connect();
      else this.#receive(exchange, response);
    }
  }

  /** The response that the events come from: that of the newest connection. */
  get response(): Response {
    return this.#response;
  }

  /**
   * The id up to which events were handed out. Store it, and give it as the
   * option `lastEventId` to go on from here later. A reconnect sends the id of
   * the newest event that has come, handed out or not.
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
   * @returns The event, or `{ done: true }` once the stream has ended or an
   * earlier call has thrown.
   * @throws {SseError} `"status"`, `"content-type"`, `"network"`,
   * `"idle-timeout"`, `"event-timeout"`, `"event-too-large"` or `"truncated"`;
   * with `reconnect`, also `"reconnect-failed"`.
   * @throws {TypeError} If somebody else has read the response's body.
   * @throws {unknown} What the signal was aborted with, or what `until`,
   * `onOpen`, `onComment`, `shouldReconnect`, `onReconnect` or `input` threw.
   */
  next(): Promise<IteratorResult<ServerSentEvent>> {
    const until = this.#until;
    const item = this.#rest.at(-1);
    if (
      this.#waiting === 0 && this.#rest.length > 1 &&
      typeof item === "object" && typeof until !== "function" &&
      item.data !== until
    ) {
      // Of large chunks, most events. It is a tenth to a quarter cheaper than
      // `#take`, which looks at what is special about the others.
      this.#rest.pop();
      this.#lastEventId = item.id;
      return Promise.resolve({ done: false, value: item });
    }
    if (this.#waiting > 0) {
      const newest = this.#newestResult;
      // Called by a callback, from within the `#take` below.
      if (newest === undefined) {
        return Promise.resolve().then(() => this.next());
      }
      const pull = () => this.#pull();
      this.#waiting++;
      return this.#newestResult = newest.then(pull, pull);
    }
    this.#waiting++;
    this.#newestResult = undefined;
    // What has come needs no async function, which costs several times more.
    const result = this.#take();
    if (result !== undefined) {
      this.#waiting--;
      return Promise.resolve(result);
    }
    const state = this.#state;
    const isPlain = state.is === "open" && state.exchange.isRead &&
      this.#idleTimeout === undefined && this.#eventTimeout === undefined;
    return this.#newestResult = isPlain ? this.#read(state) : this.#pull();
  }

  /**
   * The common case: one chunk brings an event. It is a tenth cheaper than
   * `#pull`, which takes over where the chunk brings none.
   */
  #read(state: State): Promise<IteratorResult<ServerSentEvent>> {
    return state.exchange.read(undefined).then((chunk) => {
      this.#receiveChunk(state, chunk);
      const result = this.#take();
      if (result === undefined) return this.#pull();
      this.#waiting--;
      return result;
    }, (cause) => {
      this.#readFailed(state, cause);
      return this.#pull();
    });
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
    const state = this.#state;
    if (state.is === "ended") return;
    state.exchange.release();
    this.#connect(state.is === "lost" ? state.error : undefined);
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
   * Closes the connection: cancels the request or the response's body, and ends
   * the iteration. Calling it again does nothing.
   *
   * @returns Once the body is cancelled, or after a second, where its source
   * does not end.
   */
  async close(): Promise<void> {
    this.#stop();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, MAX_CLOSE_TIME);
    });
    await Promise.race([this.#state.exchange.cancelled, late]);
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

  /** Takes the next event that has come; tells of the comments before it. */
  #take(): IteratorResult<ServerSentEvent> | undefined {
    while (this.#rest.length > 0) {
      const item = this.#rest.pop()!;
      if (typeof item === "string") {
        this.#call(() => this.#onComment!(item));
        continue;
      }
      const lastEventId = this.#rest.length > 0
        ? item.id
        : this.#decoder.lastEventId;
      const until = this.#until;
      if (typeof until === "function") {
        const answered = this.#call(() => {
          if (until(item)) this.#stop();
        });
        if (!answered) break;
      }
      this.#lastEventId = lastEventId;
      if (item.data === until) {
        this.#stop();
        break;
      }
      return { done: false, value: item };
    }
    if (this.#state.is !== "ended") {
      this.#lastEventId = this.#decoder.lastEventId;
    }
  }

  /**
   * Calls a callback of the caller. Where it throws, the connection ends with
   * that, and this gives `false`.
   */
  #call(callback: () => void): boolean {
    const before = this.#state;
    try {
      callback();
      return true;
    } catch (reason) {
      // A callback that first closed the connection has ended it already.
      const closed = this.#state.is === "ended" && this.#state !== before;
      if (!closed) this.#stop({ reason });
      return false;
    }
  }

  /** Goes from state to state, until there is an event or the end. */
  async #pull(): Promise<IteratorResult<ServerSentEvent>> {
    let stopClock: (() => void) | undefined;
    try {
      while (true) {
        const result = this.#take();
        if (result !== undefined) return result;
        const state = this.#state;
        const { exchange } = state;
        switch (state.is) {
          case "connecting":
            stopClock?.();
            stopClock = undefined;
            await state.settled;
            break;
          case "open": {
            stopClock ??= exchange.startClock(
              "event-timeout",
              "an event (eventTimeout)",
              this.#eventTimeout,
            );
            try {
              const chunk = await exchange.read(this.#idleTimeout);
              this.#receiveChunk(state, chunk);
            } catch (cause) {
              this.#readFailed(state, cause);
            }
            break;
          }
          case "lost":
            this.#reconnectOrEnd(state.error);
            break;
          case "refused": {
            const error = await exchange.refusal(false);
            if (state !== this.#state) break;
            const isEnd = saysNoStream(error.response!);
            this.#end(isEnd ? undefined : { reason: error });
            break;
          }
          case "ended":
            this.#state = { ...state, failure: undefined };
            if (state.failure !== undefined) throw state.failure.reason;
            return { done: true, value: undefined };
        }
      }
    } finally {
      stopClock?.();
      this.#waiting--;
    }
  }

  #receiveChunk(
    state: State,
    { done, value }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>,
  ): void {
    // In the meantime the caller may have ended all, or dropped the connection.
    if (state !== this.#state) return;
    if (done) this.#reachEnd(state.exchange.reachEnd());
    else this.#decode(value);
  }

  /** A read has failed. */
  #readFailed(state: State, cause: unknown): void {
    if (state === this.#state) this.#lose(state.exchange.readError(cause));
  }

  #decode(chunk: Uint8Array<ArrayBuffer>): void {
    try {
      this.#decoder.decode(chunk, this.#rest);
    } catch (error) {
      this.#lose(Object.assign(error as Error, { response: this.#response }));
    }
    this.#rest.reverse();
    if (this.#rest.some((item) => typeof item !== "string")) {
      this.#attempts = 0;
      this.#hasEvents = true;
    }
  }

  /** The body has ended, by a fault or of its own accord. */
  #reachEnd(fault: unknown): void {
    const until = this.#until;
    if (fault !== undefined) {
      this.#lose(fault);
    } else if (
      typeof until === "string" && this.#decoder["unfinishedData"]() === until
    ) {
      // Some servers end without the last blank line.
      this.#stop();
    } else {
      const goal = until === undefined ? "" : " until `until` is met";
      this.#lose(
        new SseError(
          "truncated",
          `Expected the stream to go on${goal}, but its body ended`,
          { response: this.#response },
        ),
      );
    }
  }

  /** From "open" to "lost", or to the end where the fault is no `SseError`. */
  #lose(fault: unknown): void {
    if (!(fault instanceof SseError)) return this.#end({ reason: fault });
    const { exchange } = this.#state;
    exchange.release(fault);
    this.#state = { is: "lost", exchange, error: fault };
  }

  /** To "connecting"; `settle` leads on from there. */
  #startConnecting(settle: (state: State) => Promise<void>): void {
    const settled = Promise.resolve();
    const exchange = new Exchange();
    const state: State = { is: "connecting", exchange, settled };
    this.#state = state;
    state.settled = settle(state);
  }

  /** To "connecting", with a request. */
  #connect(error?: SseError): void {
    this.#startConnecting((state) => this.#attempt(state, error));
  }

  async #attempt(state: State, error: SseError | undefined): Promise<void> {
    const { exchange } = state;
    const isFirst = this.#response === undefined && error === undefined;
    try {
      // Of several calls of reconnect() in a row, only the last sends one.
      if (!isFirst) await undefined;
      if (state !== this.#state) return;
      this.#decoder.reset();
      const attempt: SseAttempt = {
        attempt: isFirst ? 0 : Math.max(1, this.#attempts),
        lastEventId: this.#decoder.lastEventId,
        error,
      };
      const response = await exchange.send(
        (signal) => this.#send!(attempt, signal),
        this.#connectTimeout,
      );
      if (state === this.#state) this.#receive(exchange, response);
    } catch (failure) {
      if (state !== this.#state) return;
      if (failure instanceof SseError && failure.code !== "reconnect-failed") {
        this.#reconnectOrEnd(failure);
      } else {
        this.#end({ reason: failure });
      }
    }
  }

  /** To "open", "refused", or "connecting" again, as the response says. */
  #receive(exchange: Exchange, response: Response): void {
    this.#response = response;
    if (!isRefused(response, this.#anyContentType)) {
      this.#state = { is: "open", exchange };
      this.#call(() => this.#onOpen?.(response));
    } else if (this.#policy === undefined) {
      this.#state = { is: "refused", exchange };
    } else {
      this.#reconnectOrEnd(exchange.refusal(true));
    }
  }

  /** To "connecting", or to the end, as the policy says of the error. */
  #reconnectOrEnd(error: SseError | Promise<SseError>): void {
    const { exchange } = this.#state;
    this.#startConnecting((state) => this.#decide(state, exchange, error));
  }

  async #decide(
    state: State,
    failed: Exchange,
    failure: SseError | Promise<SseError>,
  ): Promise<void> {
    const { exchange } = state;
    let error: SseError;
    try {
      error = await exchange.unlessReleased(Promise.resolve(failure));
      const delay = await this.#delay(error, exchange);
      if (state !== this.#state) return;
      if (delay === undefined) {
        if (failed.hasRefusal) {
          this.#state = { is: "refused", exchange: failed };
        } else {
          // Without `until`, the end of a body is the end of the stream.
          const isEnd = error.code === "truncated" && failed.isRead &&
            this.#until === undefined;
          this.#end(isEnd ? undefined : { reason: error });
        }
        return;
      }
      this.#attempts++;
      // Not before, as shouldReconnect may read a refused response.
      failed.release(error);
      await exchange.sleep(delay);
    } catch (reason) {
      if (state === this.#state) this.#end({ reason });
      return;
    } finally {
      if (this.#state.exchange !== failed) failed.release();
    }
    await this.#attempt(state, error);
  }

  /** How many ms to wait before another attempt; undefined for none. */
  async #delay(
    error: SseError,
    exchange: Exchange,
  ): Promise<number | undefined> {
    if (this.#policy === undefined) return undefined;
    // Without `resume`, a stream that has begun is not begun again.
    if (this.#hasEvents && !this.#policy.resume) return undefined;
    return await exchange.unlessReleased(
      this.#policy.decide(
        error,
        this.#attempts + 1,
        this.reconnectionTime,
        exchange.signal,
      ),
    );
  }

  /** Ends at once: what has come and was not handed out is dropped. */
  #stop(failure?: { reason: unknown }): void {
    this.#rest = [];
    this.#end(failure);
  }

  /** To "ended": what has come is still handed out first. */
  #end(failure?: { reason: unknown }): void {
    const { exchange } = this.#state;
    this.#state = { is: "ended", exchange, failure };
    this.#signal?.removeEventListener("abort", this.#onAbort);
    exchange.release(failure?.reason);
  }
}
