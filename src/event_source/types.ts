/**
 * The types of `EventSource`.
 *
 * @module
 */

import type { ReconnectOptions } from "../read/reconnect.ts";

/**
 * Options of `EventSource`: the standard's `withCredentials`, and those of this
 * module.
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
   * Whether to send cookies and other credentials to other origins. It has an
   * effect in browsers only.
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
   * Headers of the request. `Last-Event-ID` is added when there is an id, and
   * `Accept` and `Cache-Control` if they are missing. In a browser, most headers
   * cost a CORS preflight if the server is of another origin.
   */
  headers?: RequestInit["headers"] | undefined;
  /** The body of the request. It is sent again with each reconnect. */
  body?: RequestInit["body"] | undefined;
  /**
   * The id after which to start: that of the last event which an earlier source
   * has read. In a browser, it costs a CORS preflight if the server is of another
   * origin.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * A replacement for `fetch`, or a handler that answers requests in the same
   * process, without a network: that of `Deno.serve`, or a framework's
   * `app.fetch`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /**
   * How to reconnect. As in the standard, each delay is the reconnection time, so
   * the defaults are: `initialDelay` 3000, until the server's `retry:` replaces
   * it, `backoffFactor` 1, `jitter` 0, `maxDelay` Infinity.
   *
   * `shouldReconnect` may return `true` for failures that are final by the
   * standard, such as status 503. A status of 2xx other than 200 is always final.
   *
   * Set `maxAttempts` if the server is of another origin: a request that CORS
   * blocks looks like a network error, and is repeated.
   */
  reconnect?: ReconnectOptions | undefined;
  /**
   * Maximum time in milliseconds to wait for data. If no byte arrives for this
   * long, the source reconnects. Comments count as data.
   *
   * @default No limit.
   */
  idleTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the response's headers, at each
   * attempt.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A larger event closes the source.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /** Called with the text of each comment, in order with the events. */
  onComment?: ((comment: string) => void) | undefined;
}

/**
 * The event of `error` listeners. If the connection failed or has to be
 * reestablished, it has the error. An event of the stream that is named `error`
 * is a `MessageEvent`, and has neither property.
 *
 * @example
 * ```ts
 * import { EventSource, SseError } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/private");
 * source.onerror = ({ error, message }) => {
 *   if (source.readyState === EventSource.CONNECTING) {
 *     console.warn(`Reconnecting: ${message}`);
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
   * The error, nearly always an `SseError`, whose `body` is the start of a
   * refused response's body.
   */
  readonly error?: unknown;
  /** The message of the error. */
  readonly message?: string;
}

/**
 * The event of message listeners: the standard's `MessageEvent`, whose `data` is
 * always a string.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/comms.html#messageevent}
 */
export interface EventSourceMessageEvent extends Omit<MessageEvent, "data"> {
  /** The payload. */
  readonly data: string;
}

/**
 * The events of an `EventSource` by name. All others are messages.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface}
 */
export interface EventSourceEventMap {
  /** The connection is open, for the first time or again. */
  open: Event;
  /** An event of the stream that has no name of its own. */
  message: EventSourceMessageEvent;
  /** The connection failed, or has to be reestablished. */
  error: EventSourceErrorEvent;
}
