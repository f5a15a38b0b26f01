/**
 * Opening an event stream: options, request, headers.
 *
 * @module
 */

import {
  openConnection,
  type SseConnection,
  type SseConnectionOptions,
} from "./connection.ts";
import { SseError } from "./error.ts";

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
 * if none came in time.
 * @throws {TypeError} If the input or an option has the wrong type.
 * @throws {RangeError} If a number among the options is out of range.
 * @throws {unknown} What the signal was aborted with.
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
  const { signal = input instanceof Request ? input.signal : null } = options;
  if (typeof fetch !== "function") {
    throw new TypeError(
      `Expected fetch to be a function, got ${typeof fetch}`,
    );
  }
  checkLastEventId(options.lastEventId);
  const template = streamRequest(input, options);
  const { reconnect = false } = options;
  let body: Promise<ArrayBuffer> | undefined;

  return await openConnection(
    async (lastEventId, signal) => {
      const init: RequestInit & { duplex?: "half" } = { signal };
      if (
        reconnect && template.method !== "GET" && template.method !== "HEAD"
      ) {
        // Read once, to be sent whole each time.
        body ??= template.arrayBuffer();
        init.body = await body;
        signal.throwIfAborted();
        init.duplex = "half";
      }
      const request = new Request(template, init);
      if (lastEventId !== "") {
        request.headers.set("Last-Event-ID", headerValue(lastEventId));
      }
      let response: Response;
      try {
        response = await fetch(request);
      } catch (cause) {
        throw new SseError(
          "network",
          `Expected a response from ${template.url}, but none came: ${
            cause instanceof Error ? cause.message : String(cause)
          }`,
          { cause },
        );
      }
      if (typeof response?.headers?.get !== "function") {
        throw new TypeError(
          `Expected fetch to give a Response, got ${String(response)}`,
        );
      }
      return response;
    },
    options,
    signal,
  );
}

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

function checkLastEventId(id: string | undefined): void {
  if (id !== undefined && /[\0\r\n]/.test(id)) {
    throw new TypeError(
      `Expected lastEventId without NUL, CR or LF, got ${JSON.stringify(id)}`,
    );
  }
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
