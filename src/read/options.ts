/**
 * The options of `connectSse` and `readSse`.
 *
 * @module
 */

import type { SseError } from "../error.ts";
import type { ReconnectOptions } from "./reconnect.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Describes the attempt for which {@linkcode connectSse} needs a request. If
 * its `input` is a function, the function is called with this object. Use it to
 * send another request after a failure, for example a GET after a POST.
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
  /**
   * The number of the attempt: 0 for the first request, and then from 1. Each
   * event starts the count again at 1, unless `resume` is `false`.
   */
  readonly attempt: number;
  /**
   * The id after which the stream continues. `""` if no event has had an id,
   * and the option `lastEventId` is not set.
   */
  readonly lastEventId: string;
  /**
   * The newest event that has arrived in any connection, even if it was not
   * returned yet. Undefined if there was none.
   *
   * Use it for APIs that continue from a position in the data and not after
   * `Last-Event-ID`, such as OpenAI's `sequence_number`.
   */
  readonly lastEvent: ServerSentEvent | undefined;
  /**
   * The error that ended the previous attempt or connection. Undefined for the
   * first request. After a call of `reconnect()`, it may be undefined, too.
   */
  readonly error: SseError | undefined;
}

/** Sends the request of an attempt. Aborting the signal aborts the request. */
export type Send = (
  attempt: SseAttempt,
  signal: AbortSignal,
) => Promise<Response>;

/**
 * Options of {@linkcode connectSse}. They include the options of `fetch`
 * (`method`, `headers`, `body`, `signal` …). The others say when the stream is
 * complete, how long to wait, and whether to reconnect.
 *
 * For a stream that has to be reliable, set `until` and `idleTimeout`, and
 * `reconnect` if the server can continue the stream.
 *
 * @example Read tokens, and notice an answer that stalls or is cut off
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
   * Use it in tests, or to send requests through another HTTP client. If it
   * throws, the attempt fails with an `SseError` `"network"`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /**
   * A `Deno.HttpClient` for Deno's `fetch`. By default, Deno's own client is
   * used. Set it to use a proxy or certificates of your own. Other runtimes
   * ignore it.
   */
  client?: unknown;
  /**
   * A dispatcher of the npm package `undici` for Node's `fetch`. By default,
   * Node's global dispatcher is used. Set it to lift Node's limit of 300 s
   * without a byte:
   * [the page of traps](https://github.com/x/sse/blob/main/examples/guides/traps.md)
   * has a program. Other runtimes ignore it.
   */
  dispatcher?: unknown;
  /**
   * The id after which to start. It is sent as the header `Last-Event-ID`, and
   * is the `id` of events until the stream sets another one. If you set that
   * header in `headers`, the effect is the same.
   *
   * Set it to continue after an event that an earlier run of your program has
   * stored.
   *
   * In a browser, the header costs a CORS preflight if the server is of another
   * origin, and that server has to allow it. HTTP removes white space at the
   * start and at the end of an id.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * The last event of the stream. When it arrives, the stream is complete and
   * the connection is closed. A string is compared with the `data` of each
   * event; the event that equals it is not returned. A function returns true
   * for the last event, which is returned. By default, the stream is complete
   * when the body ends.
   *
   * Set it for every stream that has an end, such as the answer of an LLM. A
   * stream that ends before `until` is met fails with an `SseError`
   * `"truncated"`, or reconnects if `reconnect` is set. Without `until`, a
   * stream that was cut off may look complete.
   *
   * Some servers omit the blank line after the last event. When the body ends,
   * such an unfinished event is checked as well, against a string or with a
   * function. If the function throws then, the event counts as cut off. The
   * function must not be `async`.
   */
  until?: string | ((event: ServerSentEvent) => boolean) | undefined;
  /**
   * Maximum time in milliseconds to wait for data. If no byte arrives for this
   * long, the connection fails with an `SseError` `"idle-timeout"`, or
   * reconnects if `reconnect` is set. By default, there is no limit.
   *
   * Set it for every stream that has to be reliable: a connection that died
   * silently (a laptop that slept, a NAT entry that expired) never ends by
   * itself. Choose twice the server's heartbeat interval. Comments count as
   * data; use `eventTimeout` if the server keeps sending heartbeats while its
   * work is stuck.
   *
   * The timer runs only while an event is being awaited, so a slow consumer
   * does not trigger it.
   */
  idleTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the response headers of each
   * attempt. If they do not arrive in time, the attempt fails with an
   * `SseError` `"connect-timeout"`, or is repeated if `reconnect` is set.
   *
   * Set it if the start needs another limit than the stream: a longer one for a
   * server that sends its headers only after long work, a shorter one to notice
   * quickly that a server cannot be reached. `Infinity` removes the limit.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * Maximum time in milliseconds between events. Comments do not reset it. If
   * no event arrives for this long, the connection fails with an `SseError`
   * `"event-timeout"`, or reconnects if `reconnect` is set. By default, there
   * is no limit.
   *
   * Set it for servers that keep sending heartbeats while their work is stuck.
   * Choose more than the longest pause that is normal for the stream.
   *
   * The timer runs only while an event is being awaited, and starts again after
   * a reconnect.
   */
  eventTimeout?: number | undefined;
  /**
   * Whether to read the body as an event stream whatever the response's
   * `Content-Type` is, even if it has none.
   *
   * Set it for a server that sends the wrong type. Check the response yourself
   * then: the body may be an HTML page.
   *
   * @default {false}
   */
  anyContentType?: boolean | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A comment or an unknown line counts until its end has arrived. A
   * larger event or line fails with an `SseError` `"event-too-large"`. By
   * default, `connectSse` does not reconnect after this error.
   *
   * The limit keeps a faulty server from filling the memory. Lower it if many
   * streams are open at once. `Infinity` removes it.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with each response that is an event stream: the first one, and one
   * after each reconnect. There is no default.
   *
   * Use it to show that the connection is open, or to read a header of each
   * response. An error that it throws ends the stream.
   */
  onOpen?: ((response: Response) => void) | undefined;
  /**
   * Called with the text of each comment. The text does not include the one
   * space that may follow the colon. By default, comments are ignored.
   *
   * Use it to show that the server is alive, or if it sends information as
   * comments. Comments are delivered in order with the events: after the events
   * before them have been returned, and while the next event is awaited. An
   * error that the callback throws ends the stream.
   */
  onComment?: ((comment: string) => void) | undefined;
  /**
   * Whether and how to reconnect if the connection ends, fails, stalls or gets
   * a temporary error: `true`, or options. Each attempt sends the request
   * again, with its body and with the last event ID, so that the server can
   * continue after the last event.
   *
   * Set it for feeds, and for jobs whose events have ids. Set `until` as well
   * if the stream has an end: without it, only status 204 or 205 ends the
   * stream without an error. If the server starts a new answer for each request,
   * as most LLM APIs do, set `{ resume: false }`.
   *
   * @default {false}
   */
  reconnect?: boolean | ReconnectOptions | undefined;
}

/**
 * Options of {@linkcode readSse}: those of {@linkcode ConnectSseOptions} that
 * say how to read a stream, when it is complete, and how long to wait. The
 * options about the request and about reconnecting are not among them.
 *
 * @example Stop reading a response that stalls
 * ```ts
 * import { readSse, type ReadSseOptions } from "@x/sse";
 *
 * const options: ReadSseOptions = { until: "[DONE]", idleTimeout: 30_000 };
 *
 * const response = await fetch("https://example.com/chat", { method: "POST" });
 * for await (const event of readSse(response, options)) {
 *   console.log(event.data);
 * }
 * ```
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
