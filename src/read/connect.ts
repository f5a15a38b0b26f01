/**
 * Opening an event stream.
 *
 * @module
 */

import { functionOption } from "../internal/check.ts";
import { idOf } from "../last_event_id.ts";
import { Connection, type SseConnection } from "./connection.ts";
import type {
  ConnectSseOptions,
  ReadSseOptions,
  SseAttempt,
} from "./options.ts";
import { checkResponse, makeSend } from "./request.ts";

/**
 * Opens an event stream: sends a request as `fetch` does, and returns an
 * iterator over the events of the response. Use it to read the tokens of an
 * LLM, the progress of a job or a feed.
 *
 * Resolves when the response headers arrive, whatever the status: check
 * `response` before reading the first event if you need to. Reading the first
 * event of an unsuccessful response throws an `SseError`. With `reconnect`,
 * temporary errors are retried first.
 *
 * The request has the headers `Accept: text/event-stream` and
 * `Cache-Control: no-cache` (in a browser, `cache: "no-store"` instead). Each
 * is set only if you do not set it. A user name and a password in the URL are
 * left to `fetch`, which refuses or ignores them on most runtimes: set the header
 * `Authorization` instead.
 *
 * @param input The URL; or a `Request`, whose properties are overridden by the
 * options; or a function that returns one of them for each attempt. Use a
 * function to send a new token, to change the URL, or to continue with a GET
 * after a POST. A `Request` from a function is sent as it is, except that
 * `Accept`, `Cache-Control` and `Last-Event-ID` are added if they are missing.
 * Aborting its own signal aborts that attempt only. If the function throws an
 * `SseError`, the attempt has failed and may be repeated. Any other error ends
 * the stream. Errors are ignored after the function has called `close()` or
 * `reconnect()`.
 * @param options The options of `fetch`, and how to read the stream.
 * @returns The open connection, an iterator over the events.
 * @throws {SseError} `"network"` if no response arrived, and
 * `"connect-timeout"` if none arrived in time; with `reconnect`, also
 * `"reconnect-failed"`.
 * @throws {TypeError} If the input or an option is invalid, such as a string
 * that is not a URL.
 * @throws {RangeError} If a number among the options is out of range.
 * @throws {unknown} The signal's reason after an abort, or the error that
 * `input`, `onOpen`, `shouldReconnect` or `onReconnect` throws.
 *
 * @example Read the answer of an LLM
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/chat", {
 *   method: "POST",
 *   body: JSON.stringify({ prompt: "Greet me" }),
 *   until: "[DONE]",
 *   idleTimeout: 60_000,
 * });
 * for await (const event of sse) console.log(event.data);
 * ```
 *
 * @example Follow a job until it is done, also if the network fails
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/jobs/7", {
 *   reconnect: true,
 *   idleTimeout: 30_000,
 *   until: ({ event }) => event === "done",
 * });
 * for await (const event of sse) console.log(event.event, event.data);
 * ```
 *
 * @example Test a handler without a network
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * const handler = (_request: Request) =>
 *   new Response("data: Hello\n\ndata: world\n\n", {
 *     headers: { "Content-Type": "text/event-stream" },
 *   });
 *
 * const sse = await connectSse("http://localhost/", { fetch: handler });
 * const data = await Array.fromAsync(sse, (event) => event.data);
 * assertEquals(data, ["Hello", "world"]);
 * ```
 *
 * @example Renew a token that expires while the stream is open
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * async function logIn(): Promise<string> {
 *   const response = await fetch("https://example.com/token", {
 *     method: "POST",
 *     signal: AbortSignal.timeout(30_000),
 *   });
 *   if (!response.ok) throw new Error(`No token: ${response.status}`);
 *   const { access_token } = await response.json();
 *   return access_token;
 * }
 *
 * let token = await logIn();
 * let hasWorked = false;
 *
 * const sse = await connectSse(
 *   // Called for each attempt, so that each one sends the newest token.
 *   () =>
 *     new Request("https://example.com/events", {
 *       headers: { Authorization: `Bearer ${token}` },
 *     }),
 *   {
 *     until: "[DONE]",
 *     onOpen: () => void (hasWorked = true),
 *     reconnect: {
 *       async shouldReconnect({ response }) {
 *         if (response?.status !== 401) return undefined; // The default.
 *         if (!hasWorked) return false; // The token is wrong, not expired.
 *         hasWorked = false;
 *         token = await logIn();
 *         return true;
 *       },
 *     },
 *   },
 * );
 * for await (const event of sse) console.log(event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export async function connectSse(
  input:
    | Request
    | URL
    | string
    | ((
      attempt: SseAttempt,
    ) => Request | URL | string | Promise<Request | URL | string>),
  options: ConnectSseOptions = {},
): Promise<SseConnection> {
  const given = input instanceof Request ? input : undefined;
  const headers = new Headers(options.headers ?? given?.headers);
  const lastEventId = options.lastEventId ||
    idOf(headers.get("Last-Event-ID") ?? "");
  headers.delete("Last-Event-ID");
  functionOption(options, "fetch");
  const { signal = given?.signal } = options;
  const connection = new Connection(options, {
    makeSend: (closing) => makeSend(input, options, headers, closing),
    lastEventId,
    signal,
  });
  await connection.settled();
  return connection;
}

/**
 * Reads an event stream from a response that you have already, or from a stream
 * of bytes. Use it if an API client sends the request for you. It sends no
 * request itself, and does not reconnect.
 *
 * @param source The response; or a stream of bytes, which is read as an event
 * stream whatever it contains. Neither may be locked, and nothing of a
 * response's body may have been read.
 * @param options How to read the stream.
 * @returns The connection, an iterator over the events.
 * @throws {TypeError} If the source or an option has the wrong type, or the
 * source is a locked stream.
 * @throws {RangeError} If a number among the options is out of range.
 *
 * @example Read the response of an API client
 * ```ts
 * import { readSse } from "@x/sse";
 *
 * const response = await fetch("https://example.com/chat", { method: "POST" });
 *
 * for await (const event of readSse(response, { until: "[DONE]" })) {
 *   console.log(event.data);
 * }
 * ```
 *
 * @example Read a recorded stream
 * ```ts
 * import { readSse } from "@x/sse";
 *
 * const recording = new Blob(["data: Hello\n\ndata: world\n\n"]);
 * for await (const event of readSse(recording.stream())) {
 *   console.log(event.data);
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export function readSse(
  source: Response | ReadableStream<Uint8Array>,
  options: ReadSseOptions = {},
): SseConnection {
  const response = isStream(source) ? responseOf(source) : source;
  checkResponse(response, "a Response or a ReadableStream");
  const { lastEventId, signal } = options;
  return new Connection(options, { response, lastEventId, signal });
}

/** Whether a value is a stream, also one of another realm. */
function isStream(
  source: unknown,
): source is ReadableStream<Uint8Array<ArrayBuffer>> {
  return typeof (source as ReadableStream | null)?.getReader === "function";
}

function responseOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Response {
  if (stream.locked) {
    throw new TypeError("Expected a stream that is not locked");
  }
  const init = { headers: { "Content-Type": "text/event-stream" } };
  // A response does not take a stream of another realm, or of which a part was
  // read.
  const body = { value: stream };
  return Object.defineProperty(new Response(null, init), "body", body);
}
