/**
 * The request of each attempt.
 *
 * @module
 */

import { reasonOf, reconnectFailed, SseError } from "../error.ts";
import { check } from "../internal/check.ts";
import { withoutSecrets, withoutUrlSecrets } from "../internal/quote.ts";
import { headerValue } from "../last_event_id.ts";
import { MAX_ID_LENGTH } from "./limits.ts";
import type { ConnectSseOptions, Send, SseAttempt } from "./options.ts";

/** What `fetch` takes. */
type Target = Request | URL | string;

/** The options of `fetch`, with headers that can be changed. */
type Init = RequestInit & { headers: Headers };

/**
 * Makes the function that sends the request of each attempt.
 *
 * @param closing Aborts when there will be no more attempts.
 */
export function makeSend(
  input: Target | ((attempt: SseAttempt) => Target | Promise<Target>),
  options: ConnectSseOptions,
  headers: Headers,
  closing: AbortSignal,
): Send {
  let readOnce: ReturnType<typeof readBody> | undefined;

  return async (attempt, signal) => {
    const given = typeof input === "function" ? await input(attempt) : input;
    signal.throwIfAborted();
    const request = given instanceof Request ? given : undefined;
    let init: Init;
    if (typeof input === "function" && request) {
      // Sent as it is: the options are for URLs and for the caller's request.
      const { client, dispatcher } = options;
      init = changeOptions(request, { client, dispatcher }, {
        headers: new Headers(request.headers),
        signal: AbortSignal.any([signal, request.signal]),
      });
    } else {
      init = changeOptions(given, options, {
        headers: new Headers(headers),
        signal,
      });
      if (options.reconnect && !/^(GET|HEAD)$/i.test(init.method ?? "GET")) {
        // Every attempt sends the body.
        readOnce ??= readBody(init.body ?? request, closing);
        const { type, bytes } = await readOnce;
        signal.throwIfAborted();
        init.body = bytes;
        if (type && !init.headers.has("Content-Type")) {
          init.headers.set("Content-Type", type);
        }
      }
    }
    addDefaults(given, init);
    addLastEventId(init.headers, attempt);
    return await send(makeRequest(given, init), options.fetch);
  };
}

/**
 * Returns the options of `fetch` with changes. As `fetch` does, it also takes the
 * getters of a prototype, of whatever name: the options may be a `Request`.
 */
export function changeOptions(
  input: Target,
  options: object,
  changes: RequestInit,
): Init {
  // Node and browsers require `duplex` if the body is a stream.
  // The options themselves are for a patched `fetch` that copies them, as that of
  // Next.js.
  const own: Record<string, unknown> = {
    ...options,
    duplex: "half",
    ...changes,
  };
  const get = (_: unknown, name: string) =>
    (name in own ? own : options as Record<string, unknown>)[name];
  const init = new Proxy(own, { get }) as Init;
  // If a `Proxy` has no method, Bun takes GET instead of the method of the input.
  if (input instanceof Request) init.method ??= input.method;
  return init;
}

/**
 * Reads a body, and returns its type unless it is among the headers of a request.
 * Aborting the signal cancels a stream.
 */
async function readBody(
  source: BodyInit | Request | undefined,
  signal: AbortSignal,
): Promise<{ type: string | null; bytes: ArrayBuffer }> {
  const { headers, body } = new Response(
    source instanceof Request
      // In Firefox, a `Request` has no `body`.
      ? source.body ?? await source.arrayBuffer()
      : source,
  );
  const abortable = body?.pipeThrough(new TransformStream(), { signal });
  const bytes = await new Response(abortable).arrayBuffer();
  return { type: headers.get("Content-Type"), bytes };
}

/** Makes a request. Its errors do not show the secrets of the URL. */
export function makeRequest(input: Target, init: RequestInit): Request {
  try {
    return new Request(input, init);
  } catch (error) {
    const { message } = error as Error;
    const url = String(input);
    // Of a string that is no URL, any part may be a secret.
    const safe = message.replaceAll(url, () => withoutUrlSecrets(url));
    throw new TypeError(withoutSecrets(safe));
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

/** Throws unless the value is a response, also one of another realm. */
export function checkResponse(
  value: unknown,
  expected: string,
): asserts value is Response {
  const headers = (value as Response | undefined)?.headers;
  check(typeof headers?.get === "function", expected, value);
}

function noResponse(url: string, cause: unknown): SseError {
  const from = withoutSecrets(url);
  return new SseError(
    "network",
    `Expected a response from ${from}, but none arrived: ${reasonOf(cause)}`,
    { cause },
  );
}

/** Requests a stream that is not cached, unless the caller says otherwise. */
function addDefaults(input: Target, init: Init): void {
  const { headers } = init;
  if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
  const cache = init.cache ?? (input as Partial<Request>).cache ?? "default";
  if (headers.has("Cache-Control") || cache !== "default") return;
  // In a browser, the header would cost a CORS preflight. Elsewhere, `cache`
  // has no effect, or throws. Caches ignore a request's `no-store`.
  if (globalThis.navigator?.userAgent?.startsWith("Mozilla/")) {
    init.cache = "no-store";
  } else {
    headers.set("Cache-Control", "no-cache");
  }
}

function addLastEventId(
  headers: Headers,
  { attempt, lastEventId, error }: SseAttempt,
): void {
  if (lastEventId === "" || headers.has("Last-Event-ID")) return;
  check(
    isSendable(lastEventId),
    "lastEventId to be free of control characters and " +
      `at most ${MAX_ID_LENGTH} bytes`,
    lastEventId,
    // The first one is the caller's, and any other the server's.
    (message) =>
      attempt === 0
        ? new TypeError(message)
        : reconnectFailed(`${message}: the stream cannot resume`, error),
  );
  headers.set("Last-Event-ID", headerValue(lastEventId));
}

/**
 * Whether a request can carry the id. Only browsers send control characters, and
 * most servers refuse them.
 */
function isSendable(id: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/[\x00-\x08\x0a-\x1f\x7f]/.test(id) &&
    new TextEncoder().encode(id).length <= MAX_ID_LENGTH;
}
