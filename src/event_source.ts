/**
 * The WHATWG standard's `EventSource` for every runtime with `fetch`: Deno,
 * Node, Bun, Cloudflare Workers and browsers. Use it to run code that was
 * written for the browser's class, without a change, or if you need more than
 * that class: this one also sends headers, any method and a body, and its
 * errors say what went wrong. To read a stream with `for await`, use
 * `connectSse` of `@x/sse`.
 *
 * ```sh
 * deno add jsr:@x/sse       # Deno
 * npm install @x/sse        # Node, Bun, Cloudflare Workers, bundlers
 * ```
 *
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/chat", {
 *   method: "POST",
 *   headers: { Authorization: "Bearer secret" },
 *   body: JSON.stringify({ prompt: "Greet me" }),
 * });
 * source.onmessage = ({ data }) => {
 *   if (data === "[DONE]") source.close();
 *   else console.log(data);
 * };
 * source.onerror = ({ message }) => console.log(message);
 * ```
 *
 * It differs from a browser's own class in these points, mostly because it is
 * built on `fetch`:
 *
 * - **CORS preflights.** In a browser, a request to another origin with the
 *   header `Last-Event-ID` is preceded by an `OPTIONS` request. A reconnect
 *   after an event with an id therefore costs two requests, and the server has
 *   to allow the header: `Access-Control-Allow-Headers: Last-Event-ID`. The
 *   browser's own class sends it without a preflight.
 * - **Requests that CORS blocks** look like network errors, so they are
 *   repeated, forever unless `reconnect.maxAttempts` is set. The browser's own
 *   class closes at once.
 * - **Redirects.** Each reconnect requests the URL of the constructor again, and
 *   follows its redirects anew. Chromium's own class requests the URL of the
 *   last redirect. This one does not, because your `headers` may be for the
 *   first server only.
 * - **Ids** that have control characters or more than 8192 bytes close the
 *   source when it has to reconnect, because most servers refuse such a header.
 *   The browser's own class sends it.
 * - **Events at the start of a response** may be lost if the connection breaks
 *   as they arrive: `fetch` drops what was not read yet. They do not change the
 *   last event ID, so a server that resumes sends them again.
 * - **`window.stop()`** closes the browser's own class. This one reconnects.
 * - **`isTrusted`** is `false` on its events, and the microtasks that a listener
 *   queues run after all listeners of the event, not before the next listener.
 *
 * The other entry points, and more examples, are in the
 * [README](https://github.com/x/sse/blob/main/README.md). The guide
 * [in a page](https://github.com/x/sse/blob/main/examples/guides/in_a_page.md)
 * shows this class in a browser.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 *
 * @module
 */

import { isSseError, reasonOf, SseError } from "./error.ts";
import { takeCredentials } from "./event_source/credentials.ts";
import { CALLS_HANDLERS } from "./event_source/handler_probe.ts";
import { TaskQueue } from "./event_source/task_queue.ts";
import type {
  EventSourceErrorEvent,
  EventSourceEventMap,
  EventSourceInit,
  EventSourceMessageEvent,
} from "./event_source/types.ts";
import { check, checkType, functionOption, textOf } from "./internal/check.ts";
import { withoutUrlSecrets } from "./internal/quote.ts";
import { idOf } from "./last_event_id.ts";
import { connectSse } from "./read/connect.ts";
import type { SseConnection } from "./read/connection.ts";
import { EventStreamParser } from "./read/parser.ts";
import { isRefused, refusalError, startOfBody } from "./read/refusal.ts";
import type { ServerSentEvent } from "./read/server_sent_event.ts";

export { SseError, type SseErrorCode } from "./error.ts";
export type {
  EventSourceErrorEvent,
  EventSourceEventMap,
  EventSourceInit,
  EventSourceMessageEvent,
} from "./event_source/types.ts";
export type { ReconnectOptions } from "./read/reconnect.ts";

type Handler<E extends Event> = (event: E) => unknown;

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

const CONSTANTS = {
  CONNECTING: { value: CONNECTING, enumerable: true },
  OPEN: { value: OPEN, enumerable: true },
  CLOSED: { value: CLOSED, enumerable: true },
};

/** The option of the constructor that `fromReadableStream` sets. */
const READER = Symbol("reader");
interface StreamInit {
  [READER]?: ReadableStreamDefaultReader<Uint8Array>;
}

/** The reconnection time until the server sets one, similar to browsers'. */
const INITIAL_DELAY = 3000;

/**
 * The standard's `EventSource`. It connects at once, reconnects whenever the
 * connection is lost, and dispatches the events of the stream to listeners,
 * until you close it, or until the server sends a response that is not an event
 * stream.
 *
 * Listeners of `open`, `message` and `error` get events of their own types. All
 * other listeners get messages.
 *
 * @example Follow a job until it is done
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/jobs/7");
 * source.addEventListener("progress", ({ data, lastEventId }) => {
 *   console.log(lastEventId, JSON.parse(data).percent);
 * });
 * source.addEventListener("done", () => source.close());
 * source.onerror = ({ message }) => console.warn(message);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 */
export interface EventSource {
  /** Adds a listener for `open`, `message` or `error`. */
  addEventListener<K extends keyof EventSourceEventMap>(
    type: K,
    listener: (this: EventSource, event: EventSourceEventMap[K]) => unknown,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for the events of the stream that have this name. */
  addEventListener(
    type: string,
    listener: (this: EventSource, event: EventSourceMessageEvent) => unknown,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for events of this name. */
  addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Removes a listener for `open`, `message` or `error`. */
  removeEventListener<K extends keyof EventSourceEventMap>(
    type: K,
    listener: (this: EventSource, event: EventSourceEventMap[K]) => unknown,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Removes a listener for the events of the stream that have this name. */
  removeEventListener(
    type: string,
    listener: (this: EventSource, event: EventSourceMessageEvent) => unknown,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Removes a listener for events of this name. */
  removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
}

/**
 * The standard's `EventSource`, with further options. It works as the browser's
 * own class does; {@linkcode EventSourceInit} lists the options that it adds.
 *
 * @example Show whether the connection is open
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/jobs/7");
 * source.onopen = () => console.log("open");
 * source.onerror = () => console.log("lost");
 * source.addEventListener("done", () => source.close());
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 */
export class EventSource extends EventTarget {
  /** 0: the connection is being established, for the first time or again. */
  declare static readonly CONNECTING: 0;
  /** 1: the connection is open, and events are dispatched as they arrive. */
  declare static readonly OPEN: 1;
  /** 2: there is no connection, and will be none. */
  declare static readonly CLOSED: 2;

  /** 0: the connection is being established, for the first time or again. */
  declare readonly CONNECTING: 0;
  /** 1: the connection is open, and events are dispatched as they arrive. */
  declare readonly OPEN: 1;
  /** 2: there is no connection, and will be none. */
  declare readonly CLOSED: 2;

  static {
    // Web IDL requires these properties, for which there is no syntax.
    Object.defineProperties(this, {
      ...CONSTANTS,
      fromReadableStream: { enumerable: true },
      // Bundlers may change the name.
      name: { value: "EventSource" },
    });
    for (const name of Object.getOwnPropertyNames(this.prototype)) {
      if (name === "constructor") continue;
      Object.defineProperty(this.prototype, name, { enumerable: true });
    }
    Object.defineProperties(this.prototype, {
      ...CONSTANTS,
      [Symbol.toStringTag]: { value: "EventSource", configurable: true },
    });
    if (CALLS_HANDLERS) {
      this.prototype.dispatchEvent = function (this: EventSource, event) {
        return this.#dispatchEvent(event);
      };
    }
  }

  readonly #url: string;
  readonly #withCredentials: boolean;
  readonly #initialDelay: number;
  readonly #tasks: TaskQueue;
  readonly #closing = new AbortController();
  /** The initial id. When there is a connection, it has the newest one. */
  #firstEventId = "";
  #readyState = CONNECTING;
  /** Undefined until the first response. */
  #connection: SseConnection | undefined;
  /** The parser of the stream, if the source was made by `fromReadableStream`. */
  #parser: EventStreamParser | undefined;
  /** The origin of the newest response. */
  #origin = "";
  /** The values of `onopen`, `onmessage` and `onerror`, by the event's name. */
  readonly #handlers = new Map<string, object>();
  /** The event whose handler is hidden from the runtime. */
  #hiddenHandlerType: string | undefined;

  /**
   * Creates a source, and connects.
   *
   * @param url The URL of the stream. In browsers, it may be relative. A user and a
   * password in it are sent as the header `Authorization`.
   * @param init The standard's `withCredentials`, and the options of this
   * module.
   * @throws {DOMException} `"SyntaxError"` if the URL cannot be parsed.
   * @throws {TypeError} If an argument is missing or has the wrong type. A
   * wrong option other than `fetch` is reported by an `error` event instead.
   */
  constructor(url: string | URL, init: EventSourceInit = {}) {
    super();
    if (arguments.length === 0) {
      throw new TypeError("Expected a URL, got no argument");
    }
    // First, as Web IDL converts arguments in order.
    const urlText = `${url}`;
    const options = init ?? {};
    if (!isObject(options)) checkType(init, "object", "init to be an object");
    const { withCredentials, reconnect } = options;
    functionOption(options, "fetch");
    this.#url = parseUrl(urlText);
    this.#withCredentials = Boolean(withCredentials);
    this.#initialDelay = reconnect?.initialDelay ?? INITIAL_DELAY;
    this.#tasks = new TaskQueue();
    const { [READER]: reader } = options as StreamInit;
    if (reader) this.#read(reader, this.#parser = new EventStreamParser({}));
    else this.#run(options);
  }

  /**
   * Creates a source that reads a stream of bytes as if a server had sent it.
   * When the stream ends or fails, the source closes with an `error` event,
   * because it cannot reconnect.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   *
   * @param stream The bytes of an event stream.
   * @returns A source whose `url` is `about:event-stream`, and whose events
   * have the origin `"null"`.
   * @throws {TypeError} If `stream` is not a stream, or is locked.
   *
   * @example Read a response that you have already
   * ```ts
   * import { EventSource } from "@x/sse/event-source";
   *
   * const { body } = await fetch("https://example.com/events");
   * const source = EventSource.fromReadableStream(body!);
   * source.onmessage = ({ data }) => {
   *   if (data === "[DONE]") source.close();
   *   else console.log(data);
   * };
   * source.onerror = ({ message }) => console.error(message);
   * ```
   */
  static fromReadableStream(stream: ReadableStream<Uint8Array>): EventSource {
    const isStream = typeof stream?.getReader === "function";
    check(isStream, "a ReadableStream", stream);
    const init: EventSourceInit & StreamInit = { [READER]: stream.getReader() };
    return new EventSource("about:event-stream", init);
  }

  /** The absolute URL of the stream. */
  get url(): string {
    return this.#url;
  }

  /** Whether cookies and other credentials are sent to other origins, too. */
  get withCredentials(): boolean {
    return this.#withCredentials;
  }

  /** The state of the connection: `CONNECTING`, `OPEN` or `CLOSED`. */
  get readyState(): number {
    return this.#readyState;
  }

  /**
   * The id that a reconnect sends: the id of the newest event or, before the
   * first event, the initial one. For a source made by `fromReadableStream`, it
   * is the newest id that has been read, even if its event was not dispatched
   * yet.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   */
  get lastEventId(): string {
    const { lastEventId } = this.#parser ?? this.#connection ?? {};
    return lastEventId ?? this.#firstEventId;
  }

  /**
   * The delay before a reconnect in milliseconds: the server's newest `retry:`
   * or, before it has sent one, `initialDelay`.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   */
  get reconnectionTime(): number {
    const { reconnectionTime } = this.#parser ?? this.#connection ?? {};
    return reconnectionTime ?? this.#initialDelay;
  }

  /**
   * The handler of `open` events, or `null`. It is called when the connection
   * is open, for the first time or again.
   */
  get onopen(): ((event: Event) => unknown) | null {
    return this.#handler("open");
  }

  set onopen(handler: ((event: Event) => unknown) | null) {
    this.#setHandler("open", handler);
  }

  /**
   * The handler of `message` events, or `null`. These are the events that have
   * no name of their own. Use `addEventListener` for those that have a name.
   */
  get onmessage(): ((event: EventSourceMessageEvent) => unknown) | null {
    return this.#handler("message");
  }

  set onmessage(handler: ((event: EventSourceMessageEvent) => unknown) | null) {
    this.#setHandler("message", handler);
  }

  /**
   * The handler of `error` events, or `null`. It is called when the connection
   * has failed. If the source reconnects, `readyState` is `CONNECTING`,
   * otherwise `CLOSED`.
   */
  get onerror(): ((event: EventSourceErrorEvent) => unknown) | null {
    return this.#handler("error");
  }

  set onerror(handler: ((event: EventSourceErrorEvent) => unknown) | null) {
    this.#setHandler("error", handler);
  }

  /** Closes the connection. The source dispatches no event after it. */
  close(): void {
    this.#close();
  }

  /**
   * Discards the unfinished event of a source that was made by
   * `fromReadableStream`, so that the bytes of another connection can follow.
   * `lastEventId` and `reconnectionTime` are kept.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   *
   * @throws {DOMException} `"InvalidStateError"` if the source was made by the
   * constructor: it reconnects by itself.
   *
   * @example Reconnect with a program of your own
   * ```ts
   * import { EventSource } from "@x/sse/event-source";
   *
   * const { readable, writable } = new TransformStream<Uint8Array>();
   * const source = EventSource.fromReadableStream(readable);
   * source.onmessage = ({ data }) => {
   *   if (data === "[DONE]") source.close();
   *   else console.log(data);
   * };
   *
   * while (source.readyState !== EventSource.CLOSED) {
   *   try {
   *     const { ok, status, body } = await fetch("https://example.com/events", {
   *       headers: { "Last-Event-ID": source.lastEventId },
   *     });
   *     if (!ok) throw new Error(`Status ${status}`);
   *     // The next connection writes to the same stream, also after a failure.
   *     const options = { preventClose: true, preventAbort: true };
   *     await body?.pipeTo(writable, options);
   *   } catch (error) {
   *     if (source.readyState !== EventSource.CLOSED) console.warn(error);
   *   }
   *   source.reset();
   *   await new Promise((resolve) => setTimeout(resolve, 1000));
   * }
   * ```
   *
   * @see {@link https://github.com/whatwg/html/pull/12272}
   */
  reset(): void {
    if (this.#parser === undefined) {
      throw new DOMException(
        "Expected a source made by fromReadableStream, got one that reconnects",
        "InvalidStateError",
      );
    }
    this.#parser.reset();
  }

  /** Reads a stream until it ends or the source closes. Never rejects. */
  async #read(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    parser: EventStreamParser,
  ): Promise<void> {
    const { signal } = this.#closing;
    signal.addEventListener(
      "abort",
      () => void reader.cancel().catch(() => {}),
    );
    this.#origin = "null";
    await this.#announce(signal);
    let reason: unknown;
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done) break;
        // Without `onComment`, there are no comments.
        for (const event of parser.decode(value) as ServerSentEvent[]) {
          if (this.#readyState === CLOSED) return;
          await this.#dispatchMessage(event);
        }
        if (parser.failure) throw parser.failure;
      }
      reason = truncated();
    } catch (cause) {
      const message = `Expected more events, but the stream failed: ${
        reasonOf(cause)
      }`;
      reason = isSseError(cause)
        ? cause
        : new SseError("network", message, { cause });
    }
    await this.#fail(reason);
  }

  /** Reads events until the source closes. Never rejects. */
  async #run(init: EventSourceInit): Promise<void> {
    const { method, body, fetch = globalThis.fetch } = init;
    const { idleTimeout, connectTimeout, maxEventSize, onComment } = init;
    const { reconnect } = init;
    const { backoffFactor = 1, jitter = 0, maxDelay = Infinity } = reconnect ??
      {};
    let reason: unknown;
    try {
      const headers = new Headers(init.headers);
      this.#firstEventId = init.lastEventId ||
        idOf(headers.get("Last-Event-ID") ?? "");
      const url = takeCredentials(this.#url, headers);
      this.#connection = await connectSse(url, {
        method,
        headers,
        body,
        lastEventId: this.#firstEventId,
        credentials: this.#withCredentials ? "include" : "same-origin",
        idleTimeout,
        connectTimeout,
        maxEventSize,
        onComment,
        signal: this.#closing.signal,
        fetch: async (request) => {
          const response = await fetch(request);
          await this.#inspect(response, request.signal);
          return response;
        },
        reconnect: {
          ...reconnect,
          initialDelay: this.#initialDelay,
          backoffFactor,
          jitter,
          maxDelay,
          shouldReconnect: async (error, attempt) => {
            const wanted = await reconnect?.shouldReconnect?.(error, attempt);
            if (wanted !== undefined) return wanted;
            // The standard ignores text that belongs to no event stream.
            if (error.code === "malformed") return true;
            return failsByStandard(error, this.#url, init) ? false : undefined;
          },
          onReconnect: async (info) => {
            await this.#reestablish(info.error);
            await reconnect?.onReconnect?.(info);
          },
        },
      });
      for await (const event of this.#connection) {
        if (this.#readyState === CLOSED) return;
        await this.#dispatchMessage(event);
      }
      reason = truncated();
    } catch (error) {
      reason = error;
    }
    await this.#fail(reason);
  }

  #dispatchMessage({ event, data, id }: ServerSentEvent): Promise<void> {
    return this.#dispatch(
      new MessageEvent(event, { data, origin: this.#origin, lastEventId: id }),
    );
  }

  /** Checks the response as the standard does, before it is read. */
  async #inspect(response: Response, signal: AbortSignal): Promise<void> {
    // `connectSse` reports all other faults.
    if (!response?.ok) return;
    if (response.status !== 200) {
      const body = await startOfBody(response, signal);
      await this.#fail(
        new SseError(
          "status",
          `Expected the status 200, got ${response.status}`,
          { response, body },
        ),
      );
    } else if (!isRefused(response)) {
      // Fetch standard, "extract a MIME type": the last valid one counts.
      const type = contentTypes(response).findLast((type) =>
        type.includes("/") && type !== "*/*"
      );
      if (type === "text/event-stream") {
        this.#origin = new URL(response.url || this.#url).origin;
        await this.#announce(signal);
      } else {
        const body = await startOfBody(response, signal);
        await this.#fail(refusalError(response, body));
      }
    }
  }

  /** HTML standard, "announce the connection". */
  async #announce(signal: AbortSignal): Promise<void> {
    await this.#tasks.next();
    if (signal.aborted) return;
    this.#readyState = OPEN;
    await this.#dispatch(new Event("open"));
  }

  /** HTML standard, "reestablish the connection", up to the delay. */
  async #reestablish(error: SseError): Promise<void> {
    await this.#tasks.next();
    if (this.#readyState === CLOSED) return;
    this.#readyState = CONNECTING;
    await this.#dispatch(errorEvent(error));
  }

  /** HTML standard, "fail the connection". */
  async #fail(error: unknown): Promise<void> {
    await this.#tasks.next();
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSED;
    this.#dispatch(errorEvent(error));
    this.#tasks.close();
    this.#closing.abort();
  }

  #close(): void {
    this.#readyState = CLOSED;
    this.#tasks.close();
    this.#closing.abort();
  }

  /** Dispatches the event, and ends its task. */
  async #dispatch(event: Event): Promise<void> {
    try {
      this.#dispatchEvent(event);
    } catch (error) {
      // An error of a listener. Only workerd throws it here, with older
      // compatibility dates.
      reportError(error);
    }
    await this.#tasks.next();
  }

  /** As the inherited method, but hides handlers from a runtime that calls them. */
  #dispatchEvent(event: Event): boolean {
    if (CALLS_HANDLERS) this.#hiddenHandlerType = event?.type;
    try {
      return super.dispatchEvent(event);
    } finally {
      this.#hiddenHandlerType = undefined;
    }
  }

  #handler<E extends Event>(type: string): Handler<E> | null {
    if (type === this.#hiddenHandlerType) {
      // Only once: the runtime looks before it calls the first listener.
      this.#hiddenHandlerType = undefined;
      return null;
    }
    return this.#handlers.get(type) as Handler<E> | undefined ?? null;
  }

  #setHandler(type: string, handler: unknown): void {
    if (isObject(handler)) {
      this.#handlers.set(type, handler);
      // If it is a listener already, it keeps its place among them.
      super.addEventListener(type, this.#callHandler);
    } else {
      this.#handlers.delete(type);
      super.removeEventListener(type, this.#callHandler);
    }
  }

  /** HTML standard, "the event handler processing algorithm". */
  // Not typed as an `Event`: a program with Node's types has two of that name.
  readonly #callHandler = (given: { type: string }): void => {
    const event = given as Event;
    const handler = this.#handlers.get(event.type);
    if (typeof handler !== "function") return;
    if (handler.call(this, event) === false) event.preventDefault();
  };
}

/** Whether an error is final by the standard, and not for `connectSse`. */
function failsByStandard(
  error: SseError,
  url: string,
  { fetch }: EventSourceInit,
): boolean {
  if (error.code === "status") return true;
  // Other URLs, such as `data:`, have no server that could become available.
  return error.code === "network" && fetch === undefined &&
    !/^https?:/.test(url);
}

/** The runtime's own class, or a substitute for Node, which has none. */
const ErrorEvent: new (
  type: string,
  init: { error: unknown; message: string },
) => Event = globalThis.ErrorEvent ?? class ErrorEvent extends Event {
  readonly error: unknown;
  readonly message: string;

  constructor(type: string, init: { error: unknown; message: string }) {
    super(type);
    this.error = init.error;
    this.message = init.message;
  }
};

function truncated(): SseError {
  const message = "Expected more events, but the stream ended";
  return new SseError("truncated", message);
}

function errorEvent(error: unknown): Event {
  const message = error instanceof Error ? error.message : textOf(error);
  return new ErrorEvent("error", { error, message });
}

function parseUrl(url: string): string {
  try {
    return new URL(url, baseUrl()).href;
  } catch {
    throw new DOMException(
      `Expected a URL, got ${JSON.stringify(withoutUrlSecrets(url))}`,
      "SyntaxError",
    );
  }
}

/** The base of relative URLs, which a page's `base` element may set. */
function baseUrl(): string | undefined {
  // Not that of a `Request`, which takes no relative URL if the page's URL has
  // a user and a password.
  const { document, location } = globalThis as {
    document?: { baseURI?: string };
    location?: { href: string };
  };
  return document?.baseURI ?? location?.href;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null ||
    typeof value === "function";
}

/** The MIME essence of each item of the response's `Content-Type`. */
function contentTypes({ headers }: Response): string[] {
  const value = headers.get("Content-Type") ?? "";
  // Parameters may be quoted, with commas and semicolons inside. A quote that is
  // never closed extends to the end, so that this takes linear time.
  const unquoted = value.replace(/"(?:[^"\\]|\\.)*"?/g, "");
  return unquoted.toLowerCase().split(",").map((type) =>
    type.split(";", 1)[0].trim()
  );
}
