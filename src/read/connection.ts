/**
 * An open event stream.
 *
 * @module
 */

import { SseError } from "../error.ts";
import {
  check,
  checkFunction,
  checkSignal,
  checkTimeout,
} from "../internal/check.ts";
import { CallQueue } from "../internal/call_queue.ts";
import { abortable, wait } from "../internal/wait.ts";
import { Exchange } from "./exchange.ts";
import { Inbox } from "./inbox.ts";
import type { ConnectSseOptions, SseAttempt } from "./options.ts";
import {
  type Failure,
  type ReconnectPolicy,
  reconnectPolicy,
} from "./reconnect.ts";
import { endsStream, isRefused } from "./refusal.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * An open event stream, as `connectSse` and `readSse` return it: an iterator over
 * its events. Events are read only on demand, so that at most the events of one
 * chunk are in memory.
 *
 * Leaving a `for await` loop in any way closes the connection, as `close()` and
 * `await using` do. `next()` reads one event, and leaves it open. Check
 * `response` before you read the first event if you need to.
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
export interface SseConnection
  extends AsyncIterableIterator<ServerSentEvent, undefined>, AsyncDisposable {
  /** The response that the events come from: that of the newest connection. */
  readonly response: Response;

  /**
   * The last event ID of the events that were returned. Store it, and pass it as
   * the option `lastEventId` to continue from there later.
   *
   * A reconnect sends the id of the newest event that has arrived, returned or
   * not.
   */
  readonly lastEventId: string;

  /** The server's newest reconnection time in milliseconds, if it sent one. */
  readonly reconnectionTime: number | undefined;

  /**
   * Reads the next event. Calls may overlap, and are answered in order.
   *
   * @returns The event, or `{ done: true }` if the stream has ended or an earlier
   * call has thrown.
   * @throws {SseError} `"status"`, `"content-type"`, `"network"`,
   * `"idle-timeout"`, `"event-timeout"`, `"event-too-large"` or `"truncated"`;
   * with `reconnect`, also `"reconnect-failed"`.
   * @throws {TypeError} If the response's body is locked or was read by another
   * reader.
   * @throws {unknown} The signal's reason after an abort, or what `until`,
   * `onOpen`, `onComment`, `shouldReconnect`, `onReconnect` or `input` throws.
   */
  next(): Promise<IteratorResult<ServerSentEvent, undefined>>;

  /**
   * Closes the connection. Leaving a `for await` loop calls it.
   *
   * @returns The end of the iteration.
   */
  return(): Promise<IteratorResult<ServerSentEvent, undefined>>;

  /**
   * Reconnects now, for example when the network is available again: drops the
   * connection, or ends the delay before the next attempt. Events that have
   * arrived are kept. Has no effect if the stream has ended.
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
  reconnect(): void;

  /**
   * Closes the connection: aborts the request or cancels the response's body, and
   * ends the iteration. Has no effect if it is closed.
   *
   * @returns A promise that resolves when the body is canceled, or after a second
   * if canceling it takes longer.
   */
  close(): Promise<void>;

  /** Closes the connection at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void>;

  /** Returns the connection itself, which is its own iterator. */
  [Symbol.asyncIterator](): this;
}

/** Sends the request of an attempt. Aborting the signal gives it up. */
export type Send = (
  attempt: SseAttempt,
  signal: AbortSignal,
) => Promise<Response>;

/**
 * Opens a connection. Resolves when there is a response that no other attempt
 * follows, also if it is not an event stream.
 */
export async function openConnection(
  send: Send,
  options: ConnectSseOptions,
): Promise<SseConnection> {
  const connection = new Connection(options, send);
  await connection.settled();
  return connection;
}

/** Reads a response that has arrived already. */
export function readResponse(
  response: Response,
  options: ConnectSseOptions,
): SseConnection {
  return new Connection(options, undefined, response);
}

/** The maximum time in milliseconds to wait for a body to be canceled. */
const MAX_CLOSE_TIME = 1000;

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
 * In all states, events that have arrived are delivered first.
 */
type State =
  & {
    /** The newest exchange. It is aborted when another one replaces it. */
    readonly exchange: Exchange;
  }
  & ({
    /** The policy is asked, a delay passes, or the request is under way. */
    readonly kind: "connecting";
    /** Resolves when the state has changed. */
    settled: Promise<void>;
  } | {
    readonly kind: "open";
  } | {
    /** The connection is gone. The next `next()` asks the policy what to do. */
    readonly kind: "lost";
    readonly error: SseError;
  } | {
    /** The response is the caller's until the next `next()`. */
    readonly kind: "refused";
  } | {
    readonly kind: "ended";
    /** What the next `next()` throws. */
    readonly failure: { readonly reason: unknown } | undefined;
  });

type Result = IteratorResult<ServerSentEvent, undefined>;

class Connection implements SseConnection {
  readonly #send: Send | undefined;
  readonly #idleTimeout: number | undefined;
  readonly #eventTimeout: number | undefined;
  readonly #connectTimeout: number | undefined;
  readonly #anyContentType: boolean;
  readonly #onOpen: ConnectSseOptions["onOpen"];
  readonly #policy: ReconnectPolicy;
  readonly #signal: AbortSignal | null | undefined;
  readonly #onAbort = () => this.#stop({ reason: this.#signal!.reason });
  readonly #inbox: Inbox;
  readonly #calls = new CallQueue();

  #state: State;
  #response!: Response;
  /** The attempts in a row since the last event. */
  #attempts = 0;
  #hasEvents = false;

  constructor(
    options: ConnectSseOptions,
    send: Send | undefined,
    response?: Response,
  ) {
    const { idleTimeout, connectTimeout = idleTimeout } = options;
    this.#send = send;
    this.#idleTimeout = checkTimeout("idleTimeout", idleTimeout);
    this.#eventTimeout = checkTimeout("eventTimeout", options.eventTimeout);
    this.#connectTimeout = checkTimeout("connectTimeout", connectTimeout);
    this.#anyContentType = options.anyContentType ?? false;
    checkFunction("onOpen", this.#onOpen = options.onOpen);
    checkSignal(this.#signal = options.signal);
    this.#policy = reconnectPolicy(options.reconnect);
    this.#inbox = new Inbox(options);

    const exchange = new Exchange(response);
    const settled = Promise.resolve();
    this.#state = { kind: "connecting", exchange, settled };
    if (response !== undefined) this.#response = response;
    if (this.#signal?.aborted) {
      this.#onAbort();
    } else {
      this.#signal?.addEventListener("abort", this.#onAbort);
      if (response === undefined) this.#connect();
      else this.#receiveResponse(exchange, response);
    }
  }

  get response(): Response {
    return this.#response;
  }

  get lastEventId(): string {
    return this.#inbox.lastEventId;
  }

  get reconnectionTime(): number | undefined {
    return this.#inbox.reconnectionTime;
  }

  next(): Promise<Result> {
    return this.#calls.run(this.#next);
  }

  reconnect(): void {
    check(
      this.#policy.isEnabled,
      "the option reconnect where reconnect() is called",
      undefined,
    );
    const state = this.#state;
    if (state.kind === "ended") return;
    state.exchange.abort();
    this.#connect(state.kind === "lost" ? state.error : undefined);
  }

  async return(): Promise<Result> {
    await this.close();
    return { done: true, value: undefined };
  }

  async close(): Promise<void> {
    this.#stop();
    const { canceled } = this.#state.exchange;
    if (canceled) await wait(MAX_CLOSE_TIME, undefined, canceled);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resolves when the connection is no longer "connecting". */
  async settled(): Promise<void> {
    while (this.#state.kind === "connecting") await this.#state.settled;
    if (this.#state.kind !== "ended" || !this.#state.failure) return;
    throw this.#state.failure.reason;
  }

  // What has arrived needs no async function, which takes several times longer.
  readonly #next = () => this.#deliver() ?? this.#pull();

  /** Delivers an event that has arrived, if there is one. */
  #deliver(): Result | undefined {
    try {
      const event = this.#inbox.take();
      if (this.#inbox.isComplete) this.#stop();
      if (event !== undefined) return { done: false, value: event };
    } catch (reason) {
      this.#stop({ reason });
    }
  }

  /** Goes from state to state, until there is an event or the end. */
  async #pull(): Promise<Result> {
    let stopTimer: (() => void) | undefined;
    try {
      while (true) {
        const state = this.#state;
        switch (state.kind) {
          case "connecting":
            stopTimer?.();
            stopTimer = undefined;
            await state.settled;
            break;
          case "open":
            stopTimer ??= state.exchange.startTimer(
              "event-timeout",
              "an event (eventTimeout)",
              this.#eventTimeout,
            );
            try {
              const chunk = await state.exchange.read(this.#idleTimeout);
              if (state === this.#state) this.#receiveChunk(state, chunk);
            } catch (cause) {
              if (state === this.#state) {
                this.#fail(state.exchange.readError(cause));
              }
            }
            break;
          case "lost":
            this.#recover(state.exchange, state.error);
            break;
          case "refused":
            await this.#refuse(state);
            break;
          case "ended":
            return this.#finish(state.failure);
        }
        const result = this.#deliver();
        if (result !== undefined) return result;
      }
    } finally {
      stopTimer?.();
    }
  }

  #receiveChunk(
    { exchange }: State,
    { done, value }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>,
  ): void {
    if (done) return this.#receiveEnd(exchange);
    try {
      this.#inbox.receive(value);
    } catch (error) {
      this.#fail(Object.assign(error as Error, { response: this.#response }));
    }
    if (this.#inbox.hasEvents) {
      this.#attempts = 0;
      this.#hasEvents = true;
    }
  }

  /** The body has ended, by an abort or by itself. */
  #receiveEnd(exchange: Exchange): void {
    const reason = exchange.endBody();
    if (reason !== undefined) return this.#fail(reason);
    this.#inbox.receiveEnd();
    if (this.#inbox.isComplete) return this.#stop();
    const goal = this.#inbox.hasUntil ? " until `until` is met" : "";
    this.#fail(
      new SseError(
        "truncated",
        `Expected the stream to go on${goal}, but its body ended`,
        { response: this.#response },
      ),
    );
  }

  /** From "open" to "lost", or to "ended" if the fault is not an `SseError`. */
  #fail(fault: unknown): void {
    if (!(fault instanceof SseError)) return this.#end({ reason: fault });
    const { exchange } = this.#state;
    exchange.abort(fault);
    this.#state = { kind: "lost", exchange, error: fault };
  }

  /** To "connecting". `settle` resolves when that state has changed. */
  #enterConnecting(settle: (state: State) => Promise<void>): void {
    const exchange = new Exchange();
    const settled = Promise.resolve();
    const state: State = { kind: "connecting", exchange, settled };
    this.#state = state;
    state.settled = settle(state);
  }

  /** To "connecting", with a request. */
  #connect(error?: SseError): void {
    this.#enterConnecting((state) => this.#attempt(state, error));
  }

  async #attempt(state: State, error: SseError | undefined): Promise<void> {
    const { exchange } = state;
    const isFirst = this.#response === undefined && error === undefined;
    try {
      // If reconnect() is called several times in a row, only the last call sends
      // a request.
      if (!isFirst) await undefined;
      if (state !== this.#state) return;
      this.#inbox.reconnect();
      const attempt: SseAttempt = {
        attempt: isFirst ? 0 : Math.max(1, this.#attempts),
        lastEventId: this.#inbox.receivedId,
        error,
      };
      const response = await exchange.send(
        (signal) => this.#send!(attempt, signal),
        this.#connectTimeout,
      );
      if (state === this.#state) this.#receiveResponse(exchange, response);
    } catch (failure) {
      if (state !== this.#state) return;
      if (failure instanceof SseError && failure.code !== "reconnect-failed") {
        this.#recover(exchange, failure);
      } else {
        this.#end({ reason: failure });
      }
    }
  }

  /** To "open", "refused" or again "connecting", depending on the response. */
  #receiveResponse(exchange: Exchange, response: Response): void {
    this.#response = response;
    if (!isRefused(response, this.#anyContentType)) {
      this.#state = { kind: "open", exchange };
      try {
        this.#onOpen?.(response);
      } catch (reason) {
        this.#stop({ reason });
      }
    } else if (this.#policy.isEnabled) {
      this.#recover(exchange, exchange.refusal(true));
    } else {
      this.#state = { kind: "refused", exchange };
    }
  }

  /** To "connecting", and on from there as the policy plans. */
  #recover(failed: Exchange, failure: SseError | Promise<SseError>): void {
    this.#enterConnecting((state) => this.#retry(state, failed, failure));
  }

  async #retry(
    state: State,
    failed: Exchange,
    failure: SseError | Promise<SseError>,
  ): Promise<void> {
    const { signal } = state.exchange;
    try {
      const error = await abortable(Promise.resolve(failure), signal);
      const plan = await abortable(
        this.#policy.planRetry({
          error,
          kind: this.#failureKind(failed, error),
          attempt: this.#attempts + 1,
          hasEvents: this.#hasEvents,
          reconnectionTime: this.reconnectionTime,
        }, signal),
        signal,
      );
      if (state !== this.#state) return;
      switch (plan) {
        case "refuse":
          this.#state = { kind: "refused", exchange: failed };
          break;
        case "end":
          this.#end();
          break;
        default:
          this.#attempts++;
          // Not earlier: `shouldReconnect` may read a refused response.
          failed.abort(error);
          await wait(plan.delay, signal);
          if (state === this.#state) await this.#attempt(state, error);
      }
    } catch (reason) {
      if (state === this.#state) this.#end({ reason });
    } finally {
      if (this.#state.exchange !== failed) failed.abort();
    }
  }

  #failureKind(failed: Exchange, { code }: SseError): Failure["kind"] {
    if (failed.hasRefusal) return "refused";
    // Without `until`, the end of the body is the end of the stream.
    const isEnd = code === "truncated" && failed.isRead &&
      !this.#inbox.hasUntil;
    return isEnd ? "ended" : "failed";
  }

  /** From "refused" to "ended". */
  async #refuse(state: State): Promise<void> {
    const error = await state.exchange.refusal(false);
    if (state !== this.#state) return;
    this.#end(endsStream(error.response!) ? undefined : { reason: error });
  }

  /** Ends the iteration, by the error if there is one, which is thrown once. */
  #finish(failure: { reason: unknown } | undefined): Result {
    this.#end();
    if (failure !== undefined) throw failure.reason;
    return { done: true, value: undefined };
  }

  /** To "ended" at once: drops what has arrived and was not delivered. */
  #stop(failure?: { reason: unknown }): void {
    this.#inbox.clear();
    this.#end(failure);
  }

  /** To "ended". What has arrived is delivered before the error is thrown. */
  #end(failure?: { reason: unknown }): void {
    const { exchange } = this.#state;
    this.#state = { kind: "ended", exchange, failure };
    this.#signal?.removeEventListener("abort", this.#onAbort);
    exchange.abort(failure?.reason);
  }
}
