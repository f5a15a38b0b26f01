/**
 * What went wrong with a stream of server-sent events.
 *
 * @module
 */

import { textOf } from "./internal/check.ts";

/**
 * What an {@linkcode SseError} is about, the same on every runtime:
 *
 * - `"network"`: no response came, or the connection broke.
 * - `"status"`: the response's status is outside 2xx, or says that there is no
 *   stream: 204 and 205, of which only `shouldReconnect` is told.
 * - `"content-type"`: the response is not `text/event-stream`.
 * - `"event-too-large"`: an event or a line exceeds `maxEventSize`.
 * - `"idle-timeout"`: not a byte came for `idleTimeout` ms.
 * - `"event-timeout"`: no event came for `eventTimeout` ms.
 * - `"connect-timeout"`: no response headers came for `connectTimeout` ms.
 * - `"truncated"`: the stream ended and `until` had not been met.
 * - `"reconnect-failed"`: `maxAttempts` were used up, or the last event ID is
 *   one that no request can carry; the last error is the `cause`.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export type SseErrorCode =
  | "network"
  | "status"
  | "content-type"
  | "event-too-large"
  | "idle-timeout"
  | "event-timeout"
  | "connect-timeout"
  | "truncated"
  | "reconnect-failed";

/** What a new {@linkcode SseError} may carry beside its code and message. */
export interface SseErrorOptions extends ErrorOptions {
  /** The response that the error is about, where one came. */
  response?: Response | undefined;
  /** The start of what a refused response says. */
  body?: string | undefined;
}

/**
 * The error of this module. Tell errors apart by their `code`; the runtime's
 * own error, which differs from runtime to runtime, is the `cause`.
 *
 * @example
 * ```ts
 * import { connectSse, SseError } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/private");
 * try {
 *   for await (const event of sse) console.log(event.data);
 * } catch (error) {
 *   if (!(error instanceof SseError)) throw error;
 *   // status 401 Who are you?
 *   console.error(error.code, error.response?.status, error.body);
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model}
 */
export class SseError extends Error {
  // On the prototype, as the platform's own errors have it. A pure call, so that
  // bundlers can leave the class out where nobody uses it.
  static #isNamed = /* @__PURE__ */ nameErrors(() => SseError.prototype);

  /** What the error is about. */
  readonly code: SseErrorCode;

  /**
   * The response that the error is about, where one came. Its status and
   * headers can be looked at. The body of a refused response can be read in
   * `shouldReconnect` and `onReconnect`, and not after them.
   */
  declare readonly response?: Response;

  /**
   * The start of what a refused response says, as UTF-8: at most 64 KiB, and
   * what came within a second. Errors with the code `"status"` or
   * `"content-type"` have it, and a `"reconnect-failed"` that one of them led
   * to. Undefined where somebody else has read the response.
   */
  declare readonly body?: string;

  /**
   * Makes an error.
   *
   * @param code What the error is about.
   * @param message What was expected, what came, and what to do.
   * @param options The cause, the response and its body, where there are any.
   */
  constructor(
    code: SseErrorCode,
    message: string,
    options?: SseErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    if (options?.response !== undefined) this.response = options.response;
    if (options?.body !== undefined) this.body = options.body;
  }
}

function nameErrors(prototype: () => SseError): boolean {
  prototype().name = "SseError";
  return true;
}

/** The error and its causes, outermost first; none where it is no `Error`. */
export function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  // Causes can form a circle, and no runtime wraps an error ten times.
  while (error instanceof Error && causes.length < 10) {
    causes.push(error);
    error = error.cause;
  }
  return causes;
}

/**
 * The message of the innermost cause, as runtimes wrap what happened, without
 * secrets. Of what is no `Error`, its text.
 */
export function reasonOf(cause: unknown): string {
  return withoutSecrets(causesOf(cause).at(-1)?.message ?? textOf(cause));
}

/** The text, with no user, password, query or fragment in its URLs. */
export function withoutSecrets(text: string): string {
  return text.replace(
    /(?<=:\/\/)\S+/g,
    (url) => url.replace(/^[^/?#]*@/, "").replace(/[?#].*/s, "?…"),
  );
}
