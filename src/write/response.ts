/**
 * A response that is an event stream.
 *
 * @module
 */

import { check, checkSignal, numberOption } from "../internal/check.ts";
import { MAX_TIMER_DELAY } from "../internal/wait.ts";
import { encodeEvent, sharedBytes, type SseMessage, utf8 } from "./encoder.ts";
import {
  PulledSubscription,
  type Sink,
  type SseSource,
  subscribe,
  type Subscription,
} from "./subscription.ts";

/**
 * Options of {@linkcode sseResponse}: those of a `Response` (`status`,
 * `headers`, `statusText`), how to keep a quiet stream alive, and when to end
 * it. A `Response` can be used, too: its status and headers are kept.
 *
 * @example Close streams at a shutdown, and each after an hour
 * ```ts
 * import { type SseMessage, sseResponse } from "@x/sse";
 *
 * const shutdown = new AbortController(); // To be aborted on SIGTERM.
 *
 * function answer(messages: AsyncIterable<SseMessage>): Response {
 *   const hour = AbortSignal.timeout(60 * 60 * 1000);
 *   return sseResponse(messages, {
 *     heartbeat: 15_000,
 *     signal: AbortSignal.any([shutdown.signal, hour]),
 *   });
 * }
 * ```
 *
 * @see {@link https://fetch.spec.whatwg.org/#responseinit}
 */
export interface SseResponseInit extends ResponseInit {
  /**
   * Time in milliseconds without a message after which an empty comment is
   * written. The first comment is written at once, because Bun and some proxies
   * send the headers only with the first byte of the body. By default, no
   * comment is written.
   *
   * Set it for every stream that can be quiet. Choose less than the idle
   * timeout of each proxy on the way, which is often 60 seconds, so that none
   * of them closes the connection. Clients can then use `idleTimeout` to notice
   * a connection that has died. A Cloudflare Worker notices that a client has
   * left only when it writes.
   *
   * No comment is written while the client is too slow to accept one.
   *
   * The comment is `:` and one line end. It has no blank line, at which many
   * clients would dispatch an empty event. The only known client that has a
   * problem with it is the SDK `@google/genai`, which loses the event after
   * each such comment: do not set `heartbeat` for responses to it.
   */
  heartbeat?: number | undefined;
  /**
   * Maximum time in milliseconds that the client may take to accept data. If it
   * takes longer, the body errors, which breaks the connection, and the source
   * is closed. By default, there is no limit.
   *
   * Set it if a source is expensive to keep open: a client that stops reading
   * without leaving, such as a frozen browser tab, would otherwise keep the
   * source open until TCP gives up. Choose a minute, for example. Clients that
   * reconnect continue after their last event.
   *
   * A client that has stopped reading is noticed only when the buffers between
   * the server and the client are full, which takes some megabytes of messages.
   * Time without anything to send does not count, nor does the time after
   * `signal` has aborted. On Deno 2.9, only the source is closed: the connection
   * of a client that does not read stays open for as long as TCP keeps it.
   */
  sendTimeout?: number | undefined;
  /**
   * Ends the stream when it aborts, after the message that is being sent. By
   * default, the stream ends when the source ends or the client leaves.
   *
   * Pass the signal of a server's shutdown, so that no open stream delays it,
   * or `AbortSignal.timeout(ms)`, so that clients reconnect before a platform
   * cuts them off. A client that reconnects continues after the last event.
   *
   * Node prints a warning if more than ten streams listen to one signal, though
   * each of them stops listening when it ends.
   * `events.setMaxListeners(0, signal)` turns the warning off.
   */
  signal?: AbortSignal | undefined;
}

const DEFAULT_HEADERS = [
  ["Content-Type", "text/event-stream"],
  // `no-cache`: caches revalidate before each use. `no-transform`: proxies do
  // not compress, which would delay events.
  ["Cache-Control", "no-cache, no-transform"],
  // Turns off buffering in nginx.
  ["X-Accel-Buffering", "no"],
  // Turns buffering off in every proxy that implements RFC 10036.
  ["Incremental", "?1"],
];

// There is no blank line, because many clients dispatch an empty event at one.
const HEARTBEAT = /* @__PURE__ */ utf8.encode(":\n");

/**
 * Answers a request with an event stream. Use it in the handler of a server: it
 * turns a generator, another iterable or a stream of messages, or a function
 * that returns one of them, into a `Response`.
 *
 * Messages are read from the source only as fast as the client accepts them.
 * When the client leaves, the source is closed by a call of its `return()`, so
 * that the `finally` blocks of a generator run. If the source fails, the
 * response errors: the client sees a failed connection instead of an end, and
 * can reconnect.
 *
 * A generator cannot be closed while it awaits something. If it may wait for
 * long, pass a function, which is called with an `AbortSignal`: the signal aborts
 * when the client leaves, when `init.signal` aborts, when `sendTimeout` is
 * exceeded, and when the stream fails. Pass the signal to everything that is
 * awaited. It does not abort if the source has ended.
 *
 * The function is called when the body is first read. For a HEAD request, that
 * is never, unless the server reads the body anyway, as `Deno.serve` does: then
 * the signal aborts immediately. Cloudflare Workers read it and never cancel it,
 * so answer HEAD requests yourself there. If the function throws or rejects, the
 * response errors, unless the signal has aborted. A source that the function
 * returns after the signal has aborted is closed.
 *
 * A `ServerSentEvent` from `connectSse` or another reader is forwarded with its
 * id. The id is written for the first event, and then only if it changes. The
 * `id` of any other message is always written.
 *
 * An empty id at the first event makes the client forget its last event ID. It
 * is left out only if you pass a connection whose `lastEventId` is `""`: the
 * client is then assumed to have no id either. Therefore pass
 * `lastEventIdOf(request)` to `connectSse` as `lastEventId`, and pass the
 * connection to `sseResponse` before you read from it.
 *
 * @param source The messages, or a function that returns them or a promise of
 * them. A `ServerSentEvent` is a message, too.
 * @param init Status, headers, heartbeat, timeout and signal. By default, the
 * headers `Content-Type`, `Cache-Control`, `X-Accel-Buffering` and
 * `Incremental` are set so that no cache on the way answers in place of the
 * server, and no proxy compresses or buffers the stream. Your headers replace
 * them.
 * @returns The response.
 * @throws {TypeError} If the source cannot be iterated, or is a locked stream,
 * or `signal` is not an `AbortSignal`. If a function returns such a source, the
 * response errors instead.
 * @throws {RangeError} If `heartbeat` or `sendTimeout` is less than 1, or
 * `status` does not allow a body: 200 to 599 do, except 204, 205 and 304.
 *
 * @example Send the time every second
 * ```ts
 * import { sseResponse } from "@x/sse";
 *
 * async function* ticks() {
 *   for (let n = 1;; n++) {
 *     yield { id: String(n), data: new Date().toISOString() };
 *     await new Promise((resolve) => setTimeout(resolve, 1000));
 *   }
 * }
 *
 * // For `deno serve`, and for Cloudflare Workers.
 * export default {
 *   fetch: () => sseResponse(ticks(), { heartbeat: 15_000 }),
 * };
 * ```
 *
 * @example Push messages from event listeners
 * ```ts
 * import { type SseMessage, sseResponse } from "@x/sse";
 *
 * const news = new EventTarget();
 *
 * function handler(): Response {
 *   const pipe = new TransformStream<SseMessage, SseMessage>();
 *   const writer = pipe.writable.getWriter();
 *   const send = () => void writer.write({ data: "news" }).catch(() => {});
 *   news.addEventListener("news", send);
 *   // Rejects when the client leaves.
 *   writer.closed.catch(() => news.removeEventListener("news", send));
 *   return sseResponse(pipe.readable, {
 *     heartbeat: 15_000,
 *     sendTimeout: 60_000, // A client that stops reading would fill the memory.
 *   });
 * }
 * export default { fetch: handler };
 * ```
 *
 * @example Pass on a stream from another server
 * ```ts
 * import { connectSse, lastEventIdOf, sseResponse } from "@x/sse";
 *
 * export default {
 *   fetch: (request: Request) =>
 *     sseResponse(
 *       (signal) =>
 *         connectSse("https://example.com/events", {
 *           headers: { Authorization: "Bearer secret" },
 *           lastEventId: lastEventIdOf(request),
 *           signal,
 *           idleTimeout: 60_000, // `heartbeat` would hide a silent server.
 *         }),
 *       { heartbeat: 15_000 },
 *     ),
 * };
 * ```
 *
 * @example Pass on the status of the other server, too
 * ```ts
 * import { connectSse, lastEventIdOf, sseResponse } from "@x/sse";
 *
 * async function handler(request: Request): Promise<Response> {
 *   const upstream = await connectSse("https://example.com/events", {
 *     headers: { Authorization: "Bearer secret" },
 *     lastEventId: lastEventIdOf(request),
 *     // Before the headers arrive, a client that leaves is not noticed.
 *     connectTimeout: 60_000,
 *     idleTimeout: 60_000, // `heartbeat` would hide a silent server.
 *   });
 *   const { status } = upstream.response;
 *   if (status !== 200) {
 *     await upstream.close();
 *     return new Response(null, { status });
 *   }
 *   return sseResponse(upstream, { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * ```
 *
 * @example End a generator when the client leaves, even while it waits
 * ```ts
 * import { connectSse, sseResponse } from "@x/sse";
 *
 * async function* prices(signal: AbortSignal) {
 *   const trades = await connectSse("https://example.com/trades", {
 *     signal,
 *     idleTimeout: 60_000, // `heartbeat` would hide a silent server.
 *   });
 *   for await (const trade of trades) {
 *     yield { json: trade.json<{ price: number }>().price };
 *   }
 * }
 *
 * export default { fetch: () => sseResponse(prices, { heartbeat: 15_000 }) };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes}
 */
export function sseResponse(
  source: SseSource | ((signal: AbortSignal) => SseSource | Promise<SseSource>),
  init: SseResponseInit = {},
): Response {
  const writer = new Writer(source, init);
  try {
    // Read one by one, as they may be getters: the init may be a `Response`.
    const { status = 200, statusText } = init;
    const headers = new Headers(init.headers);
    for (const [name, value] of DEFAULT_HEADERS) {
      if (!headers.has(name)) headers.set(name, value);
    }
    // `Response` refuses all others that have no body.
    const hasBody = ![101, 204, 205, 304].includes(status);
    check(hasBody, "a status with a body", status, RangeError);
    const body = new ReadableStream(writer, { highWaterMark: 0 });
    return new Response(body, {
      ...init,
      status,
      statusText: statusText!,
      headers,
    });
  } catch (error) {
    writer.cancel().catch(() => {});
    throw error;
  }
}

type Source = Parameters<typeof sseResponse>[0];

/** Writes the messages of a source as the bytes of a response's body. */
class Writer implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>>, Sink {
  readonly #init: SseResponseInit;
  readonly #subscription: Subscription;
  /**
   * The controller of the signal that a function as source gets. Undefined for
   * other sources, and after the end of the source.
   */
  #abort: AbortController | undefined;
  /** The options in ms. `Infinity` for none. */
  #heartbeat!: number;
  #sendTimeout!: number;
  #signal: AbortSignal | undefined;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  /** The id that the client has, or undefined if it is not known. */
  #lastEventId: string | undefined;
  /**
   * Resolves the promise of a pending `pull`. Undefined while the client has not
   * accepted the last write, and after the end.
   */
  #resolve: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time since which the client waits, or has not accepted a write. */
  #since!: number;

  constructor(source: Source, init: SseResponseInit) {
    this.#init = init;
    if (typeof source === "function") {
      const { signal } = this.#abort = new AbortController();
      const open = async () => this.#noteId(await source(signal));
      this.#subscription = subscribe(open, this);
    } else {
      this.#subscription = subscribe(this.#noteId(source), this);
    }
  }

  /** A connection without an id was opened for a client without one. */
  #noteId<T>(source: T): T {
    const connection = source as { lastEventId?: string } | undefined;
    if (connection?.lastEventId === "") this.#lastEventId = "";
    return source;
  }

  /** If it throws, the constructor of the stream throws. */
  start(
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): void {
    const init = this.#init;
    this.#controller = controller;
    this.#heartbeat = numberOption(init, "heartbeat", Infinity, 1);
    this.#sendTimeout = numberOption(init, "sendTimeout", Infinity, 1);
    checkSignal(init.signal);
    this.#signal = init.signal;
    // Some servers and proxies send the headers only with the first byte.
    if (this.#heartbeat !== Infinity) this.#enqueue(HEARTBEAT);
  }

  pull(): Promise<void> | void {
    if (this.#signal?.aborted) return this.handleEvent();
    this.#signal?.addEventListener("abort", this);
    this.#since = Date.now();
    if (this.#timer === undefined) this.#startTimer(Infinity);
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#subscription.pull();
    });
  }

  /** Closes the source, unless it has ended. */
  async cancel(reason?: unknown): Promise<void> {
    this.#finish();
    this.#abort?.abort(reason);
    await this.#subscription.cancel();
  }

  /** The listener of `init.signal`. */
  handleEvent(): void {
    this.cancel(this.#signal!.reason).catch(() => {});
    this.#controller.close();
  }

  write(message: SseMessage): boolean {
    try {
      let bytes = sharedBytes.get(message);
      if (bytes !== undefined) {
        // Unknown from here on. Storing a new id in each of thousands of writers
        // would cost more than everything else.
        this.#lastEventId = undefined;
      } else {
        bytes = encodeEvent(message, this.#lastEventId);
        this.#lastEventId = message.id ?? this.#lastEventId;
      }
      if (bytes.length > 0) this.#enqueue(bytes);
    } catch (error) {
      this.error(error);
    }
    return this.#resolve !== undefined;
  }

  close(): void {
    this.#finish();
    this.#abort = undefined;
    this.#controller.close();
  }

  error(reason: unknown): void {
    // The source may still be open: the message may be invalid, or the client
    // too slow.
    this.cancel(reason).catch(() => {});
    this.#controller.error(reason);
  }

  #enqueue(bytes: Uint8Array<ArrayBuffer>): void {
    this.#controller.enqueue(bytes);
    if (this.#resolve === undefined) return;
    this.#since = Date.now();
    if (
      this.#sendTimeout === Infinity &&
      !(this.#subscription instanceof PulledSubscription) &&
      this.#controller.desiredSize === 0
    ) {
      // `pull` stays pending, and the log writes the next message. A promise for
      // each message would cost more than everything else.
      return;
    }
    this.#resolve();
    this.#resolve = undefined;
  }

  /**
   * Starts the timer if there is a limit. `left` is the time in ms until a
   * heartbeat is due, or until the client is too slow. A timer for each write
   * would not work: in a Worker, it would end with the request that appends.
   */
  #startTimer(left: number): void {
    const delay = Math.min(left, this.#heartbeat, this.#sendTimeout);
    // A longer one, such as `Infinity`, would fire at once.
    if (delay > MAX_TIMER_DELAY) return;
    this.#timer = setTimeout(() => this.#beat(), delay);
  }

  /** Writes a heartbeat or fails if it is time to, and starts the timer again. */
  #beat(): void {
    const isSending = this.#resolve === undefined;
    const limit = isSending ? this.#sendTimeout : this.#heartbeat;
    const left = this.#since + limit - Date.now();
    // More than a heartbeat is left only if the system clock was set back.
    if (left > 0 && (isSending || left <= limit)) {
      this.#startTimer(left);
    } else if (isSending) {
      this.error(new Error(`Expected the client to read within ${limit} ms`));
    } else {
      this.#enqueue(HEARTBEAT);
      this.#startTimer(limit);
    }
  }

  #finish(): void {
    this.#resolve = undefined;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this);
  }
}
