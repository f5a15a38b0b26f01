/**
 * A response that streams messages.
 *
 * @module
 */

import {
  check,
  checkSignal,
  checkTimeout,
  checkType,
} from "../internal/check.ts";
import { encodeAfter, sharedBytes, type SseMessage } from "./encoder.ts";
import { POLL, type Pollable, type Waker } from "./poll.ts";

/**
 * As for a `Response`, and how to keep it alive and end it.
 *
 * @example A server that can be shut down, and lets clients go after an hour
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
   * After how many ms without a message to write an empty comment, so that no
   * proxy takes the connection for dead. Off by default.
   */
  heartbeat?: number | undefined;
  /**
   * Ends the stream when it aborts, after what the client is being sent. With
   * the signal of a server's shutdown, no open stream holds it up; with
   * `AbortSignal.timeout(ms)`, clients connect anew before a platform cuts them
   * off. A client that reconnects asks for what it has not got.
   *
   * Node warns of a leak where more than ten streams listen to one signal, though
   * each stops when it ends: `events.setMaxListeners(0, signal)` says so.
   */
  signal?: AbortSignal | undefined;
}

const DEFAULT_HEADERS = {
  "Content-Type": "text/event-stream",
  // Caches keep a copy at most to ask whether it still holds, and compress
  // nothing, which would hold events back.
  "Cache-Control": "no-cache, no-transform",
  // Has nginx pass events on as they come.
  "X-Accel-Buffering": "no",
  // Has every proxy that knows RFC 10036 do so.
  "Incremental": "?1",
};

const HEARTBEAT = /* @__PURE__ */ new TextEncoder().encode(":\n");

/**
 * Answers a request with an event stream. The source is asked for a message only
 * when the client takes it, and its `return()` is called when the client goes,
 * so that the `finally` blocks of a generator run.
 *
 * A generator cannot be ended while it awaits something: one that passes on what
 * comes from elsewhere lets go only with the next message. Give the connection or
 * stream itself, or pipe it through a `TransformStream`. To push messages, give
 * the `readable` of a `TransformStream`, and write to its `writable`.
 *
 * Where the source fails, the connection is cut: the client sees an error, not
 * an end, and can reconnect.
 *
 * @param source The messages. Events that were read are messages too.
 * @param init Status, headers, heartbeat and signal. Headers given here replace
 * `Content-Type`, `Cache-Control`, `X-Accel-Buffering` and `Incremental`, which
 * are set so that nothing on the way caches, compresses or holds back.
 * @returns The response.
 * @throws {TypeError} If the source cannot be iterated, or is a locked stream,
 * or `signal` is no `AbortSignal`.
 * @throws {RangeError} If `heartbeat` is not a positive number, or `status` is
 * none that a body can have: 200 to 599, but for 204, 205 and 304.
 *
 * @example
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
 * @example A proxy, which passes on what it reads
 * ```ts
 * import { connectSse, lastEventIdOf, sseResponse } from "@x/sse";
 *
 * async function handler(request: Request): Promise<Response> {
 *   const upstream = await connectSse("https://example.com/events", {
 *     headers: { Authorization: "Bearer secret" },
 *     lastEventId: lastEventIdOf(request),
 *   });
 *   if (upstream.response.status !== 200) return upstream.response;
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
  const writer = new Writer(iterate(source), init);
  try {
    const { status = 200 } = init;
    const headers = new Headers(init.headers);
    for (const [name, value] of Object.entries(DEFAULT_HEADERS)) {
      if (!headers.has(name)) headers.set(name, value);
    }
    check(
      status >= 200 && status <= 599 && ![204, 205, 304].includes(status),
      "a status with a body",
      status,
      RangeError,
    );
    const body = new ReadableStream(writer, { highWaterMark: 0 });
    return new Response(body, { ...init, headers });
  } catch (error) {
    writer.cancel().catch(() => {});
    throw error;
  }
}

/** Where messages come from, and how to let go of it. */
interface Source extends Partial<Pollable> {
  next(): Promise<IteratorResult<SseMessage>> | IteratorResult<SseMessage>;
  return?(): unknown;
}

function iterate(source: Parameters<typeof sseResponse>[0]): Source {
  if (source instanceof ReadableStream) {
    // Not all runtimes can iterate over one.
    const reader = source.getReader();
    return {
      next: () => reader.read() as Promise<IteratorResult<SseMessage>>,
      return: () => reader.cancel(),
    };
  }
  const expected = "an iterable or a stream of messages";
  checkType(source, "object", expected);
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  check(Symbol.iterator in source, expected, typeof source);
  const iterator = source[Symbol.iterator]();
  return {
    // As `for await` has it, which waits for promises.
    async next() {
      const { done, value } = iterator.next();
      return { done, value: await value } as IteratorResult<SseMessage>;
    },
    return: () => iterator.return?.(),
  };
}

/** What the stream of a response is made of: it writes what its source has. */
class Writer
  implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>>, Waker {
  readonly #source: Source;
  readonly #init: SseResponseInit;
  #heartbeat: number | undefined;
  #signal: AbortSignal | undefined;
  /**
   * `"idle"` while the client has asked for nothing more, `"asked"` while it
   * waits for a message, and `"over"` once the source or the client has come to
   * an end.
   */
  #state: "idle" | "asked" | "over" = "idle";
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #lastEventId: string | undefined;
  /** What to call once the client is slower than a source that is followed. */
  #resolve!: () => void;
  #reject!: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the last message was written, or the client asked for one. */
  #quietSince = 0;

  constructor(source: Source, init: SseResponseInit) {
    this.#source = source;
    this.#init = init;
  }

  start(
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): void {
    this.#controller = controller;
    const { heartbeat, signal } = this.#init;
    this.#heartbeat = checkTimeout("heartbeat", heartbeat);
    checkSignal(signal);
    this.#signal = signal;
  }

  async pull(): Promise<void> {
    if (this.#signal?.aborted) return this.handleEvent();
    this.#signal?.addEventListener("abort", this);
    this.#state = "asked";
    if (this.#heartbeat) {
      this.#quietSince = Date.now();
      this.#timer ??= setTimeout(() => this.#beat(), this.#heartbeat);
    }
    try {
      if (this.#source[POLL]) await this.#follow();
      else while (this.#pass(await this.#source.next()));
    } catch (error) {
      if (this.#isOver) return;
      // Where the message was at fault, the source does not know of it.
      this.cancel().catch(() => {});
      throw error;
    }
    if (!this.#isOver) this.#state = "idle";
  }

  async cancel(): Promise<void> {
    // What ended before may still have had a message on its way.
    if (this.#isOver) return;
    this.#finish();
    await this.#source.return?.();
  }

  /** The signal's listener. */
  handleEvent(): void {
    this.cancel().catch(() => {});
    this.#controller.close();
  }

  get #isOver(): boolean {
    return this.#state === "over";
  }

  /** Writes what the source gave. True if that wrote nothing, so ask again. */
  #pass(result: IteratorResult<SseMessage>): boolean {
    if (this.#isOver) return false;
    if (!result.done) return !this.#write(result.value);
    this.#finish();
    this.#controller.close();
    return false;
  }

  /** Writes a message; whether there was anything to write. */
  #write(message: SseMessage): boolean {
    let bytes = sharedBytes(message);
    if (bytes !== undefined) {
      // Not known any more, rather than the new one: to keep a new string in
      // each of thousands of writers costs more than the rest.
      this.#lastEventId = undefined;
    } else {
      bytes = encodeAfter(this.#lastEventId, message);
      this.#lastEventId = message.id ?? this.#lastEventId;
    }
    if (bytes.length === 0) return false;
    this.#controller.enqueue(bytes);
    if (this.#heartbeat) this.#quietSince = Date.now();
    return true;
  }

  /**
   * Writes whatever the source has, as soon as it has it, until one message
   * waits for the client. A promise for each, as of `next()`, would cost more
   * than all the rest.
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
        this.#pass(result);
      }
      this.#resolve();
    } catch (error) {
      this.#reject(error);
    }
    return false;
  }

  /** Only while the client waits: one that is slow has enough to read. */
  #beat(): void {
    this.#timer = undefined;
    if (this.#state !== "asked") return;
    const heartbeat = this.#heartbeat!;
    let due = this.#quietSince + heartbeat - Date.now();
    // More than a whole interval is left only if the system clock was set back.
    if (due <= 0 || due > heartbeat) {
      const { desiredSize } = this.#controller;
      if (desiredSize === 0) this.#controller.enqueue(HEARTBEAT);
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
