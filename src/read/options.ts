/**
 * The options of `connectSse` and `readSse`.
 *
 * @module
 */

import type { SseError } from "../error.ts";
import type { ReconnectOptions } from "./reconnect.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * The argument of an `input` that is a function: the attempt to make a request
 * for.
 *
 * @example Start with a POST, and continue with a GET
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse(({ lastEventId }) =>
 *   new Request("https://example.com/chat", {
 *     method: lastEventId === "" ? "POST" : "GET",
 *   }), { reconnect: true, until: "[DONE]" });
 * for await (const event of sse) console.log(event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#reestablish-the-connection}
 */
export interface SseAttempt {
  /** 0 for the first request; then the number of the attempt in a row, from 1. */
  readonly attempt: number;
  /** The id after which the stream is to continue, or `""`. */
  readonly lastEventId: string;
  /** The error that ended the attempt or the connection before, if one did. */
  readonly error: SseError | undefined;
}

/** Sends the request of an attempt. Aborting the signal aborts the request. */
export type Send = (
  attempt: SseAttempt,
  signal: AbortSignal,
) => Promise<Response>;

/**
 * Options of `connectSse`: those of `fetch` (`method`, `headers`, `body`,
 * `signal` …), and how to read the stream.
 *
 * @example
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/v1/chat/completions", {
 *   method: "POST",
 *   headers: {
 *     "Authorization": "Bearer secret",
 *     "Content-Type": "application/json",
 *   },
 *   body: JSON.stringify({ stream: true, messages: [] }),
 *   until: "[DONE]",
 *   idleTimeout: 30_000,
 * });
 * for await (const event of sse) console.log(event.data);
 * ```
 *
 * @see {@link https://fetch.spec.whatwg.org/#requestinit}
 */
export interface ConnectSseOptions extends
  Omit<
    { [Name in keyof RequestInit]?: RequestInit[Name] | undefined },
    "client" | "dispatcher"
  > {
  /**
   * A replacement for `fetch`, or a handler that answers requests in the same
   * process, without a network: that of `Deno.serve`, or a framework's
   * `app.fetch`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /** A `Deno.HttpClient`, for Deno's `fetch`. */
  client?: unknown;
  /** A dispatcher of undici, for Node's `fetch`. */
  dispatcher?: unknown;
  /**
   * The id after which to start. It is sent as `Last-Event-ID`, and is the `id`
   * of events until the stream sets another one. A `Last-Event-ID` among the
   * headers has the same effect.
   *
   * In a browser, the header costs a CORS preflight if the server is of another
   * origin, and that server has to allow it. HTTP drops white space at the ends
   * of an id.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * The end of the stream, which closes the connection. A string is compared with
   * the `data` of each event; the event that equals it is not returned. A
   * function returns true for the last event, which is returned.
   *
   * Set it for every stream that has an end, such as the answer of an LLM. A
   * stream that ends before `until` is met fails with `"truncated"`, or
   * reconnects. Without `until`, a stream that was cut off may look complete.
   *
   * A string is also met by a last event without its blank line, as some servers
   * send it.
   *
   * @default The end of the response's body.
   */
  until?: string | ((event: ServerSentEvent) => boolean) | undefined;
  /**
   * Maximum time in milliseconds to wait for data. If no byte arrives for this
   * long, the connection fails with an `SseError` `"idle-timeout"`, or reconnects
   * if `reconnect` is set.
   *
   * Set it for every stream that has to be reliable: a connection that died
   * silently (a laptop that slept, a NAT entry that expired) never ends by itself.
   * Choose twice the server's heartbeat interval. Comments count as data; use
   * `eventTimeout` if the server keeps sending heartbeats while its work is stuck.
   *
   * The timer runs only while an event is being awaited, so a slow consumer does
   * not trigger it.
   *
   * @default No limit.
   */
  idleTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the response's headers, at each
   * attempt. After it, the attempt fails with `"connect-timeout"`.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds between events. Comments do not reset it. After
   * it, the connection fails with `"event-timeout"`, or reconnects.
   *
   * Set it for servers that keep sending heartbeats while their work is stuck. The
   * timer runs only while an event is being awaited, and starts again after a
   * reconnect.
   *
   * @default No limit.
   */
  eventTimeout?: number | undefined;
  /**
   * Whether to read the body as an event stream whatever the response's
   * `Content-Type` is, and also without one.
   *
   * Set it for a server that sends the wrong type. Check the response yourself
   * then: the body may be an HTML page.
   *
   * @default {false}
   */
  anyContentType?: boolean | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A larger event fails with `"event-too-large"`. `Infinity` removes the
   * limit.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with each response that is an event stream, also after a reconnect.
   */
  onOpen?: ((response: Response) => void) | undefined;
  /**
   * Called with the text of each comment, without the one space that may follow
   * the colon. Comments are delivered in order with the events: after the events
   * before them have been returned, and while the next event is awaited.
   */
  onComment?: ((comment: string) => void) | undefined;
  /**
   * Whether and how to reconnect if the connection ends, fails, stalls or gets a
   * temporary error: `true`, or options. Each attempt sends the request again,
   * with its body and with the last event ID, so that the server can continue
   * after the last event.
   *
   * Set `until` as well if the stream has an end: without it, only status 204 or
   * 205 ends the stream.
   *
   * @default {false}
   */
  reconnect?: boolean | ReconnectOptions | undefined;
}

/**
 * Options of `readSse`: those of {@linkcode ConnectSseOptions} about reading.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export type ReadSseOptions = Pick<
  ConnectSseOptions,
  | "anyContentType"
  | "eventTimeout"
  | "idleTimeout"
  | "lastEventId"
  | "maxEventSize"
  | "onComment"
  | "signal"
  | "until"
>;
