/**
 * What went wrong with a stream of server-sent events.
 *
 * @module
 */

/**
 * What an {@linkcode SseError} is about, the same on every runtime:
 *
 * - `"network"`: no response came, or the connection broke.
 * - `"status"`: the response's status is outside 2xx, or says that there is no
 *   stream: 204 and 205, of which only `shouldReconnect` is told.
 * - `"content-type"`: the response is not `text/event-stream`.
 * - `"event-too-large"`: an event or a line exceeds `maxEventSize`.
 * - `"idle-timeout"`: not a byte came for `idleTimeout` ms.
 * - `"connect-timeout"`: no response headers came for `connectTimeout` ms.
 * - `"truncated"`: the stream ended and `until` had not been met.
 * - `"reconnect-failed"`: `maxAttempts` were used up; the last error is the
 *   `cause`.
 */
export type SseErrorCode =
  | "network"
  | "status"
  | "content-type"
  | "event-too-large"
  | "idle-timeout"
  | "connect-timeout"
  | "truncated"
  | "reconnect-failed";

/** What a new {@linkcode SseError} may carry beside its code and message. */
export interface SseErrorOptions extends ErrorOptions {
  /** The response that the error is about, where one came. */
  response?: Response;
}

/**
 * The error of this module. Tell errors apart by their `code`; the runtime's
 * own error, which differs from runtime to runtime, is the `cause`.
 *
 * @example
 * ```ts
 * import { connectSse, SseError } from "@x/sse";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const sse = await connectSse("https://example.com/events", {
 *   fetch: () => new Response("Who are you?", { status: 401 }),
 * });
 * const error = await assertRejects(() => sse.next(), SseError);
 * assertEquals(error.code, "status");
 * assertEquals(await error.response?.text(), "Who are you?");
 * ```
 */
export class SseError extends Error {
  static {
    // On the prototype, as the platform's own errors have it.
    this.prototype.name = "SseError";
  }

  /** What the error is about. */
  readonly code: SseErrorCode;

  /**
   * The response that the error is about, where one came. After a `"status"` or
   * `"content-type"` its body can be read, unless the connection was closed, as
   * the end of an `await using` scope does.
   */
  declare readonly response?: Response;

  /**
   * Makes an error.
   *
   * @param code What the error is about.
   * @param message What was expected, what came, and what to do.
   * @param options The cause and the response, where there are any.
   */
  constructor(
    code: SseErrorCode,
    message: string,
    options?: SseErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    if (options?.response !== undefined) this.response = options.response;
  }
}

/** What `cause` says: the innermost one, where runtimes wrap what happened. */
export function reasonOf(cause: unknown): string {
  while (cause instanceof Error && cause.cause instanceof Error) {
    cause = cause.cause;
  }
  return cause instanceof Error ? cause.message : String(cause);
}
