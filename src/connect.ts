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
  const given = input instanceof Request ? input : undefined;
  const headers = new Headers(options.headers ?? given?.headers);
  const lastEventId = options.lastEventId ||
    idOf(headers.get("Last-Event-ID") ?? "");
  checkFunction("fetch", options.fetch);
  check(
    !/[\0\r\n]/.test(lastEventId),
    "lastEventId without NUL, CR or LF",
    lastEventId,
  );
  const { signal = given?.signal ?? null } = options;
  // In brackets, which reach what is private to all others.
  return await SseConnection["open"](
    sender(input, { ...options, headers, signal }),
    { ...options, lastEventId },
    signal,
  );
}

/** What sends the same request each time, but for the last event ID. */
function sender(
  input: Request | URL | string,
  options: ConnectSseOptions & { headers: Headers },
): Send {
  const { fetch = globalThis.fetch, signal: callerSignal } = options;
  let template: Request | undefined;
  let body: Promise<ArrayBuffer> | undefined;

  return async (lastEventId, signal) => {
    // Not before all options proved right, as it uses up the body of `input`.
    template ??= streamRequest(input, options);
    const { method, url } = template;
    const init: RequestInit & { duplex?: "half" } = {
      // The caller's too, for a refused response that is left to be read.
      signal: callerSignal ? AbortSignal.any([signal, callerSignal]) : signal,
    };
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
      // What would fail for ever is not to be tried again.
      check(
        !UNSENDABLE.test(lastEventId),
        "a last event ID that a header can carry",
        lastEventId,
      );
      check(options.fetch || /^https?:/.test(url), "an HTTP URL", url);
      throw unanswered(url, cause);
    }
    check(
      typeof response?.headers?.get === "function",
      "fetch to give a Response",
      response,
    );
    if (response.type === "error") throw unanswered(url, "a network error");
    return response;
  };
}

function unanswered(url: string, cause: unknown): SseError {
  return new SseError(
    "network",
    `Expected a response from ${url}, but none came: ${reasonOf(cause)}`,
    { cause },
  );
}

/** The bytes of a body; aborting `signal` cancels the stream it may be. */
function readBody(
  request: Request,
  signal: AbortSignal | null | undefined,
): Promise<ArrayBuffer> {
  if (!signal || !request.body) return request.arrayBuffer();
  const body = request.body.pipeThrough(new TransformStream(), { signal });
  return new Response(body).arrayBuffer();
}

/** What runtimes send in no header, though an id may hold it. */
// deno-lint-ignore no-control-regex
const UNSENDABLE = /[\x00-\x08\x0a-\x1f\x7f]/;

/** The request that `fetch` would make, asking for an event stream. */
function streamRequest(
  input: Request | URL | string,
  options: ConnectSseOptions & { headers: Headers },
): Request {
  const { headers } = options;
  // Signal and id are those of each request made of this one.
  const init: RequestInit & { duplex?: "half" } = { ...options, signal: null };
  headers.delete("Last-Event-ID");
  // Node and browsers ask for this where the body is a stream.
  if (init.body !== undefined && init.body !== null) init.duplex ??= "half";

  if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
  if (!headers.has("Cache-Control") && init.cache === undefined) {
    // The header would cost a browser a CORS preflight; elsewhere the mode is
    // not sent, or throws.
    if (!isBrowser()) headers.set("Cache-Control", "no-store");
    else if (!(input instanceof Request) || input.cache === "default") {
      init.cache = "no-store";
    }
  }
  return new Request(input, init);
}

function isBrowser(): boolean {
  return globalThis.navigator?.userAgent?.startsWith("Mozilla/") ?? false;
}

/** The value by which a header carries the UTF-8 bytes of `text`. */
export function headerValue(text: string): string {
  if (takesAnyCharacter()) return text;
  let value = "";
  for (const byte of new TextEncoder().encode(text)) {
    value += String.fromCharCode(byte);
  }
  return value;
}

/** The id that a `Last-Event-ID` header has. */
function idOf(value: string): string {
  if (value === "" || takesAnyCharacter()) return value;
  try {
    const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    // Not UTF-8: written as the id itself.
    return value;
  }
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
