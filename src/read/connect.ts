/**
 * Opening an event stream: request, headers, body.
 *
 * @module
 */

import { check, checkFunction, checkType } from "../internal/check.ts";
import {
  openConnection,
  readResponse,
  type Send,
  type SseConnection,
} from "./connection.ts";
import { reasonOf, SseError, withoutSecrets } from "../error.ts";
import { headerValue, idOf } from "../last_event_id.ts";
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
    `lastEventId to be ${sendable()}`,
    lastEventId,
  );
  const { signal = given?.signal } = options;
  const ownOptions = { ...options, headers, lastEventId, signal };
  // In brackets, as TypeScript forbids any other access to a private method.
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

/** Makes the function that sends the request of each attempt. */
function makeSend(
  input: Parameters<typeof connectSse>[0],
  options: ConnectSseOptions & { headers: Headers },
): Send {
  const { fetch = globalThis.fetch, reconnect, signal: callerSignal } = options;
  /** Read once, and sent with each attempt. */
  let body: ReturnType<typeof readBody> | undefined;

  return async (attempt, signal) => {
    let given = typeof input === "function" ? await input(attempt) : input;
    signal.throwIfAborted();
    let init: RequestInit & { duplex?: "half" };
    let headers: Headers;
    if (typeof input === "function" && given instanceof Request) {
      init = { signal: AbortSignal.any([signal, given.signal]) };
      headers = new Headers(given.headers);
    } else {
      init = { ...(options as RequestInit), signal };
      headers = new Headers(options.headers);
      if (!(given instanceof Request)) given = takeCredentials(given, headers);
      // Node and browsers ask for this where the body is a stream.
      if (init.body) init.duplex ??= "half";
      const { method = "GET" } = given instanceof Request
        ? { ...init, method: init.method ?? given.method }
        : init;
      if (reconnect && !/^(GET|HEAD)$/i.test(method)) {
        body ??= readBody(
          requestOf(given, { ...init, headers, signal: null }),
          callerSignal,
        );
        const { type, bytes } = await body;
        signal.throwIfAborted();
        init.body = bytes;
        if (type !== null) headers.set("Content-Type", type);
      }
    }
    addDefaults(given, init, headers);
    addLastEventId(headers, attempt);
    const request = requestOf(given, { ...init, headers });

    const { url } = request;
    let response: Response;
    try {
      response = await fetch(request);
    } catch (cause) {
      // A URL that is not HTTP would fail for ever, so it is not tried again.
      const isHttp = options.fetch || /^https?:/.test(url);
      check(isHttp, "an HTTP URL", withoutSecrets(url));
      throw noResponse(url, cause);
    }
    checkResponse(response, "fetch to give a Response");
    if (response.type === "error") throw noResponse(url, "a network error");
    return response;
  };
}

/** Makes a request. Its errors do not show the secrets of the URL. */
function requestOf(input: SseRequest, init: RequestInit): Request {
  try {
    return new Request(input, init);
  } catch (error) {
    throw new TypeError(withoutSecrets(String((error as Error).message)));
  }
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

/** Reads a request's body; aborting `signal` cancels one that is a stream. */
async function readBody(
  request: Request,
  signal: AbortSignal | null | undefined,
): Promise<{ type: string | null; bytes: ArrayBuffer }> {
  const type = request.headers.get("Content-Type");
  const source = signal && request.body
    ? new Response(
      request.body.pipeThrough(new TransformStream(), { signal }),
    )
    : request;
  return { type, bytes: await source.arrayBuffer() };
}

/** Asks for a stream that is not cached, unless the caller says otherwise. */
function addDefaults(
  input: SseRequest,
  init: RequestInit,
  headers: Headers,
): void {
  if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
  if (headers.has("Cache-Control") || init.cache !== undefined) return;
  // In a browser, the header would cost a CORS preflight. Elsewhere, `cache`
  // has no effect, or throws.
  if (!isBrowser()) headers.set("Cache-Control", "no-store");
  else if (!(input instanceof Request) || input.cache === "default") {
    init.cache = "no-store";
  }
}

function isBrowser(): boolean {
  return globalThis.navigator?.userAgent?.startsWith("Mozilla/") ?? false;
}

function addLastEventId(
  headers: Headers,
  { lastEventId, error }: SseAttempt,
): void {
  if (lastEventId === "" || headers.has("Last-Event-ID")) return;
  if (!isSendable(lastEventId)) {
    throw new SseError(
      "reconnect-failed",
      `Expected the last event ID to be ${sendable()}, got ` +
        `${JSON.stringify(lastEventId.slice(0, 100))} (${lastEventId.length} ` +
        "characters): the stream cannot be resumed",
      { cause: error, response: error?.response, body: error?.body },
    );
  }
  headers.set("Last-Event-ID", headerValue(lastEventId));
}

/** The most bytes of an id that is sent. */
const MAX_ID_LENGTH = 8192;

/** What an id may hold, but no runtime sends in a header. */
// deno-lint-ignore no-control-regex
const UNSENDABLE = /[\x00-\x08\x0a-\x1f\x7f]/;

/** What is expected of an id. */
function sendable(): string {
  return `free of control characters and at most ${MAX_ID_LENGTH} bytes`;
}

/** Whether a request can carry the id; most servers refuse longer headers. */
function isSendable(id: string): boolean {
  return id.length <= MAX_ID_LENGTH && !UNSENDABLE.test(id) &&
    new TextEncoder().encode(id).length <= MAX_ID_LENGTH;
}
