/**
 * Opening an event stream: options, request, headers.
 *
 * @module
 */

import { check, checkFunction } from "./check.ts";
import {
  type Send,
  SseConnection,
  type SseConnectionOptions,
} from "./connection.ts";
import { reasonOf, SseError } from "./error.ts";

/**
 * Options of {@linkcode connectSse}: those of `fetch` (`method`, `headers`,
 * `body`, `signal` …), and how to read what comes.
 */
export interface ConnectSseOptions extends RequestInit, SseConnectionOptions {
  /**
   * Another `fetch`, or what answers requests in process, with no network: a
   * `Deno.serve` handler, an `app.fetch`.
   *
   * @default {globalThis.fetch}
   */
  fetch?: (request: Request) => Response | Promise<Response>;
}

/**
 * Opens an event stream. The promise resolves when the response's headers
 * arrive, whatever they say: the response can be looked at before the first
 * event is asked for, and only then are its status and type checked.
 *
 * The request asks for `text/event-stream` and for no cached answer, where the
 * caller's headers say nothing about either.
 *
 * @param input The URL, or a request on top of which the options count.
 * @param options As for `fetch`, and how to read what comes.
 * @returns The open connection, an iterator over its events.
 * @throws {SseError} `"network"`, if no response came, and `"connect-timeout"`,
 * if none came in time; with `reconnect`, `"reconnect-failed"` once `maxAttempts`
 * are used up.
 * @throws {TypeError} If the input or an option has the wrong type.
 * @throws {RangeError} If a number among the options is out of range.
 * @throws {unknown} What the signal was aborted with, or what
 * `shouldReconnect` or `onReconnect` threw.
 *
 * @example
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * // A handler in the network's place.
 * const handler = () =>
 *   new Response("data: Hel\n\ndata: lo\n\ndata: [DONE]\n\n", {
 *     headers: { "Content-Type": "text/event-stream" },
 *   });
 *
 * const sse = await connectSse("https://example.com/chat", {
 *   method: "POST",
 *   body: JSON.stringify({ prompt: "Greet me" }),
 *   until: "[DONE]",
 *   fetch: handler,
 * });
 * let text = "";
 * for await (const event of sse) text += event.data;
 * assertEquals(text, "Hello");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export async function connectSse(
  input: Request | URL | string,
  options: ConnectSseOptions = {},
): Promise<SseConnection> {
  const { fetch = globalThis.fetch } = options;
  checkFunction("fetch", fetch);
  const { lastEventId = "" } = options;
  check(
    !/[\0\r\n]/.test(lastEventId),
    "lastEventId without NUL, CR or LF",
    lastEventId,
  );
  const { signal = input instanceof Request ? input.signal : null } = options;
  // By its name, which is private, since there is no connection before it.
  return await SseConnection["open"](
    sender(input, options, fetch, signal),
    options,
    signal,
  );
}

/** What sends the same request each time, but for the last event ID. */
function sender(
  input: Request | URL | string,
  options: ConnectSseOptions,
  fetch: NonNullable<ConnectSseOptions["fetch"]>,
  callerSignal: AbortSignal | null,
): Send {
  let template: Request | undefined;
  let body: Promise<ArrayBuffer> | undefined;

  return async (lastEventId, signal) => {
    // Not before all options proved right, as it uses up the body of `input`.
    template ??= streamRequest(input, options);
    const init: RequestInit & { duplex?: "half" } = { signal };
    const { method, url } = template;
    if (options.reconnect && method !== "GET" && method !== "HEAD") {
      // Read once, to be sent whole each time.
      body ??= readBody(template, callerSignal);
      init.body = await body;
      init.duplex = "half";
      signal.throwIfAborted();
    }
    const request = new Request(template, init);
    if (lastEventId !== "") {
      request.headers.set("Last-Event-ID", headerValue(lastEventId));
    }

    let response: Response;
    try {
      response = await fetch(request);
    } catch (cause) {
      // Not to be retried: it would fail for ever.
      check(
        !UNSENDABLE.test(lastEventId),
        "a last event ID that a header can carry",
        lastEventId,
      );
      throw new SseError(
        "network",
        `Expected a response from ${url}, but none came: ${reasonOf(cause)}`,
        { cause },
      );
    }
    check(
      typeof response?.headers?.get === "function",
      "fetch to give a Response",
      response,
    );
    return response;
  };
}

/** The bytes of a body; aborting `signal` cancels the stream it may be. */
function readBody(
  request: Request,
  signal: AbortSignal | null,
): Promise<ArrayBuffer> {
  if (signal === null || !request.body) return request.arrayBuffer();
  const body = request.body.pipeThrough(new TransformStream(), { signal });
  return new Response(body).arrayBuffer();
}

/** What runtimes send in no header, though an id may hold it. */
// deno-lint-ignore no-control-regex
const UNSENDABLE = /[\x00-\x08\x0a-\x1f\x7f]/;

/** The request that `fetch` would make, asking for an event stream. */
function streamRequest(
  input: Request | URL | string,
  options: ConnectSseOptions,
): Request {
  const given = input instanceof Request ? input : undefined;
  const headers = new Headers(options.headers ?? given?.headers);
  // The connection itself heeds the signal, for all the requests it makes.
  const init: RequestInit & { duplex?: "half" } = {
    ...options,
    headers,
    signal: null,
  };
  // Node and browsers ask for this where the body is a stream.
  if (init.body !== undefined && init.body !== null) init.duplex ??= "half";

  if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
  if (!headers.has("Cache-Control") && init.cache === undefined) {
    // The header would cost a browser a CORS preflight; elsewhere the mode is
    // not sent, or throws.
    if (!isBrowser()) headers.set("Cache-Control", "no-store");
    else if (given === undefined || given.cache === "default") {
      init.cache = "no-store";
    }
  }
  return new Request(input, init);
}

function isBrowser(): boolean {
  return globalThis.navigator?.userAgent?.startsWith("Mozilla/") ?? false;
}

/** The value by which a header carries the UTF-8 bytes of `id`. */
function headerValue(id: string): string {
  if (takesAnyCharacter()) return id;
  let value = "";
  for (const byte of new TextEncoder().encode(id)) {
    value += String.fromCharCode(byte);
  }
  return value;
}

/** Whether `Headers` encode values as UTF-8 themselves, as workerd's do. */
function takesAnyCharacter(): boolean {
  try {
    new Headers([["x", "\u2603"]]);
    return true;
  } catch {
    return false;
  }
}
