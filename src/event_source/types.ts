/**
 * The types of `EventSource`.
 *
 * @module
 */

import type { ReconnectOptions } from "../read/reconnect.ts";

/**
 * Options of `EventSource`: the standard's `withCredentials`, and options of
 * this module about the request, the time limits and reconnecting.
 *
 * @example Follow a job with a token, and give up after ten attempts in a row
 * ```ts
 * import { EventSource } from "@x/sse/event-source";
 *
 * const source = new EventSource("https://example.com/jobs/7", {
 *   headers: { Authorization: "Bearer secret" },
 *   idleTimeout: 60_000,
 *   reconnect: { maxAttempts: 10 },
 * });
 * source.addEventListener("done", () => source.close());
 * source.onerror = ({ message }) => console.warn(message);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#eventsourceinit}
 */
export interface EventSourceInit {
  /**
   * Whether to send cookies and other credentials to other origins. Set it in a
   * page whose stream comes from another origin and needs a session cookie. It
   * has an effect in browsers only.
   *
   * @default {false}
   */
  withCredentials?: boolean | undefined;
  /**
   * The method of the request. Set it to `"POST"` for an API that answers a
   * POST with a stream. The request is sent again with each reconnect.
   *
   * @default {"GET"}
   */
  method?: string | undefined;
  /**
   * Headers of the request, for example `Authorization`. By default, `Accept`
   * and `Cache-Control` are sent (in a browser, `cache: "no-store"` instead of
   * the latter), and `Last-Event-ID` if there is an id. Your headers replace
   * `Accept` and `Cache-Control`. In a browser, most headers cost a CORS
   * preflight if the server is of another origin.
   */
  headers?: RequestInit["headers"] | undefined;
  /**
   * The body of the request. It is sent again with each reconnect. By default,
   * there is none.
   */
  body?: RequestInit["body"] | undefined;
  /**
   * The id after which to start. Set it to continue after an event that an
   * earlier source has read. In a browser, it costs a CORS preflight if the
   * server is of another origin.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * A replacement for `fetch`, or a handler that answers requests in the same
   * process, without a network: that of `Deno.serve`, or a framework's
   * `app.fetch`. Use it in tests, or to send requests through another HTTP
   * client.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /**
   * When and how often to reconnect. As in the standard, each delay is the
   * reconnection time, so the defaults are: `initialDelay` 3000, until the
   * server's `retry:` replaces it, `backoffFactor` 1, `jitter` 0, `maxDelay`
   * Infinity.
   *
   * Set `maxAttempts` if the server is of another origin: a request that CORS
   * blocks looks like a network error, and is repeated.
   *
   * `shouldReconnect` may return `true` for failures that are final by the
   * standard, such as status 503. A status of 2xx other than 200 is always
   * final.
   */
  reconnect?: ReconnectOptions | undefined;
  /**
   * Maximum time in milliseconds to wait for data. If no byte arrives for this
   * long, the source reconnects. By default, there is no limit.
   *
   * Set it for every stream that has to be reliable: a connection that died
   * silently never ends by itself. Choose twice the server's heartbeat
   * interval. Comments count as data.
   */
  idleTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the response headers of each
   * attempt. If they do not arrive in time, the source reconnects. Set it if
   * the start needs another limit than the stream. `Infinity` removes the
   * limit.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A larger event closes the source with an `error` event. The limit
   * keeps a faulty server from filling the memory. `Infinity` removes it.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with the text of each comment, in order with the events. Use it to
   * show that the server is alive. By default, comments are ignored.
   */
  onComment?: ((comment: string) => void) | undefined;
}

/**
 * The event that listeners of `error` receive. If the connection has failed, it
 * has the `error` and its `message`. An event of the stream that is named
 * `error` is a `MessageEvent`, and has neither property.
 *
 * @example Tell a lost connection from a refused request
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
 * The event that listeners of messages receive: the standard's `MessageEvent`,
 * whose `data` is always a string. Its `lastEventId` is the id of the event.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/comms.html#messageevent}
 */
export interface EventSourceMessageEvent extends Omit<MessageEvent, "data"> {
  /** The payload, as text. */
  readonly data: string;
}

/**
 * The types of the events that an `EventSource` dispatches, by name. It gives
 * listeners of `open`, `message` and `error` their types. Events of any other
 * name are messages.
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
