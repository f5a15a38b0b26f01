/**
 * The WHATWG standard's `EventSource`, for every runtime with `fetch`, and with
 * what `fetch` can do: any method, headers and body.
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
 * Code written for the standard's class runs on it unchanged. But it is built
 * on `fetch`, which cannot do all that the platform's own class does:
 *
 * - **CORS preflights.** In a browser, a request to another origin with the
 *   header `Last-Event-ID` is preceded by one with the method `OPTIONS`. So each
 *   reconnect after an id costs two requests, and the server has to allow the
 *   header: `Access-Control-Allow-Headers: Last-Event-ID`. The platform's own
 *   sends it without asking.
 * - **Refusals by CORS.** To `fetch` they look like a lost network, so they are
 *   tried again, for ever unless `reconnect.maxAttempts` is given. The platform's
 *   own gives up at once.
 * - **`window.stop()`** is not heard. It closes the platform's own for good. Here
 *   it breaks the connection, which is then established again.
 * - **`isTrusted`** is `false` on its events.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 *
 * @module
 */

import { checkFunction, checkType, textOf } from "./internal/check.ts";
import { connectSse } from "./read/connect.ts";
import type { SseConnection } from "./read/connection.ts";
import { SseError, withoutSecrets } from "./error.ts";
import {
  contentTypes,
  isRefused,
  refusalError,
  startOfBody,
} from "./read/refusal.ts";
import { idOf } from "./last_event_id.ts";
import type { ReconnectOptions } from "./read/reconnect.ts";
import { TaskQueue } from "./event_source/task_queue.ts";

export { SseError, type SseErrorCode } from "./error.ts";
export type { ReconnectInfo, ReconnectOptions } from "./read/reconnect.ts";

/**
 * Options of {@linkcode EventSource}: the standard's `withCredentials`, and what
 * this module adds.
 *
 * @example
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/jobs/7", {
 *   headers: { Authorization: "Bearer secret" },
 *   idleTimeout: 60_000,
 *   reconnect: { maxAttempts: 10 },
 * });
 * source.addEventListener("done", () => source.close());
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#eventsourceinit}
 */
export interface EventSourceInit {
  /**
   * Whether to send cookies and the like to other origins. It matters in
   * browsers only.
   *
   * @default {false}
   */
  withCredentials?: boolean | undefined;
  /**
   * The method of the request.
   *
   * @default {"GET"}
   */
  method?: string | undefined;
  /**
   * Headers of the request. `Last-Event-ID` is added once there is an id, and
   * `Accept` and `Cache-Control` where they are missing. In a browser, most
   * headers cost a CORS preflight where the server is of another origin.
   */
  headers?: RequestInit["headers"] | undefined;
  /** The body of the request, sent again with each reconnect. */
  body?: RequestInit["body"] | undefined;
  /**
   * The id after which the stream is to begin: that of the last event which an
   * earlier source has read. In a browser, it costs a CORS preflight where the
   * server is of another origin.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * Another `fetch`, or what answers requests in process, with no network: a
   * `Deno.serve` handler, an `app.fetch`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /**
   * How to reconnect. The standard waits for the reconnection time, always the
   * same, so the defaults are: `initialDelay` 3000, until the server's `retry:`
   * replaces it, `backoffFactor` 1, `jitter` 0, `maxDelay` Infinity.
   *
   * `shouldReconnect` may return `true` for what fails for good by the
   * standard, such as status 503. A status of 2xx other than 200 always fails
   * for good.
   *
   * Give `maxAttempts` where the server is of another origin: what CORS refuses
   * looks like a lost network, and is tried again.
   */
  reconnect?: ReconnectOptions | undefined;
  /**
   * Takes the connection for lost after this many ms without a byte. Comments
   * count as bytes. Off by default.
   */
  idleTimeout?: number | undefined;
  /**
   * How many ms the response headers may take to come, at each attempt.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * The most UTF-16 code units held for one event, its unfinished line counted
   * in. A larger one fails the connection for good.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /** Called with the text of each comment, in order with the events. */
  onComment?: ((comment: string) => void) | undefined;
}

/**
 * What `error` listeners get. Where the connection failed or has to be
 * established again, it says why; an event of the stream that is named `error`
 * is a `MessageEvent` and has neither property.
 *
 * @example
 * ```ts
 * import { EventSource, SseError } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/private");
 * source.onerror = ({ error, message }) => {
 *   if (source.readyState === EventSource.CONNECTING) {
 *     console.warn(`Connecting again: ${message}`);
 *   } else if (error instanceof SseError) {
 *     console.error(error.code, error.body); // status Who are you?
 *   }
 * };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/webappapis.html#errorevent}
 */
export interface EventSourceErrorEvent extends Event {
  /**
   * What happened, nearly always an {@linkcode SseError}, whose `body` is the
   * start of what a refused response says.
   */
  readonly error?: unknown;
  /** The message of the error. */
  readonly message?: string;
}

/**
 * What the listeners of messages get: the standard's `MessageEvent`, whose `data`
 * is always a string.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/comms.html#messageevent}
 */
export interface EventSourceMessageEvent extends Omit<MessageEvent, "data"> {
  /** The payload. */
  readonly data: string;
}

/**
 * The events of an {@linkcode EventSource} by name; all others are messages.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 */
export interface EventSourceEventMap {
  /** The connection is open, or open again. */
  open: Event;
  /** An event of the stream without a name of its own. */
  message: EventSourceMessageEvent;
  /** The connection failed, or has to be established again. */
  error: EventSourceErrorEvent;
}

type Handler<E extends Event> = (event: E) => unknown;

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

const CONSTANTS = {
  CONNECTING: { value: CONNECTING, enumerable: true },
  OPEN: { value: OPEN, enumerable: true },
  CLOSED: { value: CLOSED, enumerable: true },
};

/**
 * Whether the runtime itself calls the property `on…` of an event that is
 * dispatched, as workerd does: ahead of all listeners, whenever it was set.
 */
const CALLS_HANDLERS = ((): boolean => {
  let called = false;
  const target = new EventTarget();
  Object.assign(target, { onprobe: () => void (called = true) });
  target.dispatchEvent(new Event("probe"));
  return called;
})();

/** The reconnection time until the server gives one, about that of browsers. */
const INITIAL_DELAY = 3000;

/**
 * The types of what listeners get.
 *
 * @see {@link https://dom.spec.whatwg.org/#interface-eventtarget}
 */
export interface EventSource {
  /** Adds a listener for `open`, `message` or `error`. */
  addEventListener<K extends keyof EventSourceEventMap>(
    type: K,
    listener: (this: EventSource, event: EventSourceEventMap[K]) => unknown,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for the events of a name that the stream gives them. */
  addEventListener(
    type: string,
    listener: (this: EventSource, event: EventSourceMessageEvent) => unknown,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for the events of a name. */
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
  /** Removes a listener for the events of a name that the stream gives them. */
  removeEventListener(
    type: string,
    listener: (this: EventSource, event: EventSourceMessageEvent) => unknown,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Removes a listener for the events of a name. */
  removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
}

/**
 * The standard's `EventSource`: connects at once, connects again whenever the
 * connection is lost, and dispatches what comes as events, until it is closed or
 * the server says that there is no such stream.
 *
 * @example
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/jobs/7");
 * source.addEventListener("progress", ({ data, lastEventId }) => {
 *   console.log(lastEventId, JSON.parse(data).percent);
 * });
 * source.addEventListener("done", () => source.close());
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 */
export class EventSource extends EventTarget {
  /** 0: the connection is being established, for the first time or again. */
  declare static readonly CONNECTING: 0;
  /** 1: the connection is open, and events are dispatched as they come. */
  declare static readonly OPEN: 1;
  /** 2: there is no connection, and will be none. */
  declare static readonly CLOSED: 2;

  /** 0: the connection is being established, for the first time or again. */
  declare readonly CONNECTING: 0;
  /** 1: the connection is open, and events are dispatched as they come. */
  declare readonly OPEN: 1;
  /** 2: there is no connection, and will be none. */
  declare readonly CLOSED: 2;

  static {
    // What Web IDL demands of a class, and no syntax can say.
    Object.defineProperties(this, {
      ...CONSTANTS,
      fromReadableStream: { enumerable: true },
      // Bundlers may change it.
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
  /** The id that was given. Once there is a connection, that has the newest. */
  #firstEventId = "";
  #readyState = CONNECTING;
  /** From the first response on. */
  #connection: SseConnection | undefined;
  /** Of the newest response. */
  #origin = "";
  /** What was assigned to `onopen` and the others, by the name of the event. */
  readonly #handlers = new Map<string, object>();
  /** The name of an event whose handler the runtime is not to find. */
  #hiddenHandlerType: string | undefined;

  /**
   * Connects.
   *
   * @param url The URL of the stream, in browsers also relative.
   * @param init The standard's `withCredentials`, and what this module adds.
   * @throws {DOMException} `"SyntaxError"`, if the URL cannot be parsed.
   * @throws {TypeError} If an argument is missing or has the wrong type. What is
   * wrong with an option comes as an `error` event.
   */
  constructor(url: string | URL, init: EventSourceInit = {}) {
    super();
    if (arguments.length === 0) {
      throw new TypeError("Expected a URL, got no argument");
    }
    const options = init ?? {};
    if (!isObject(options)) checkType(init, "object", "init to be an object");
    const { fetch, withCredentials, reconnect } = options;
    checkFunction("fetch", fetch);
    this.#url = parseUrl(`${url}`);
    this.#withCredentials = Boolean(withCredentials);
    this.#initialDelay = reconnect?.initialDelay ?? INITIAL_DELAY;
    this.#tasks = new TaskQueue();
    this.#run(options);
  }

  /**
   * Reads a stream of bytes as if a server had sent it. Where the stream ends or
   * fails, the source is closed, with an `error` event: there is nothing to
   * connect to again.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   *
   * @param stream The bytes of an event stream.
   * @returns A source whose `url` is `about:event-stream`, and whose events have
   * the origin `"null"`.
   * @throws {TypeError} If `stream` is no stream, or locked.
   *
   * @example
   * ```ts
   * import { EventSource } from "@x/sse/event-source";
   *
   * const { body } = await fetch("https://example.com/events");
   * const source = EventSource.fromReadableStream(body!);
   * source.onmessage = ({ data }) => {
   *   if (data === "[DONE]") source.close();
   *   else console.log(data);
   * };
   * ```
   */
  static fromReadableStream(stream: ReadableStream<Uint8Array>): EventSource {
    // Locks the stream now; a response would lock it only when it is read.
    const body = stream.pipeThrough(new TransformStream());
    return new EventSource("about:event-stream", {
      fetch: () =>
        new Response(body, {
          headers: { "Content-Type": "text/event-stream" },
        }),
      reconnect: { shouldReconnect: () => false },
    });
  }

  /** The URL that was given, as an absolute one. */
  get url(): string {
    return this.#url;
  }

  /** Whether cookies and the like are sent to other origins too. */
  get withCredentials(): boolean {
    return this.#withCredentials;
  }

  /** How the connection is: `CONNECTING`, `OPEN` or `CLOSED`. */
  get readyState(): number {
    return this.#readyState;
  }

  /**
   * The id that a reconnect sends: that of the newest event or, before the
   * first, the one that was given.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   */
  get lastEventId(): string {
    return this.#connection?.lastEventId ?? this.#firstEventId;
  }

  /**
   * How many ms to wait before a reconnect: as the server says, or by default.
   *
   * @experimental The standard has not adopted it yet, and may change it.
   */
  get reconnectionTime(): number {
    return this.#connection?.reconnectionTime ?? this.#initialDelay;
  }

  /** A listener for when the connection is open, or open again. */
  get onopen(): ((event: Event) => unknown) | null {
    return this.#handler("open");
  }

  set onopen(handler: ((event: Event) => unknown) | null) {
    this.#setHandler("open", handler);
  }

  /** A listener for the events without a name of their own. */
  get onmessage(): ((event: EventSourceMessageEvent) => unknown) | null {
    return this.#handler("message");
  }

  set onmessage(handler: ((event: EventSourceMessageEvent) => unknown) | null) {
    this.#setHandler("message", handler);
  }

  /**
   * A listener for failures: `readyState` tells whether the connection is being
   * established again, and the event says what happened.
   */
  get onerror(): ((event: EventSourceErrorEvent) => unknown) | null {
    return this.#handler("error");
  }

  set onerror(handler: ((event: EventSourceErrorEvent) => unknown) | null) {
    this.#setHandler("error", handler);
  }

  /** Closes the connection; no event is dispatched any more. */
  close(): void {
    this.#close();
  }

  /** Reads events until all is over; never rejects. */
  async #run(init: EventSourceInit): Promise<void> {
    const { method, headers, body, fetch = globalThis.fetch } = init;
    const { idleTimeout, connectTimeout, maxEventSize, onComment } = init;
    const { reconnect } = init;
    const { backoffFactor = 1, jitter = 0, maxDelay = Infinity } = reconnect ??
      {};
    let reason: unknown;
    try {
      this.#firstEventId = init.lastEventId ||
        idOf(new Headers(headers).get("Last-Event-ID") ?? "");
      this.#connection = await connectSse(this.#url, {
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
            reason = error;
            const wanted = await reconnect?.shouldReconnect?.(error, attempt);
            if (wanted !== undefined) return wanted;
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
        await this.#dispatch(
          new MessageEvent(event.event, {
            data: event.data,
            origin: this.#origin,
            lastEventId: event.id,
          }),
        );
      }
    } catch (error) {
      reason = error;
    }
    await this.#fail(reason);
  }

  /** Looks at the response as the standard does, before it is read. */
  async #inspect(response: Response, signal: AbortSignal): Promise<void> {
    // `connectSse` reports whatever else is wrong with it.
    if (!response?.ok) return;
    if (response.status !== 200) {
      const body = await startOfBody(response, false, signal);
      await this.#fail(
        new SseError(
          "status",
          `Expected the status 200, got ${response.status}`,
          { response, body },
        ),
      );
    } else if (!isRefused(response)) {
      // "Extract a MIME type": of several, the last that is one counts.
      const type = contentTypes(response).findLast((type) =>
        type.includes("/") && type !== "*/*"
      );
      if (type === "text/event-stream") await this.#announce(response, signal);
      else {
        const body = await startOfBody(response, false, signal);
        await this.#fail(refusalError(response, body));
      }
    }
  }

  /** "Announce the connection" */
  async #announce(response: Response, signal: AbortSignal): Promise<void> {
    await this.#tasks.next();
    if (signal.aborted) return;
    this.#origin = new URL(response.url || this.#url).origin;
    this.#readyState = OPEN;
    await this.#dispatch(new Event("open"));
  }

  /** "Reestablish the connection", up to the wait */
  async #reestablish(error: SseError): Promise<void> {
    await this.#tasks.next();
    if (this.#readyState === CLOSED) return;
    this.#readyState = CONNECTING;
    await this.#dispatch(errorEvent(error));
  }

  /** "Fail the connection" */
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
      // What a listener threw. Only workerd passes it on, at older
      // compatibility dates.
      reportError(error);
    }
    await this.#tasks.next();
  }

  /** As the inherited method, but hides handlers from runtimes that call them. */
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
      // Once only: the runtime looks before it calls the first listener.
      this.#hiddenHandlerType = undefined;
      return null;
    }
    return this.#handlers.get(type) as Handler<E> | undefined ?? null;
  }

  #setHandler(type: string, handler: unknown): void {
    if (isObject(handler)) {
      this.#handlers.set(type, handler);
      // Where it is a listener already, it keeps its place among them.
      super.addEventListener(type, this.#callHandler);
    } else {
      this.#handlers.delete(type);
      super.removeEventListener(type, this.#callHandler);
    }
  }

  /** "The event handler processing algorithm" */
  // Not typed as an `Event`: a program with Node's types has two of that name.
  readonly #callHandler = (given: { type: string }): void => {
    const event = given as Event;
    const handler = this.#handlers.get(event.type);
    if (typeof handler !== "function") return;
    if (handler.call(this, event) === false) event.preventDefault();
  };
}

/** Whether the standard gives up where `connectSse` would try again. */
function failsByStandard(
  error: SseError,
  url: string,
  { fetch }: EventSourceInit,
): boolean {
  if (error.code === "status") return true;
  // Behind other URLs there is no server that could come back.
  return error.code === "network" && fetch === undefined &&
    !/^https?:/.test(url);
}

/** The runtime's own, or where it has none, as Node, one with what counts. */
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

function errorEvent(error: unknown): Event {
  const message = error instanceof Error ? error.message : textOf(error);
  return new ErrorEvent("error", { error, message });
}

function parseUrl(url: string): string {
  try {
    return new URL(url, baseUrl()).href;
  } catch {
    throw new DOMException(
      `Expected a URL, got ${JSON.stringify(withoutSecrets(url))}`,
      "SyntaxError",
    );
  }
}

/** What relative URLs are relative to, which a page's `base` element may say. */
function baseUrl(): string | undefined {
  try {
    return new Request("").url;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null ||
    typeof value === "function";
}
