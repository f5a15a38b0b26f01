/**
 * An open event stream.
 *
 * @module
 */

import { isSseError, reasonOf, SseError } from "../error.ts";
import {
  check,
  checkBoolean,
  checkSignal,
  functionOption,
  timeoutOption,
} from "../internal/check.ts";
import { CallQueue } from "../internal/call_queue.ts";
import { onAbort, wait } from "../internal/wait.ts";
import { Exchange } from "./exchange.ts";
import { Inbox } from "./inbox.ts";
import { MAX_CLOSE_TIME, MAX_HEALTHY_TIME, MIN_RETRY_DELAY } from "./limits.ts";
import type { ConnectSseOptions, Send } from "./options.ts";
import {
  attemptsFailed,
  planRetry,
  type ReconnectPolicy,
  reconnectPolicy,
} from "./reconnect.ts";
import { endsStream, isRefused } from "./refusal.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * An open event stream: the iterator over events that {@linkcode connectSse}
 * and {@linkcode readSse} return. Read it with `for await`, which closes the
 * connection when you leave the loop in any way. Or call `next()`, which reads
 * one event and leaves the connection open; then close it with `close()` or
 * `await using`.
 *
 * Events are read only on demand: at most the events of one chunk are in
 * memory. Check `response` before you read the first event if you need to.
 * Store `lastEventId` if you want to continue later.
 *
 * @example Check the response, read one event, and then the others
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
export interface SseConnection
  extends AsyncIterableIterator<ServerSentEvent, undefined>, AsyncDisposable {
  /**
   * The response that the events come from. After a reconnect, it is the newest
   * one.
   *
   * If it is not an event stream, you can read its body before you call
   * `next()`. If you read it to its end, you do not have to call `close()`.
   * `close()` also aborts reading it, but aborting the option `signal` does
   * not.
   */
  readonly response: Response;

  /**
   * The state of the connection. Use it to show whether events can arrive.
   *
   * - `"connecting"`: there is no connection, but another attempt may follow.
   *   After a lost connection, the next call of `next()` decides whether to
   *   make one.
   * - `"open"`: there is a response, even if it is not an event stream.
   * - `"closed"`: there is no connection, and will be none. Events that arrived
   *   before are still returned, unless `close()`, an abort or the error of a
   *   callback has dropped them.
   */
  readonly state: "connecting" | "open" | "closed";

  /**
   * The last event ID of the events that were returned. Store it, and pass it
   * as the option `lastEventId` to continue from there later.
   *
   * A reconnect may send a newer id: that of the newest event that has arrived,
   * even if it was not returned yet.
   */
  readonly lastEventId: string;

  /**
   * The newest reconnection time in milliseconds that the server has sent as
   * `retry:`. Undefined if it has sent none.
   */
  readonly reconnectionTime: number | undefined;

  /**
   * Reads the next event. You may call it again before the first call has
   * resolved: the calls resolve in order.
   *
   * @returns The event, or `{ done: true }` if the stream has ended or an
   * earlier call has thrown.
   * @throws {SseError} `"status"`, `"content-type"`, `"network"`,
   * `"idle-timeout"`, `"event-timeout"`, `"event-too-large"`, `"truncated"`,
   * `"malformed"` or `"rejected"`; with `reconnect`, also `"connect-timeout"`
   * or `"reconnect-failed"`.
   * @throws {TypeError} If the response's body is locked, was read by another
   * reader or is not a stream of bytes, if `until` or `restartUntil` returns a
   * promise, or, with `reconnect`, if `input` or `fetch` returns an invalid
   * value.
   * @throws {unknown} The signal's reason after an abort, or the error that
   * `until`, `onOpen`, `onComment`, `restartUntil`, `shouldReconnect`,
   * `onReconnect` or `input` throws.
   */
  next(): Promise<IteratorResult<ServerSentEvent, undefined>>;

  /**
   * Closes the connection. Leaving a `for await` loop calls it.
   *
   * @returns The end of the iteration.
   */
  return(): Promise<IteratorResult<ServerSentEvent, undefined>>;

  /**
   * Reconnects, unless the stream has ended.
   *
   * Without an argument, reconnects now: drops the connection, or ends the
   * delay before the next attempt. Call it if you know more than the connection
   * does, for example that the network is available again. Events that have
   * arrived are kept. With `resume: false`, they are dropped, because a new
   * answer starts, and the call counts toward `maxAttempts`.
   *
   * With an error, treats the connection as failed: with an `SseError`
   * `"rejected"`, whose `cause` is the error. Call it for errors inside the
   * stream, such as the event `overloaded_error` of an LLM. The option
   * `reconnect` decides what happens next, as after any other failure. If no
   * attempt follows, the next `next()` throws the `SseError`. An event resets
   * the count of attempts only when the next event is read. If you call
   * `reconnect(error)` because of an event, that event therefore does not reset
   * the count. Events that have arrived are kept. If the option `reconnect` is
   * off, or `resume` is `false`, they are dropped, because no attempt continues
   * after them.
   *
   * @param error The reason why the connection has failed.
   * @throws {TypeError} If there is no argument, and the option `reconnect` is
   * off. It is thrown even if the stream has ended.
   *
   * @example Reconnect as soon as the network is back
   * ```ts
   * import { connectSse } from "@x/sse";
   *
   * const sse = await connectSse("https://example.com/events", {
   *   reconnect: true,
   * });
   * addEventListener("online", () => sse.reconnect());
   * await sse.close();
   * ```
   *
   * @example Try again if an LLM is overloaded
   * ```ts
   * import { connectSse } from "@x/sse";
   *
   * const sse = await connectSse("https://example.com/chat", {
   *   method: "POST",
   *   body: JSON.stringify({ prompt: "Greet me" }),
   *   until: "[DONE]",
   *   reconnect: {
   *     resume: false,
   *     restartUntil: ({ event }) => event !== "error",
   *     maxAttempts: 5,
   *   },
   * });
   * for await (const event of sse) {
   *   if (event.event === "error") sse.reconnect(new Error(event.data));
   *   else console.log(event.data);
   * }
   * ```
   */
  reconnect(error?: unknown): void;

  /**
   * Closes the connection: aborts the request or cancels the response's body,
   * and ends the iteration. Events that were not returned yet are dropped. A
   * second call has no effect.
   *
   * @returns A promise that resolves when the body is canceled, or after a
   * second if canceling it takes longer.
   */
  close(): Promise<void>;

  /** Closes the connection at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void>;

  /** Returns the connection itself, which is its own iterator. */
  [Symbol.asyncIterator](): this;
}

/** Where the events of a connection come from. */
interface Source {
  /** Makes the function that sends requests, until the signal aborts. */
  makeSend?: (closing: AbortSignal) => Send;
  /** The response, if there is one already. */
  response?: Response;
  // Instead of the options of the same name.
  lastEventId?: string | undefined;
  signal?: AbortSignal | null | undefined;
}

/**
 * The state of a connection. It may become "ended" from any other, if `until` is
 * met, by `close()` or an abort.
 *
 *     connecting ── an event stream ──▶ open ── bytes ──▶ open
 *      ▲  ▲   │                          │ │
 *      │  │   │ ◀────── reconnect() ─────┘ └── ended, failed, timeout ──▶ lost
 *      │  │   │                                                            │
 *      │  │   └── another response, final ──▶ refused ── next() ──▶ ended  │
 *      │  └── failed, and reconnects                                       │
 *      └──────────────────────────── next() ───────────────────────────────┘
 *
 * In all states, events that have arrived are delivered first, unless `#stop`
 * drops them.
 */
type State =
  & {
    /** The newest exchange. It is aborted when another one replaces it. */
    readonly exchange: Exchange;
    /** The exchange before it, whose response `shouldReconnect` may read. */
    readonly failed?: Exchange | undefined;
  }
  & ({
    /** A plan is being made, a delay passes, or the request is in flight. */
    readonly kind: "connecting";
  } | {
    readonly kind: "open";
    /** When the response arrived, in ms. */
    readonly since: number;
  } | {
    /** The connection is gone. The next `next()` plans another attempt, or none. */
    readonly kind: "lost";
    readonly failure: Failure;
    readonly error: SseError;
    /** Whether `reconnect(error)` was called before there was a response. */
    readonly wasConnecting: boolean;
  } | {
    /** The response is the caller's until the next `next()`. */
    readonly kind: "refused";
    /** Undefined if the start of the body has not been read yet. */
    readonly error?: SseError | undefined;
  } | {
    readonly kind: "ended";
    /** What the next `next()` throws. */
    readonly thrown: Thrown | undefined;
  });

/**
 * What failed: a response that is no event stream (`"refused"`), a body that ended
 * and whose end is the stream's if no attempt follows (`"ended"`), or anything
 * else.
 */
type Failure = "refused" | "ended" | "failed";
type Thrown = { readonly reason: unknown };
type Result = IteratorResult<ServerSentEvent, undefined>;

/** The class behind {@linkcode SseConnection}. */
export class Connection implements SseConnection {
  readonly #send: Send | undefined;
  readonly #idleTimeout: number | undefined;
  readonly #eventTimeout: number | undefined;
  readonly #connectTimeout: number | undefined;
  readonly #anyContentType: boolean | undefined;
  readonly #onOpen: ConnectSseOptions["onOpen"];
  readonly #policy: ReconnectPolicy;
  readonly #signal: AbortSignal | null | undefined;
  #stopListening: (() => void) | undefined;
  readonly #inbox: Inbox;
  readonly #calls = new CallQueue<Result>();
  /** Aborts when the connection has ended, and there will be no more attempts. */
  readonly #closing = new AbortController();

  #state: State;
  /**
   * Resolves when an attempt or a plan is over. The state may be "connecting"
   * again.
   */
  #settled: Promise<void> | undefined;
  response!: Response;
  /** The attempts in a row. With `resume: false`, all attempts. */
  #attempts = 0;
  /** Whether another attempt would continue the stream, or may start it anew. */
  #canContinue = true;

  constructor(options: ConnectSseOptions, source: Source) {
    const { makeSend, response } = source;
    this.#send = makeSend?.(this.#closing.signal);
    this.#idleTimeout = timeoutOption(options, "idleTimeout");
    this.#eventTimeout = timeoutOption(options, "eventTimeout");
    this.#connectTimeout = timeoutOption(
      options,
      options.connectTimeout === undefined ? "idleTimeout" : "connectTimeout",
    );
    this.#anyContentType = options.anyContentType;
    this.#onOpen = functionOption(options, "onOpen");
    checkSignal(this.#signal = source.signal);
    this.#policy = reconnectPolicy(makeSend && options.reconnect);
    this.#inbox = new Inbox(options, source.lastEventId);

    const exchange = new Exchange(response);
    this.#state = { kind: "connecting", exchange };
    if (response) this.response = response;
    this.#listenForAbort();
    if (this.#state.kind !== "connecting") return;
    if (response) this.#receiveResponse(exchange, response);
    else this.#connect();
  }

  get state(): SseConnection["state"] {
    const { kind } = this.#state;
    if (kind === "ended") return "closed";
    return kind === "open" || kind === "refused" ? "open" : "connecting";
  }

  get lastEventId(): string {
    return this.#inbox.lastEventId;
  }

  get reconnectionTime(): number | undefined {
    return this.#inbox.parser.reconnectionTime;
  }

  next(): Promise<Result> {
    return this.#calls.run(this.#next);
  }

  readonly #next = (): Promise<Result> => {
    const value = this.#deliver();
    if (!value) return this.#pull();
    // An event that has arrived is returned without an async function, which
    // would be several times slower.
    this.#calls.finish();
    return Promise.resolve({ done: false, value });
  };

  reconnect(error?: unknown): void {
    const { isEnabled, resume, maxAttempts } = this.#policy;
    const isRejection = error !== undefined;
    check(isEnabled || isRejection, "an error, or the option reconnect", error);
    // A refused response has left the signal.
    if (this.#state.kind === "refused") this.#listenForAbort();
    const state = this.#state;
    if (state.kind === "ended") return;
    // There will be no continuation of what has arrived.
    if (!isEnabled || !resume) this.#inbox.clear();
    if (isRejection) {
      const message = `Expected events, but reconnect() was called: ${
        reasonOf(error)
      }`;
      const { response } = this;
      this.#fail(new SseError("rejected", message, { response, cause: error }));
      return;
    }
    // A request that was not sent yet counts already.
    if (!resume && state.exchange.isSent) this.#attempts++;
    if (!resume && this.#attempts > maxAttempts) {
      this.#end({ reason: attemptsFailed(maxAttempts) });
    } else {
      // The state is set first, because the source may call close() when it is
      // canceled.
      this.#connect((state as { error?: SseError }).error);
      state.exchange.abort();
    }
  }

  async return(): Promise<Result> {
    await this.close();
    return { done: true, value: undefined };
  }

  async close(): Promise<void> {
    const { exchange, failed } = this.#state;
    this.#stop();
    const canceled = exchange.canceled ?? failed?.canceled;
    if (canceled) await wait(MAX_CLOSE_TIME, undefined, canceled);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resolves when the connection is no longer "connecting". */
  async settled(): Promise<void> {
    while (this.#state.kind === "connecting") await this.#settled;
    const { thrown } = this.#state as { thrown?: Thrown };
    if (thrown) throw thrown.reason;
  }

  /** Delivers an event that has arrived, if there is one. */
  #deliver(): ServerSentEvent | undefined {
    const { resume, restartUntil } = this.#policy;
    try {
      const event = this.#inbox.dequeue();
      if (this.#inbox.isComplete) this.#stop();
      if (event && !resume && this.#canContinue) {
        this.#canContinue = !checkBoolean("restartUntil", restartUntil(event));
      }
      return event;
    } catch (reason) {
      if (reason === this.#inbox.malformed) {
        this.#fail(reason);
      } else {
        this.#stop({ reason });
      }
    }
  }

  /** Goes from state to state until there is an event or the end. */
  async #pull(): Promise<Result> {
    let event: ServerSentEvent | undefined;
    let stopTimer: (() => void) | undefined;
    while (!event && this.#state.kind !== "ended") {
      const state = this.#state;
      const { exchange } = state;
      switch (state.kind) {
        case "connecting":
          stopTimer?.();
          stopTimer = undefined;
          await this.#settled;
          break;
        case "open":
          // Not when an event is delivered: a server that answers each request
          // with one that the caller rejects would be asked forever.
          if (this.#policy.resume && this.#inbox.hasDelivered) {
            this.#attempts = 0;
          }
          stopTimer ??= exchange.startTimer(
            "event-timeout",
            "an event (eventTimeout)",
            this.#eventTimeout,
          );
          try {
            const chunk = await exchange.read(this.#idleTimeout);
            if (state === this.#state) this.#receive(state, chunk);
          } catch (cause) {
            if (state === this.#state) this.#fail(exchange.readError(cause));
          }
          break;
        case "lost":
          // Otherwise, a callback that rejects each plan would block the event
          // loop.
          if (state.wasConnecting) await wait(0);
          if (state !== this.#state) break;
          this.#recover(state.failure, exchange, state.error);
          break;
        case "refused": {
          this.#listenForAbort();
          const error = state.error ?? await exchange.refusal();
          if (state !== this.#state) break;
          const isEnd = endsStream(error.response!);
          this.#end(isEnd ? undefined : { reason: error });
          break;
        }
      }
      event = this.#deliver();
    }
    stopTimer?.();
    return this.#finish(event);
  }

  /** Ends a call of `next()`. An error is thrown once. */
  #finish(value: ServerSentEvent | undefined): Result {
    const { thrown } = this.#state as { thrown?: Thrown };
    if (!value) this.#end();
    this.#calls.finish();
    if (value) return { done: false, value };
    if (thrown) throw thrown.reason;
    return { done: true, value: undefined };
  }

  #receive(
    state: State,
    { done, value }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>,
  ): void {
    try {
      if (!done) return this.#inbox.receive(value);
      state.exchange.endBody();
      const truncated = this.#inbox.receiveEnd();
      // `until` may have called close() or reconnect().
      if (!truncated || state !== this.#state) return;
      // Without `until`, the end of the body is the end of the stream.
      const failure = this.#inbox.until === undefined ? "ended" : "failed";
      this.#fail(truncated, failure);
    } catch (error) {
      if (state === this.#state) this.#fail(error);
    }
  }

  /** To "lost", or to "ended" if no attempt can follow. */
  #fail(error: unknown, failure: Failure = "failed"): void {
    const state = this.#state;
    const { exchange } = state;
    if (!this.#canRecover(error)) return this.#giveUp(failure, exchange, error);
    if (state.kind === "open" && this.#wasHealthy(state.since)) {
      this.#attempts = 0;
    }
    const wasConnecting = state.kind === "connecting";
    this.#state = { kind: "lost", exchange, failure, error, wasConnecting };
    exchange.abort(error);
  }

  /** Ends the stream, or leaves the refused response to the caller. */
  #giveUp(failure: Failure, exchange: Exchange, error: unknown): void {
    if (failure === "refused") this.#refuse(exchange, error as SseError);
    else this.#end(failure === "ended" ? undefined : { reason: error });
  }

  #canRecover(error: unknown): error is SseError {
    return this.#policy.isEnabled && this.#canContinue && isSseError(error);
  }

  /**
   * Whether the connection was quiet but healthy: proxies cut such connections each
   * minute. A server that sends no byte is not healthy. The minimum keeps attempts
   * without a delay from being endless, and the maximum is for an endless
   * `maxDelay`, which `EventSource` has.
   */
  #wasHealthy(since: number): boolean {
    const { resume, backoff } = this.#policy;
    return resume && !this.#inbox.parser.isAtStart &&
      Date.now() - since >
        Math.min(Math.max(backoff.max, MIN_RETRY_DELAY), MAX_HEALTHY_TIME);
  }

  /** To "connecting". */
  #startConnecting(failed?: Exchange): State {
    const exchange = new Exchange();
    return this.#state = { kind: "connecting", exchange, failed };
  }

  /** To "connecting", with a request. */
  #connect(error?: SseError): void {
    this.#settled = this.#attempt(this.#startConnecting(), error);
  }

  async #attempt(state: State, error: SseError | undefined): Promise<void> {
    const { exchange } = state;
    const isFirst = !this.response && !error;
    try {
      // If reconnect() is called several times in a row, only the last call sends
      // a request.
      if (!isFirst) await undefined;
      if (state !== this.#state) return;
      const response = await exchange.send(
        this.#send!,
        {
          attempt: isFirst ? 0 : this.#attempts || 1,
          lastEventId: this.#inbox.parser.lastEventId,
          lastEvent: this.#inbox.lastEvent,
          error,
        },
        this.#connectTimeout,
      );
      if (state === this.#state) this.#receiveResponse(exchange, response);
    } catch (error) {
      if (state !== this.#state) return;
      if (this.#canRecover(error) && error.code !== "reconnect-failed") {
        this.#recover("failed", exchange, error);
      } else {
        this.#end({ reason: error });
      }
    }
  }

  /** To "open", "refused" or again "connecting", depending on the response. */
  #receiveResponse(exchange: Exchange, response: Response): void {
    this.response = response;
    if (!isRefused(response, this.#anyContentType)) {
      this.#state = { kind: "open", exchange, since: Date.now() };
      this.#inbox.open(response);
      try {
        this.#onOpen?.(response);
      } catch (reason) {
        this.#stop({ reason });
      }
    } else if (this.#policy.isEnabled && !endsStream(response)) {
      this.#recover("refused", exchange, exchange.refusal());
    } else {
      this.#refuse(exchange);
    }
  }

  #listenForAbort(): void {
    this.#stopListening?.();
    this.#stopListening = onAbort(
      this.#signal,
      (reason) => this.#stop({ reason }),
    );
  }

  /**
   * To "refused". A caller that reads the response itself may never come back, so
   * nothing must be left on its signal.
   */
  #refuse(exchange: Exchange, error?: SseError): void {
    this.#stopListening?.();
    this.#state = { kind: "refused", exchange, error };
  }

  /** To "connecting", and from there on as the policy says. */
  #recover(
    failure: Failure,
    failed: Exchange,
    error: SseError | Promise<SseError>,
  ): void {
    const state = this.#startConnecting(failed);
    this.#settled = this.#retry(state, failure, failed, error);
  }

  async #retry(
    state: State,
    failure: Failure,
    failed: Exchange,
    reason: SseError | Promise<SseError>,
  ): Promise<void> {
    const { signal } = state.exchange;
    try {
      // Before the wait and the callbacks, in which reconnect() may be called.
      this.#attempts++;
      const error = await reason;
      if (state !== this.#state) return;
      const delay = this.#canContinue
        ? await planRetry(
          this.#policy,
          error,
          this.#attempts,
          this.reconnectionTime,
          signal,
        )
        : undefined;
      if (state !== this.#state) return;
      if (delay === undefined) {
        this.#attempts--; // None follows.
        return this.#giveUp(failure, failed, error);
      }
      // Not earlier: `shouldReconnect` may read a refused response.
      failed.abort(error);
      await wait(delay, signal);
      await this.#attempt(state, error);
    } catch (reason) {
      // A callback may throw after it has called close() or reconnect().
      const isAbort = state !== this.#state && reason === signal.reason;
      if (!isAbort) this.#end({ reason });
    } finally {
      // A refused response may be left to the caller.
      if (this.#state.exchange !== failed) failed.abort();
    }
  }

  /** To "ended" at once: drops what has arrived and was not delivered. */
  #stop(thrown?: Thrown): void {
    this.#inbox.clear();
    this.#end(thrown);
  }

  /** To "ended". What has arrived is delivered before the error is thrown. */
  #end(thrown?: Thrown): void {
    const { exchange, failed } = this.#state;
    const ended: State = { kind: "ended", exchange, thrown };
    this.#state = ended;
    this.#stopListening?.();
    exchange.abort(thrown?.reason);
    failed?.abort();
    this.#closing.abort();
    // What was aborted may have called close(), which must not hide the error.
    this.#state = ended;
  }
}
