/**
 * What to do after a failure, and when.
 *
 * @module
 */

import { causesOf, reconnectFailed, type SseError } from "../error.ts";
import { type Backoff, backoffDelay } from "../internal/backoff.ts";
import {
  check,
  checkType,
  functionOption,
  numberOption,
} from "../internal/check.ts";
import { abortable } from "../internal/wait.ts";
import { MIN_RETRY_DELAY } from "./limits.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * When and how often to reconnect: the option `reconnect` of `connectSse`. All
 * options have defaults, which `reconnect: true` uses. (`EventSource` has
 * defaults of its own.)
 *
 * By default, `connectSse` reconnects if the connection ends, fails or stalls,
 * or if the server sends a temporary error: status 408, 425, 429, and every 5xx
 * except 501, 505 and 511. The delay is 1 s at first, and doubles with each
 * attempt up to 30 s. There is no limit on attempts. Other errors end the
 * stream, and so does status 204 or 205.
 *
 * In a browser, a request that CORS blocks looks like a network error. It is
 * repeated forever unless `maxAttempts` is set.
 *
 * @example Follow a job, and give up after ten attempts in a row
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/jobs/7", {
 *   until: ({ event }) => event === "done",
 *   idleTimeout: 30_000,
 *   reconnect: {
 *     maxAttempts: 10,
 *     onReconnect({ attempt, delay, error }) {
 *       console.warn(`${error.message}; attempt ${attempt} in ${delay} ms`);
 *     },
 *   },
 * });
 * for await (const event of sse) console.log(event.event, event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#reestablish-the-connection}
 */
export interface ReconnectOptions {
  /**
   * Whether the server continues the stream after the last event.
   *
   * Set it to `false` if the server starts a new answer for each request, as
   * most LLM APIs do: a second answer would not continue the first one. The
   * request is then repeated only until the first event has been returned, or
   * until `restartUntil` returns true. Set `maxAttempts` as well: it then limits
   * all attempts of the stream, because each of them may cost money.
   *
   * @default {true}
   */
  resume?: boolean | undefined;
  /**
   * Called with each event that is returned, until it returns true. From then
   * on, a failure ends the stream instead of repeating the request. Requires
   * `resume: false`. By default, the first event of any kind has this effect.
   *
   * Set it if the first events have no content. OpenAI's first event, for
   * example, has a role and no token, so the chat guide uses
   * `restartUntil: hasToken`. Your program may then get the first events twice,
   * once from each answer.
   *
   * An error that it throws ends the stream. It must not be `async`.
   */
  restartUntil?: ((event: ServerSentEvent) => boolean) | undefined;
  /**
   * Delay in milliseconds before the first attempt to reconnect. A `retry:` of
   * the server replaces it. The option `jitter` shortens the delay at random.
   *
   * Raise it if many clients use one server. With 0, the first attempt is made
   * at once. From the second attempt in a row on, the delay is at least 100 ms,
   * or `maxDelay` if that is less.
   *
   * @default {1000}
   */
  initialDelay?: number | undefined;
  /**
   * Maximum delay in milliseconds, however many attempts have failed. It also
   * limits a `retry:` of the server. Only a `Retry-After` header can exceed it.
   *
   * Lower it if a person waits for the events.
   *
   * @default {30000}
   */
  maxDelay?: number | undefined;
  /**
   * Factor by which the delay grows with each attempt in a row; at least 1.
   * With 2, the delays are 1, 2, 4 … s.
   *
   * Set it to 1 for a constant delay, as in browsers.
   *
   * @default {2}
   */
  backoffFactor?: number | undefined;
  /**
   * Share of the delay that is random, from 0 to 1. With 0.5, a delay of 1000
   * ms becomes one of 500 to 1000 ms.
   *
   * Randomness keeps the clients of a server that has crashed from returning
   * all at once. Set it to 0 in tests that check delays.
   *
   * @default {0.5}
   */
  jitter?: number | undefined;
  /**
   * Maximum number of attempts in a row. The first request does not count. If
   * all of them fail, the stream fails with an `SseError` `"reconnect-failed"`,
   * whose `cause` is the last error.
   *
   * Set it if your program has to report that a server stays unavailable. Each
   * event resets the count and the delays, so a server that sends one event per
   * connection and then closes it is retried forever. A connection without
   * an event resets them as well if it delivered a byte and stayed open for
   * longer than `maxDelay` (at least 100 ms), or than 30 seconds if that is
   * less: it was healthy, but quiet.
   *
   * With `resume: false`, nothing resets the count: the request is sent at most
   * `1 + maxAttempts` times.
   *
   * @default {Infinity}
   */
  maxAttempts?: number | undefined;
  /**
   * Decides whether to reconnect after an error: `true` reconnects, `false`
   * does not. `undefined` keeps the default, which reconnects after temporary
   * errors.
   *
   * Use it to retry another status, for example 401 after you have renewed a
   * token, or to stop if the body of a refused response says so. It may return
   * a promise, for which `close()`, `reconnect()` and an abort do not wait. An
   * error that it throws ends the stream.
   *
   * It is not called after `until` was met, `close()` or an abort, for status
   * 204 or 205, or, with `resume: false`, after the event that made
   * `restartUntil` true. It is still called after the last of `maxAttempts`
   * attempts has failed: `true` then ends the stream with
   * `"reconnect-failed"`. `false` ends it with the error itself, or without an
   * error if the body ended and `until` is not set.
   *
   * @param error The error; `"truncated"` if the body ended.
   * @param attempt The number of the next attempt in a row, from 1.
   */
  shouldReconnect?:
    | ((
      error: SseError,
      attempt: number,
    ) => boolean | undefined | Promise<boolean | undefined>)
    | undefined;
  /**
   * Called before each delay. If it returns a promise, it is awaited first, but
   * `close()`, `reconnect()` and an abort do not wait for it. There is no
   * default.
   *
   * Use it to log failures, or to show that the connection was lost. An error
   * that it throws ends the stream.
   *
   * @param info The number of the next attempt in a row, from 1; the delay
   * before it in milliseconds; and the error, `"truncated"` if the body ended.
   */
  onReconnect?:
    | ((
      info: { attempt: number; delay: number; error: SseError },
    ) => void | Promise<void>)
    | undefined;
}

/** The option `reconnect`, checked and with its defaults. */
export interface ReconnectPolicy {
  isEnabled: boolean;
  resume: boolean;
  restartUntil: (event: ServerSentEvent) => boolean;
  maxAttempts: number;
  backoff: Backoff;
  shouldReconnect: ReconnectOptions["shouldReconnect"];
  onReconnect: ReconnectOptions["onReconnect"];
}

/** Checks the option `reconnect`, and adds its defaults. */
export function reconnectPolicy(
  reconnect: boolean | ReconnectOptions = false,
): ReconnectPolicy {
  const options = typeof reconnect === "boolean" ? {} : reconnect;
  checkType(options, "object", "reconnect to be a boolean or options");
  const { resume = true } = options;
  const isBoolean = typeof resume === "boolean";
  check(isBoolean, "resume to be a boolean", resume);
  const restartUntil = functionOption(options, "restartUntil");
  check(
    !restartUntil || !resume,
    "resume to be false with restartUntil",
    resume,
  );
  return {
    isEnabled: reconnect !== false,
    resume,
    restartUntil: restartUntil ?? (() => true),
    maxAttempts: numberOption(options, "maxAttempts", Infinity, 0),
    backoff: {
      initial: numberOption(options, "initialDelay", 1000, 0),
      max: numberOption(options, "maxDelay", 30_000, 0),
      factor: numberOption(options, "backoffFactor", 2, 1),
      jitter: numberOption(options, "jitter", 0.5, 0, 1),
    },
    shouldReconnect: functionOption(options, "shouldReconnect"),
    onReconnect: functionOption(options, "onReconnect"),
  };
}

/**
 * Decides whether to reconnect after a failure, and calls the caller's callbacks.
 *
 * @param attempt The number of the next attempt in a row, from 1.
 * @param reconnectionTime The server's newest `retry:`, in ms.
 * @param signal Aborts if the answer is not needed any more.
 * @returns The delay in ms before the next attempt. Undefined if none follows.
 * @throws {SseError} `"reconnect-failed"`, if `maxAttempts` were made.
 * @throws {unknown} What a callback throws.
 */
export async function planRetry(
  { maxAttempts, backoff, shouldReconnect, onReconnect }: ReconnectPolicy,
  error: SseError,
  attempt: number,
  reconnectionTime: number | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  const retries = await abortable(shouldReconnect?.(error, attempt), signal) ??
    isTemporary(error);
  signal.throwIfAborted();
  if (!retries) return undefined;
  if (attempt > maxAttempts) throw attemptsFailed(maxAttempts, error);
  const delay = Math.max(
    delayBefore(attempt, reconnectionTime, backoff),
    error.code === "status" ? retryAfter(error) : 0,
  );
  await abortable(onReconnect?.({ attempt, delay, error }), signal);
  return delay;
}

/** Makes the error of a stream for which `maxAttempts` attempts were made. */
export function attemptsFailed(
  maxAttempts: number,
  error?: SseError,
): SseError {
  const reason = error?.message ?? "reconnect() was called again";
  return reconnectFailed(
    `Expected to reconnect in ${maxAttempts} attempts (maxAttempts), ` +
      `but the last failed: ${reason}`,
    error,
  );
}

function delayBefore(
  attempt: number,
  reconnectionTime: number | undefined,
  backoff: Backoff,
): number {
  const isFirst = attempt === 1;
  const floor = isFirst ? 0 : Math.min(MIN_RETRY_DELAY, backoff.max);
  const initial = reconnectionTime ?? backoff.initial;
  // A delay of 0 would not grow.
  const growing = { ...backoff, initial: isFirst ? initial : initial || 1 };
  return Math.max(Math.round(backoffDelay(growing, attempt)), floor);
}

/**
 * All 5xx but 501 Not Implemented, 505 HTTP Version Not Supported and 511 Network
 * Authentication Required: Cloudflare sends 520 to 530, Anthropic 529.
 */
const TEMPORARY_STATUS = /^(408|425|429|5(?!01|05|11)..)$/;

const TEMPORARY_CODE = /timeout|truncated|rejected/;

/** Whether another attempt may succeed. */
function isTemporary({ code, cause, response }: SseError): boolean {
  if (code === "network") return !isPermanent(cause);
  if (code === "status") return TEMPORARY_STATUS.test(`${response?.status}`);
  return TEMPORARY_CODE.test(code);
}

/** Whether a request failed for a reason that another attempt cannot change. */
function isPermanent(error: unknown): boolean {
  const causes: (Error & { code?: unknown })[] = causesOf(error);
  return causes.some(({ name, code, message }) =>
    // Node's and Bun's errors have a code, but not those of redirects in Node.
    typeof code === "string"
      ? PERMANENT_CODE.test(code)
      : name === "NotCapable" || PERMANENT_MESSAGE.test(message)
  );
}

const PERMANENT_CODE = /redirect|INVALID_(URL|ARG)/i;

/** Several words each, as a host, a path or a query contains no space. */
const PERMANENT_MESSAGE =
  /redirect count|(many|http|unexpected|of|while) redirect|bad port|\d are blocked|invalid url/i;

/**
 * The delay of `Retry-After` in milliseconds: whole seconds, or until a date, which
 * contains letters. `Date.parse` takes "2500.5" for a year.
 */
function retryAfter({ response }: SseError): number {
  const value = response?.headers.get("Retry-After") ?? "";
  if (/^[0-9]+$/.test(value)) return Number(value) * 1000;
  return /[A-Z]/i.test(value) ? Date.parse(value) - Date.now() || 0 : 0;
}
