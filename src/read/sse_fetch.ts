/**
 * A `fetch` for API clients.
 *
 * @module
 */

import { functionOption, timeoutOption } from "../internal/check.ts";
import { onAbort } from "../internal/wait.ts";
import { Exchange } from "./exchange.ts";
import { Inbox } from "./inbox.ts";
import { MAX_CLOSE_TIME } from "./limits.ts";
import type { ConnectSseOptions } from "./options.ts";
import { CR, LF } from "./parser.ts";
import { isRefused } from "./refusal.ts";
import { changeOptions, checkResponse, makeRequest } from "./request.ts";

/**
 * Options of {@linkcode sseFetch}: when an event stream is complete, and how long
 * to wait. They have the same meaning as those of {@linkcode ConnectSseOptions},
 * with two exceptions. `connectTimeout` has no default: a response that is not an
 * event stream may take longer to arrive than the pause between two events. An
 * error that `fetch` throws is passed on unchanged.
 *
 * @example Guard the streams of a chat API
 * ```ts
 * import { sseFetch, type SseFetchOptions } from "@x/sse";
 *
 * const options: SseFetchOptions = { until: "[DONE]", idleTimeout: 30_000 };
 * const guardedFetch = sseFetch(options);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export type SseFetchOptions = Pick<
  ConnectSseOptions,
  | "connectTimeout"
  | "eventTimeout"
  | "fetch"
  | "idleTimeout"
  | "maxEventSize"
  | "until"
>;

/**
 * Makes a `fetch` for API clients that take one, such as the SDKs of OpenAI,
 * Anthropic, Google, Vercel and MCP. With it, an event stream that stalls or is
 * cut off fails with an `SseError`, so that the client does not hang, and does
 * not mistake half an answer for a whole one.
 *
 * It sends each request as it is, and does not retry, because clients retry
 * themselves. A response that is not an event stream is returned unchanged. The
 * bytes of an event stream are passed on unchanged, as soon as they arrive. Its
 * body does not support BYOB readers; neither does that of `fetch` in Bun and
 * older Safari. The body errors
 *
 * - if no byte arrives for `idleTimeout` milliseconds: `"idle-timeout"`;
 * - if no event arrives for `eventTimeout` milliseconds: `"event-timeout"`;
 * - if it ends before `until` is met: `"truncated"`;
 * - if the connection fails: `"network"`;
 * - if an event is too large: `"event-too-large"`;
 * - if it contains no event, but other text, for example an error as JSON:
 *   `"malformed"`.
 *
 * When `until` is met, the body is closed, even if the server leaves the
 * connection open. A client may read several kinds of streams, each with an end
 * of its own. The streams of OpenAI's Chat Completions API end with `[DONE]`,
 * for example, but those of its Responses API do not: with `until: "[DONE]"`,
 * they would fail as `"truncated"`. In this case, pass a function that
 * recognizes the end of each kind: the guide on
 * [SDKs](https://github.com/x/sse/blob/main/examples/guides/sdks.md) has a
 * function for each API.
 *
 * @param options When a stream is complete, and how long to wait.
 * @returns The function, to be passed as the client's option `fetch`. It rejects
 * with the errors of `fetch`, and with an `SseError` `"connect-timeout"`.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If a number among the options is out of range.
 *
 * @example Use the client of OpenAI with it, for Chat Completions
 * ```ts ignore
 * import OpenAI from "npm:openai@7";
 * import { sseFetch } from "@x/sse";
 *
 * const client = new OpenAI({
 *   fetch: sseFetch({ until: "[DONE]", idleTimeout: 30_000 }),
 * });
 * ```
 *
 * @example See an answer that was cut off
 * ```ts
 * import { SseError, sseFetch } from "@x/sse";
 * import { assertRejects } from "@std/assert";
 *
 * const guardedFetch = sseFetch({
 *   until: "[DONE]",
 *   fetch: () =>
 *     new Response("data: Hel", {
 *       headers: { "Content-Type": "text/event-stream" },
 *     }),
 * });
 * const response = await guardedFetch("https://example.com/chat");
 * await assertRejects(() => response.text(), SseError, "the stream ended");
 * ```
 *
 * @see {@link https://fetch.spec.whatwg.org/#fetch-method}
 */
export function sseFetch(
  options: SseFetchOptions = {},
): (input: Request | URL | string, init?: RequestInit) => Promise<Response> {
  const { until, maxEventSize } = options;
  const fetch = functionOption(options, "fetch");
  const connectTimeout = timeoutOption(options, "connectTimeout");
  const idleTimeout = timeoutOption(options, "idleTimeout");
  const eventTimeout = timeoutOption(options, "eventTimeout");
  new Inbox({ until, maxEventSize }); // Checks them.

  return async (input, init) => {
    const given = init ?? {};
    const { signal = (input as Partial<Request>).signal } = given;
    const exchange = new Exchange();
    const stopListening = onAbort(signal, (it) => exchange.abort(it));
    let body: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
    try {
      exchange.signal.throwIfAborted();
      const response = await exchange.send(
        async (options, own) => {
          // Also aborts a response that is returned unchanged, unless the signal
          // is of another realm, which `any` does not take.
          const both = signal instanceof AbortSignal
            ? AbortSignal.any([own, signal])
            : own;
          const init = changeOptions(input, options, { signal: both });
          return await (fetch
            ? fetch(makeRequest(input, init))
            : globalThis.fetch(input, init));
        },
        given,
        connectTimeout,
      );
      checkResponse(response, "fetch to give a Response");
      // The response to HEAD has no body, and so no end that could be missing.
      if (response.body === null || isRefused(response)) return response;
      const inbox = new Inbox({ until, maxEventSize });
      inbox.open(response);
      body = guard(exchange, inbox, idleTimeout, eventTimeout, stopListening);
      return Object.defineProperty(new Response(body, response), "url", {
        value: response.url,
      });
    } finally {
      if (!body) stopListening();
    }
  };
}

/** Returns the body of the response, which errors unless the stream is complete. */
function guard(
  exchange: Exchange,
  inbox: Inbox,
  idleTimeout: number | undefined,
  eventTimeout: number | undefined,
  stopListening: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  /** The time in ms that reads have taken since the last event. */
  let waited = 0;

  function end(reason?: unknown): void {
    stopListening();
    exchange.abort(reason);
  }

  // Not a byte stream: Safari before 26.4 has none, and `enqueue` of one would
  // detach the buffers of chunks that an in-process handler may use again.
  return new ReadableStream({
    async pull(controller) {
      const start = Date.now();
      const stopTimer = exchange.startTimer(
        "event-timeout",
        "an event (eventTimeout)",
        eventTimeout,
        waited,
      );
      try {
        const { done, value } = await exchange.read(idleTimeout)
          .catch((cause) => {
            throw exchange.readError(cause);
          });
        if (done) {
          exchange.endBody();
          const truncated = inbox.receiveEnd();
          if (truncated && inbox.until !== undefined) throw truncated;
        } else {
          controller.enqueue(value);
          // The clock may be set back.
          waited += Math.max(Date.now() - start, 0);
          inbox.receive(value);
          while (inbox.dequeue()) waited = 0;
          if (!inbox.isComplete) return;
          if (value.at(-1) === CR) {
            // The blank line may be a `\r\n` that was cut between two chunks, or
            // a lone `\r`, after which nothing may come.
            const next = await exchange.read(MAX_CLOSE_TIME).catch(() => null);
            if (next?.value?.[0] === LF) {
              controller.enqueue(next.value.slice(0, 1));
            }
          }
        }
        end();
        controller.close();
      } catch (error) {
        end(error);
        controller.error(error);
      } finally {
        stopTimer?.();
      }
    },
    cancel(reason) {
      end(reason);
      return exchange.canceled;
    },
    // Without reading ahead: the timers run only while the client reads.
  }, { highWaterMark: 0 });
}
