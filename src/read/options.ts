/**
 * The options of reading a stream.
 *
 * @module
 */

import type { SseError } from "../error.ts";
import type { ReconnectOptions } from "./reconnect.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * What `connectSse` sends: what `fetch` takes.
 *
 * @see {@link https://fetch.spec.whatwg.org/#requestinfo}
 */
export type SseRequest = Request | URL | string;

/**
 * What an `input` that is a function is told of the attempt.
 *
 * @example A POST begins, and a GET goes on
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
   * 0 for the first request of all; then which attempt in a row it is, from 1.
   */
  readonly attempt: number;
  /** The id after which the stream is to go on, `""` where there is none. */
  readonly lastEventId: string;
  /** What ended the attempt or the connection before, where an error did. */
  readonly error: SseError | undefined;
}

/**
 * The options of `fetch`, each of which may also be given as `undefined`.
 *
 * @see {@link https://fetch.spec.whatwg.org/#requestinit}
 */
export type FetchOptions = {
  [Name in Exclude<keyof RequestInit, "client" | "dispatcher">]?:
    | RequestInit[Name]
    | undefined;
};

/**
 * Options of `connectSse`: those of `fetch` (`method`, `headers`, `body`,
 * `signal` …), and how to read what comes.
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
export interface ConnectSseOptions extends FetchOptions {
  /**
   * Another `fetch`, or what answers requests in process, with no network: a
   * `Deno.serve` handler, an `app.fetch`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: ((request: Request) => Response | Promise<Response>) | undefined;
  /** An HTTP client of Deno, as its own `fetch` takes it. */
  client?: unknown;
  /** A dispatcher of undici, as Node's `fetch` takes it. */
  dispatcher?: unknown;
  /**
   * Sent as `Last-Event-ID`, and the id of events until the stream sets another.
   * A `Last-Event-ID` among the headers serves as well.
   *
   * In a browser, this header costs a CORS preflight where the server is of
   * another origin, and that server has to allow it. HTTP drops white space at
   * the ends of an id.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * What ends the stream, and closes the connection. A string is compared with
   * each event's `data`; the event that equals it is not yielded. A function ends
   * the stream after the event it accepts, which is yielded.
   *
   * A stream that ends without it is `"truncated"`, or reconnects. A string is
   * also met by a last event that lacks only its blank line, as some servers
   * send it.
   *
   * By default the end of the body is a normal end.
   */
  until?: string | ((event: ServerSentEvent) => boolean) | undefined;
  /**
   * Fails after this many ms without a byte. Comments count as bytes. The clock
   * runs only while an event is waited for. Off by default.
   */
  idleTimeout?: number | undefined;
  /**
   * How many ms the response headers may take to come, at each attempt.
   *
   * @default {idleTimeout}
   */
  connectTimeout?: number | undefined;
  /**
   * How many ms an event is waited for, whatever comments come meanwhile: for
   * servers whose heartbeats go on when their work has stalled. A connection that
   * replaces another starts the clock anew. Off by default.
   */
  eventTimeout?: number | undefined;
  /**
   * Whether to take the body for an event stream whatever the response's
   * `Content-Type` says, and even without one.
   *
   * @default {false}
   */
  anyContentType?: boolean | undefined;
  /**
   * The most UTF-16 code units held for one event, its unfinished line counted
   * in. `Infinity` takes the limit away.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called for each response that is an event stream, also after a reconnect.
   */
  onOpen?: ((response: Response) => void) | undefined;
  /**
   * Called with the text of each comment, less the one space that may follow the
   * colon. Comments come in order with the events: once the events before them
   * have been handed out, and what follows is waited for.
   */
  onComment?: ((comment: string) => void) | undefined;
  /**
   * Whether to connect again where the connection ends or fails, and how: see
   * `ReconnectOptions`. Each attempt sends the request again, its body included,
   * and the last event ID.
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
