/**
 * What to do after a failure, and when.
 *
 * @module
 */

import { check, checkFunction, checkRange } from "../internal/check.ts";
import { causesOf, SseError } from "../error.ts";

/**
 * How to reconnect; all of it optional.
 *
 * In a browser, a request that CORS refuses looks like a lost network. So it is
 * tried again, for ever unless `maxAttempts` ends it.
 *
 * @example
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
   * Whether a stream that has begun can be gone on with. `false` is for an
   * answer that each request starts anew, as an LLM's: attempts are made until
   * the first event, and none after it.
   *
   * @default {true}
   */
  resume?: boolean | undefined;
  /**
   * How many ms to wait before the first attempt to connect again. The server's
   * `retry:` replaces it. From the second attempt in a row on, the wait is at
   * least 100 ms, unless `maxDelay` is less.
   *
   * @default {1000}
   */
  initialDelay?: number | undefined;
  /**
   * The longest wait in ms; only a server's `Retry-After` can exceed it.
   *
   * @default {30000}
   */
  maxDelay?: number | undefined;
  /**
   * The factor by which the wait grows from one attempt in a row to the next;
   * at least 1.
   *
   * @default {2}
   */
  backoffFactor?: number | undefined;
  /**
   * The share of the wait that is random, from 0 to 1, so that the clients of a
   * server that died do not return all at once: with 0.5, a wait of 1000 ms
   * becomes one of 500 to 1000 ms.
   *
   * @default {0.5}
   */
  jitter?: number | undefined;
  /**
   * How many times in a row to connect again, the first request not counted;
   * then the stream fails with `"reconnect-failed"`. Each event starts the
   * count anew.
   *
   * @default {Infinity}
   */
  maxAttempts?: number | undefined;
  /**
   * Overrules what would follow an error: `true` reconnects, `false` does not.
   * `undefined` leaves the default. It is not asked after `until`, `close()` or
   * an abort, and cannot exceed `maxAttempts`.
   *
   * @param error What happened; `"truncated"` where the body just ended.
   * @param attempt Which attempt in a row would follow, from 1.
   */
  shouldReconnect?:
    | ((
      error: SseError,
      attempt: number,
    ) => boolean | undefined | Promise<boolean | undefined>)
    | undefined;
  /** Called before each wait; a promise that it returns is awaited first. */
  onReconnect?: ((info: ReconnectInfo) => void | Promise<void>) | undefined;
}

/**
 * What `onReconnect` is told.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#reestablish-the-connection}
 */
export interface ReconnectInfo {
  /** Which attempt in a row follows, from 1. */
  attempt: number;
  /** How many ms later. */
  delay: number;
  /** What happened; `"truncated"` where the body just ended. */
  error: SseError;
}

/** The least wait in ms, except before the first attempt in a row. */
const MIN_DELAY = 100;

/** What follows a failure, and when. It keeps no state, and does not wait. */
export interface ReconnectPolicy {
  /** Whether a stream that has begun can be gone on with. */
  readonly resume: boolean;

  /**
   * Decides what follows `error`, and tells the caller.
   *
   * @param error What happened.
   * @param attempt Which attempt in a row would follow, from 1.
   * @param reconnectionTime The newest `retry:` of the server, in ms.
   * @param signal Tells, once aborted, that nobody waits for the decision.
   * @returns How many ms to wait before the attempt, or undefined for none.
   * @throws {SseError} `"reconnect-failed"`, if the attempts are used up.
   */
  decide(
    error: SseError,
    attempt: number,
    reconnectionTime: number | undefined,
    signal?: AbortSignal,
  ): Promise<number | undefined>;
}

/** The policy that the options describe. */
export function reconnectPolicy(
  {
    resume = true,
    initialDelay = 1000,
    maxDelay = 30_000,
    backoffFactor = 2,
    jitter = 0.5,
    maxAttempts = Infinity,
    shouldReconnect,
    onReconnect,
  }: ReconnectOptions,
  random: () => number = Math.random,
): ReconnectPolicy {
  const isBoolean = typeof resume === "boolean";
  check(isBoolean, "reconnect.resume to be a boolean", resume);
  checkRange("reconnect.initialDelay", initialDelay, 0);
  checkRange("reconnect.maxDelay", maxDelay, 0);
  checkRange("reconnect.backoffFactor", backoffFactor, 1);
  checkRange("reconnect.jitter", jitter, 0, 1);
  checkRange("reconnect.maxAttempts", maxAttempts, 0);
  checkFunction("reconnect.shouldReconnect", shouldReconnect);
  checkFunction("reconnect.onReconnect", onReconnect);

  function delayBefore(attempt: number, first: number): number {
    // From the second attempt in a row on at least 1 ms, as 0 could not grow.
    const least = attempt > 1 ? 1 : 0;
    const base = Math.max(first, least);
    const longest = Math.min(base * backoffFactor ** (attempt - 1), maxDelay);
    return Math.max(
      Math.round(longest * (1 - jitter * random())),
      least * Math.min(MIN_DELAY, maxDelay),
    );
  }

  return {
    resume,
    async decide(error, attempt, reconnectionTime, signal) {
      const wanted = await shouldReconnect?.(error, attempt);
      if (signal?.aborted) return undefined;
      if (!(wanted ?? isTransient(error))) return undefined;
      if (attempt > maxAttempts) {
        throw new SseError(
          "reconnect-failed",
          `Expected to reconnect, but maxAttempts (${maxAttempts}) are used ` +
            `up; the last failure: ${error.message}`,
          { cause: error, response: error.response, body: error.body },
        );
      }
      const delay = Math.max(
        delayBefore(attempt, reconnectionTime ?? initialDelay),
        error.code === "status" ? retryAfter(error) : 0,
      );
      await onReconnect?.({ attempt, delay, error });
      return delay;
    },
  };
}

const RETRIED_STATUS = /^(408|425|429|50[0234])$/;

/** Whether another attempt may succeed. */
function isTransient(error: SseError): boolean {
  switch (error.code) {
    case "network":
      return !isPermanent(error.cause);
    case "truncated":
    case "idle-timeout":
    case "event-timeout":
    case "connect-timeout":
      return true;
    case "status":
      return RETRIED_STATUS.test(`${error.response?.status}`);
    default:
      return false;
  }
}

/**
 * Whether a request failed for something that no attempt can mend. Only the
 * words of the runtime's error tell: of a permission that Deno lacks, of
 * redirects without end, of a `fetch` that cannot take a `Request` or a URL.
 */
function isPermanent(error: unknown): boolean {
  // Node's errors have a code.
  const causes: (Error & { code?: unknown })[] = causesOf(error);
  // URLs are cut out, as they can hold any word.
  return causes.some(({ name, code, message }) =>
    PERMANENT.test(`${name} ${code} ${message.replace(/:\/\/\S*/g, "")}`)
  );
}

const PERMANENT =
  /NotCapable|redirect|INVALID_URL|Invalid URL|bad port|port \d+ .*blocked/i;

/** The ms that `Retry-After` asks to wait, in seconds or until a date. */
function retryAfter({ response }: SseError): number {
  const value = response?.headers.get("Retry-After") ?? "";
  const delay = /^[0-9]+$/.test(value)
    ? Number(value) * 1000
    : Date.parse(value) - Date.now();
  return delay > 0 ? Math.min(delay, Number.MAX_SAFE_INTEGER) : 0;
}
