/**
 * A response that is an event stream.
 *
 * @module
 */

import { check, checkSignal, checkTimeout } from "../internal/check.ts";
import { type PulledSource, pullFrom } from "../internal/pulled_source.ts";
import { encodeEvent, sharedBytes, type SseMessage, utf8 } from "./encoder.ts";
import { POLL, type Pollable, type Waker } from "./poll.ts";

/**
 * Options of {@linkcode sseResponse}: those of a `Response` (`status`,
 * `headers`, `statusText`), how to keep a quiet stream alive, and when to end
 * it.
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
   * written. By default, none is written.
   *
   * Set it for every stream that can be quiet. Choose less than the idle
   * timeout of each proxy on the way, which is often 60 seconds, so that none
   * of them closes the connection. Clients can then use `idleTimeout` to notice
   * a connection that has died. A Cloudflare Worker notices that a client has
   * left only when it writes.
   *
   * No comment is written while the client is too slow to accept one.
   */
  heartbeat?: number | undefined;
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
  // Turns it off in every proxy that implements RFC 10036.
  ["Incremental", "?1"],
];

const HEARTBEAT = /* @__PURE__ */ utf8.encode(":\n");

/**
 * Answers a request with an event stream. Use it in the handler of a server: it
 * turns a generator, another iterable or a stream of messages into a
 * `Response`.
 *
 * Messages are read from the source only as fast as the client accepts them.
 * When the client leaves, the source is closed by its `return()`, so that the
 * `finally` blocks of a generator run. If the source fails, the response
 * errors: the client sees a failed connection instead of an end, and can
 * reconnect.
 *
 * A generator cannot be closed while it awaits something. A generator that
 * passes on messages from elsewhere therefore stops only at the next message.
 * Pass the connection or the stream itself instead, or pipe it through a
 * `TransformStream`.
 *
 * @param source The messages. Events that were read are messages, too.
 * @param init Status, headers, heartbeat and signal. By default, the headers
 * `Content-Type`, `Cache-Control`, `X-Accel-Buffering` and `Incremental` are
 * set so that nothing on the way caches, compresses or buffers the stream. Your
 * headers replace them.
 * @returns The response.
 * @throws {TypeError} If the source cannot be iterated, or is a locked stream,
 * or `signal` is not an `AbortSignal`.
 * @throws {RangeError} If `heartbeat` is less than 1, or `status`
 * does not allow a body: 200 to 599 do, except 204, 205 and 304.
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
 *   return sseResponse(pipe.readable, { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * ```
 *
 * @example Pass on a stream from another server
 * ```ts
 * import { connectSse, lastEventIdOf, sseResponse } from "@x/sse";
 *
 * async function handler(request: Request): Promise<Response> {
 *   const upstream = await connectSse("https://example.com/events", {
 *     headers: { Authorization: "Bearer secret" },
 *     lastEventId: lastEventIdOf(request),
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
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes}
 */
export function sseResponse(
  source:
    | AsyncIterable<SseMessage>
    | Iterable<SseMessage>
    | ReadableStream<SseMessage>,
  init: SseResponseInit = {},
): Response {
  const pulled = pullFrom(source, "an iterable or a stream of messages");
  try {
    // Read one by one, as they may be getters: the init may be a `Response`.
    const { status = 200, statusText } = init;
    const headers = new Headers(init.headers);
    for (const [name, value] of DEFAULT_HEADERS) {
      if (!headers.has(name)) headers.set(name, value);
    }
    check(
      status >= 200 && status <= 599 && ![204, 205, 304].includes(status),
      "a status with a body",
      status,
      RangeError,
    );
    const body = new ReadableStream(new Writer(pulled, init), {
      highWaterMark: 0,
    });
    return new Response(body, {
      ...init,
      status,
      statusText: statusText!,
      headers,
    });
  } catch (error) {
    closeSource(pulled).catch(() => {});
    throw error;
  }
}

/** Closes a source. Async, so that what `return` throws is a rejection. */
async function closeSource(source: PulledSource<SseMessage>): Promise<void> {
  await source.return?.();
}

/** The source of a response's stream: writes the messages as bytes. */
class Writer
  implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>>, Waker {
  readonly #source: PulledSource<SseMessage> & Partial<Pollable>;
  readonly #heartbeat: number | undefined;
  readonly #signal: AbortSignal | undefined;
  /**
   * `"idle"`: the client has requested nothing more. `"waiting"`: it waits for
   * a message. `"over"`: the source has ended, or the client has left.
   */
  #state: "idle" | "waiting" | "over" = "idle";
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #lastEventId: string | undefined;
  /** Settle `#follow`. */
  #resolve!: () => void;
  #reject!: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time of the last message or of the client's last request for one. */
  #quietSince = 0;

  constructor(source: PulledSource<SseMessage>, init: SseResponseInit) {
    this.#source = source;
    this.#heartbeat = checkTimeout("heartbeat", init.heartbeat);
    checkSignal(this.#signal = init.signal);
  }

  start(
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): void {
    this.#controller = controller;
  }

  async pull(): Promise<void> {
    if (this.#signal?.aborted) return this.handleEvent();
    this.#signal?.addEventListener("abort", this);
    this.#state = "waiting";
    if (this.#heartbeat) {
      this.#quietSince = Date.now();
      this.#timer ??= setTimeout(() => this.#beat(), this.#heartbeat);
    }
    try {
      if (this.#source[POLL]) await this.#follow();
      else while (this.#writeResult(await this.#source.next()));
    } catch (error) {
      if (this.#isOver) return;
      // If the message is at fault, the source has not ended.
      this.cancel().catch(() => {});
      throw error;
    }
    if (!this.#isOver) this.#state = "idle";
  }

  async cancel(): Promise<void> {
    // The client may leave after the source has ended.
    if (this.#isOver) return;
    this.#finish();
    await closeSource(this.#source);
  }

  /** The signal's listener. */
  handleEvent(): void {
    this.cancel().catch(() => {});
    this.#controller.close();
  }

  get #isOver(): boolean {
    return this.#state === "over";
  }

  /** Writes a result of the source. Returns true if nothing was written. */
  #writeResult(result: IteratorResult<SseMessage>): boolean {
    if (this.#isOver) return false;
    if (!result.done) return !this.#write(result.value);
    this.#finish();
    this.#controller.close();
    return false;
  }

  /** Writes a message. Returns whether there was anything to write. */
  #write(message: SseMessage): boolean {
    let bytes = sharedBytes(message);
    if (bytes !== undefined) {
      // Unknown from here on. To store a new id in each of thousands of writers
      // costs more than the rest.
      this.#lastEventId = undefined;
    } else {
      bytes = encodeEvent(message, this.#lastEventId);
      this.#lastEventId = message.id ?? this.#lastEventId;
    }
    if (bytes.length === 0) return false;
    this.#controller.enqueue(bytes);
    if (this.#heartbeat) this.#quietSince = Date.now();
    return true;
  }

  /**
   * Writes messages as soon as the source has them, until one waits for the
   * client. A promise for each message, as of `next()`, would cost more than the
   * rest.
   */
  #follow(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.wake();
    });
  }

  wake(message?: SseMessage): boolean {
    try {
      if (message !== undefined) {
        this.#write(message);
        if (this.#controller.desiredSize === 0) return true;
      }
      while (!this.#isOver && this.#controller.desiredSize === 0) {
        const result = (this.#source as Pollable)[POLL](this);
        if (result === undefined) return true;
        this.#writeResult(result);
      }
      this.#resolve();
    } catch (error) {
      this.#reject(error);
    }
    return false;
  }

  /** Writes a heartbeat if it is due, and if the client waits for a message. */
  #beat(): void {
    this.#timer = undefined;
    if (this.#state !== "waiting") return;
    const heartbeat = this.#heartbeat!;
    let due = this.#quietSince + heartbeat - Date.now();
    // More than a whole interval is left only if the system clock was set back.
    if (due <= 0 || due > heartbeat) {
      const controller = this.#controller;
      if (controller.desiredSize === 0) controller.enqueue(HEARTBEAT);
      this.#quietSince = Date.now();
      due = heartbeat;
    }
    this.#timer = setTimeout(() => this.#beat(), due);
  }

  #finish(): void {
    this.#state = "over";
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this);
  }
}
