/**
 * Opening an event stream: request, headers, body.
 *
 * @module
 */

import { check, checkFunction, checkType } from "../internal/check.ts";
import { truncate } from "../internal/truncate.ts";
import {
  openConnection,
  readResponse,
  type Send,
  type SseConnection,
} from "./connection.ts";
import {
  reasonOf,
  reconnectFailed,
  SseError,
  withoutSecrets,
} from "../error.ts";
import { headerValue, idOf } from "../last_event_id.ts";
import { ID_RULE, MAX_ID_LENGTH } from "./limits.ts";
import type {
  ConnectSseOptions,
  ReadSseOptions,
  SseAttempt,
  SseRequest,
} from "./options.ts";

/**
 * Opens an event stream. The promise resolves when the response's headers
 * arrive, whatever they say: the response can be looked at before the first
 * event is asked for, and only then does a refusal throw. With `reconnect`, it
 * resolves once there is a response that no other attempt follows.
 *
 * The request asks for `text/event-stream`, unless the caller gives `Accept`,
 * and for no cached answer, unless the caller gives `Cache-Control` or `cache`.
 * A user and a password in the URL become an `Authorization` header, where
 * there is none.
 *
 * @param input The URL, or a request, which the options override. Or a function
 * that gives one for each attempt: with a fresh token, at another URL, as a GET
 * that goes on with what a POST began. A `Request` from it is sent as it is,
 * with `Accept`, `Cache-Control` and the `Last-Event-ID` added where it lacks
 * them. Aborting that request's own signal gives up this attempt only. An
 * `SseError` that the function throws counts as a failed attempt, and may be
 * retried; anything else ends the stream.
 * @param options As for `fetch`, and how to read what comes.
 * @returns The open connection, an iterator over its events.
 * @throws {SseError} `"network"`, if no response came, and `"connect-timeout"`,
 * if none came in time; with `reconnect`, also `"reconnect-failed"`.
 * @throws {TypeError} If the input or an option has the wrong type.
 * @throws {RangeError} If a number among the options is out of range.
 * @throws {unknown} What the signal was aborted with, or what `input`, `onOpen`,
 * `shouldReconnect` or `onReconnect` threw.
 *
 * @example
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
 * @example In a test, a handler in the network's place
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
 * @example A token that may expire while the stream is open
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * async function logIn(): Promise<string> {
 *   const response = await fetch("https://example.com/token", { method: "POST" });
 *   const { access_token } = await response.json();
 *   return access_token;
 * }
 *
 * let token = await logIn();
 * let hasWorked = false;
 *
 * const sse = await connectSse(
 *   // Called for each attempt, so that each sends the newest token.
 *   () =>
 *     new Request("https://example.com/events", {
 *       headers: { Authorization: `Bearer ${token}` },
 *     }),
 *   {
 *     until: "[DONE]",
 *     onOpen: () => void (hasWorked = true),
 *     reconnect: {
 *       async shouldReconnect({ response }) {
 *         if (response?.status !== 401) return undefined; // As for any error.
 *         if (!hasWorked) return false; // It is wrong, rather than expired.
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
    | SseRequest
    | ((attempt: SseAttempt) => SseRequest | Promise<SseRequest>),
  options: ConnectSseOptions = {},
): Promise<SseConnection> {
  const given = input instanceof Request ? input : undefined;
  const headers = new Headers(options.headers ?? given?.headers);
  const lastEventId = options.lastEventId ||
    idOf(headers.get("Last-Event-ID") ?? "");
  headers.delete("Last-Event-ID");
  checkFunction("fetch", options.fetch);
  checkType(lastEventId, "string", "lastEventId to be a string");
  check(
    isSendable(lastEventId),
    `lastEventId to be ${ID_RULE}`,
    lastEventId,
  );
  const { signal = given?.signal } = options;
  const ownOptions = { ...options, headers, lastEventId, signal };
  return await openConnection(makeSend(input, ownOptions), ownOptions);
}

/**
 * Reads an event stream from a response that is there already, or from a stream
 * of bytes. Nothing is sent, and nothing reconnects.
 *
 * @param source The response, or a stream of bytes, which is taken for an event
 * stream whatever it holds. Nobody else may read either.
 * @param options How to read what comes.
 * @returns The connection, an iterator over the events.
 * @throws {TypeError} If the source or an option has the wrong type.
 * @throws {RangeError} If a number among the options is out of range.
 *
 * @example
 * ```ts
 * import { readSse } from "@x/sse";
 *
 * // As the client of an API hands it out.
 * const response = await fetch("https://example.com/chat", { method: "POST" });
 *
 * for await (const event of readSse(response, { until: "[DONE]" })) {
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
  const expected = "a Response or a ReadableStream";
  checkType(source, "object", expected);
  const isStream = typeof (source as ReadableStream).getReader === "function";
  if (isStream) {
    if ((source as ReadableStream).locked) {
      throw new TypeError("Expected a stream that nobody reads: it is locked");
    }
    source = new Response(source as ReadableStream<Uint8Array<ArrayBuffer>>);
    options = { ...options, anyContentType: true };
  }
  checkResponse(source, expected);
  return readResponse(source, { ...options, reconnect: false });
}

function checkResponse(
  value: unknown,
  expected: string,
): asserts value is Response {
  const { headers } = (value ?? {}) as Response;
  check(typeof headers?.get === "function", expected, value);
}

/** The options of `fetch`, with headers that can be changed. */
type Init = RequestInit & { headers: Headers };

/** Makes the function that sends the request of each attempt. */
function makeSend(
  input: Parameters<typeof connectSse>[0],
  options: ConnectSseOptions & { headers: Headers },
): Send {
  const { reconnect, signal: callerSignal } = options;
  /** The body, read once to be sent with each attempt. */
  let body: ReturnType<typeof readBody> | undefined;

  async function readBodyOnce(given: SseRequest, init: Init): Promise<void> {
    const source = init.body ?? (given instanceof Request ? given.body : null);
    body ??= readBody(source, callerSignal);
    const { type, bytes } = await body;
    init.body = bytes;
    if (type && !init.headers.has("Content-Type")) {
      init.headers.set("Content-Type", type);
    }
  }

  return async (attempt, signal) => {
    let given = typeof input === "function" ? await input(attempt) : input;
    signal.throwIfAborted();
    let init: Init;
    if (typeof input === "function" && given instanceof Request) {
      const both = AbortSignal.any([signal, given.signal]);
      init = { signal: both, headers: new Headers(given.headers) };
    } else {
      const headers = new Headers(options.headers);
      init = { ...options as RequestInit, headers, signal };
      if (!(given instanceof Request)) given = takeCredentials(given, headers);
      const { method = "GET" } = given instanceof Request ? given : init;
      if (reconnect && !/^(GET|HEAD)$/i.test(init.method ?? method)) {
        await readBodyOnce(given, init);
        signal.throwIfAborted();
      }
    }
    addDefaults(given, init);
    addLastEventId(init.headers, attempt);
    return await send(makeRequest(given, init), options.fetch);
  };
}

/** Reads a body. Aborting the signal cancels a stream. */
async function readBody(
  body: BodyInit | null | undefined,
  signal: AbortSignal | null | undefined,
): Promise<{ type: string | null; bytes: ArrayBuffer }> {
  const { headers, body: stream } = new Response(body);
  const abortable = stream?.pipeThrough(
    new TransformStream(),
    { signal: signal ?? undefined },
  );
  const bytes = await new Response(abortable).arrayBuffer();
  return { type: headers.get("Content-Type"), bytes };
}

/** Makes a request. Its errors do not show the secrets of the URL. */
function makeRequest(input: SseRequest, init: RequestInit): Request {
  try {
    // Node and browsers require `duplex` if the body is a stream.
    return new Request(input, { duplex: "half", ...init } as RequestInit);
  } catch (error) {
    throw new TypeError(withoutSecrets(String((error as Error).message)));
  }
}

/** Sends a request. The errors are the same on every runtime. */
async function send(
  request: Request,
  ownFetch: ConnectSseOptions["fetch"],
): Promise<Response> {
  const { url } = request;
  let response: Response;
  try {
    response = await (ownFetch ?? globalThis.fetch)(request);
  } catch (cause) {
    // A URL that is not HTTP fails each time, so it is not a network error.
    const isHttp = ownFetch || /^https?:/.test(url);
    check(isHttp, "an HTTP URL", withoutSecrets(url));
    throw noResponse(url, cause);
  }
  checkResponse(response, "fetch to give a Response");
  if (response.type === "error") throw noResponse(url, "a network error");
  return response;
}

function noResponse(url: string, cause: unknown): SseError {
  const from = withoutSecrets(url);
  return new SseError(
    "network",
    `Expected a response from ${from}, but none came: ${reasonOf(cause)}`,
    { cause },
  );
}

/**
 * The URL without its user and password, which only Deno accepts in a URL. They
 * go into the headers.
 */
function takeCredentials(input: URL | string, headers: Headers): URL | string {
  let url: URL;
  try {
    url = new URL(input);
  } catch {
    return input;
  }
  const { username, password } = url;
  if (username === "" && password === "") return input;
  if (!headers.has("Authorization")) {
    // Escapes are of UTF-8 bytes, and `btoa` takes a character for each byte.
    const bytes = `${username}:${password}`.replace(
      /%([0-9a-f]{2})/gi,
      (_, hex) => String.fromCharCode(parseInt(hex, 16)),
    );
    headers.set("Authorization", `Basic ${btoa(bytes)}`);
  }
  url.username = url.password = "";
  return url;
}

/** Requests a stream that is not cached, unless the caller says otherwise. */
function addDefaults(input: SseRequest, init: Init): void {
  const { headers } = init;
  if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
  if (headers.has("Cache-Control") || init.cache !== undefined) return;
  // In a browser, the header would cost a CORS preflight. Elsewhere, `cache`
  // has no effect, or throws.
  if (!isBrowser()) headers.set("Cache-Control", "no-store");
  else if (!(input instanceof Request) || input.cache === "default") {
    init.cache = "no-store";
  }
}

function isBrowser(): boolean | undefined {
  return globalThis.navigator?.userAgent?.startsWith("Mozilla/");
}

function addLastEventId(
  headers: Headers,
  { lastEventId, error }: SseAttempt,
): void {
  if (lastEventId === "" || headers.has("Last-Event-ID")) return;
  if (!isSendable(lastEventId)) {
    const got = JSON.stringify(truncate(lastEventId, 100));
    throw reconnectFailed(
      `Expected the last event ID to be ${ID_RULE}, got ${got} ` +
        `(${lastEventId.length} characters): the stream cannot be resumed`,
      error,
    );
  }
  headers.set("Last-Event-ID", headerValue(lastEventId));
}

/** Whether a request can carry the id: no runtime sends control characters. */
function isSendable(id: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/[\x00-\x08\x0a-\x1f\x7f]/.test(id) &&
    new TextEncoder().encode(id).length <= MAX_ID_LENGTH;
}
