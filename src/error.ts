/**
 * The error of this module.
 *
 * @module
 */

import { textOf } from "./internal/check.ts";
import { quote } from "./internal/quote.ts";

/**
 * The kind of an {@linkcode SseError}, the same on every runtime. Compare it to
 * decide how your program handles the error:
 *
 * - `"network"`: no response arrived, or the connection failed.
 * - `"status"`: the status of the response is not 2xx.
 * - `"content-type"`: the response is not `text/event-stream`.
 * - `"malformed"`: the response is no event stream, although its content type
 *   says so: it ended without an event, and contains other text.
 * - `"truncated"`: the stream ended before `until` was met.
 * - `"idle-timeout"`: no byte arrived for `idleTimeout` milliseconds.
 * - `"connect-timeout"`: no response headers arrived for `connectTimeout`
 *   milliseconds.
 * - `"event-timeout"`: no event arrived for `eventTimeout` milliseconds.
 * - `"event-too-large"`: an event or a line exceeds `maxEventSize`.
 * - `"rejected"`: your program called `reconnect(error)`. The error is the
 *   `cause`.
 * - `"reconnect-failed"`: `maxAttempts` attempts in a row have failed, or the
 *   last event ID cannot be sent in a request. The last error is the `cause`.
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
  | "malformed"
  | "rejected"
  | "reconnect-failed";

/**
 * The error of a stream that failed: `connectSse` and the iterator over the
 * events throw it. Use its `code` to find out what went wrong:
 * {@linkcode SseErrorCode} lists the codes, which are the same on every
 * runtime. If the server refused the request, `response` and `body` have its
 * answer. The runtime's own error is the `cause`.
 *
 * Other errors are not an `SseError`: an abort throws the signal's reason, a
 * wrong argument or option throws a `TypeError` or a `RangeError`, and an error
 * that `onOpen` or another callback throws is thrown unchanged.
 *
 * If your program may contain two copies of this module, one from JSR and one from
 * npm, compare `error.name`: `instanceof` recognizes errors of its own copy only.
 *
 * @example Show why a server refused a request
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
  /**
   * `"SseError"`. It is a getter of the prototype, so that consoles do not list
   * it among the properties of the error.
   */
  override get name(): string {
    return "SseError";
  }

  /**
   * The kind of the error. Compare it and not the message: messages may change.
   */
  readonly code: SseErrorCode;

  /**
   * The response that the error is about, if one arrived. Its status and
   * headers can be read. The body of a refused response can be read only in
   * `shouldReconnect` and `onReconnect`; the property `body` has the start of
   * it.
   *
   * It is not printed with the error, because its `url` may contain a token.
   */
  get response(): Response | undefined {
    return this.#response;
  }

  readonly #response: Response | undefined;

  /**
   * The start of a refused response's body, decoded as UTF-8: at most 65,536
   * UTF-16 code units, and only what arrived within a second. Errors with the
   * code `"status"` or `"content-type"` have it, and so does a
   * `"reconnect-failed"` that one of them caused. Undefined if the body is
   * locked or was read by another reader.
   *
   * Errors with the code `"malformed"` or `"truncated"` have the first 200
   * characters of the text that is not in the format of an event stream, if
   * there is any.
   */
  declare readonly body?: string;

  /**
   * Creates an error, for example in a test, or in the `input` function of
   * `connectSse` to report an attempt that failed and may be repeated.
   *
   * @param code The kind of the error.
   * @param message A text that says what was expected, what was received and
   * what to do.
   * @param options The cause, the response and the start of its body.
   */
  constructor(
    code: SseErrorCode,
    message: string,
    options: {
      cause?: unknown;
      response?: Response | undefined;
      body?: string | undefined;
    } = {},
  ) {
    super(message, options);
    const { response, body } = options;
    this.code = code;
    this.#response = response;
    if (body !== undefined) this.body = body;
  }
}

/** Makes the error of a stream that cannot reconnect after another error. */
export function reconnectFailed(message: string, cause?: SseError): SseError {
  const { response, body } = cause ?? {};
  return new SseError("reconnect-failed", message, { cause, response, body });
}

/**
 * Whether a value is an `SseError`, also one of another copy of this module, such
 * as that in the bundle of a library.
 */
export function isSseError(error: unknown): error is SseError {
  const { name, code } = (error ?? {}) as Partial<SseError>;
  return name === "SseError" && typeof code === "string";
}

/**
 * Returns the error and its causes, the outermost first. Errors of other realms,
 * and objects such as `{ message: "…" }` in an event, count as well.
 */
export function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  let cause = error as AggregateError | undefined;
  // Causes can form a circle, and no runtime wraps an error ten times.
  while (typeof cause?.message === "string" && causes.length < 10) {
    causes.push(cause);
    // Node's `AggregateError`, for a host with several addresses, has no message.
    cause = cause.errors?.[0] ?? cause.cause;
  }
  return causes;
}

/**
 * Returns the message of the innermost cause, which is the most specific one,
 * without secrets. If it is no `Error`, returns its text.
 */
export function reasonOf(cause: unknown): string {
  const { message } = causesOf(cause).findLast((it) => it.message) ?? {};
  return quote(message ?? textOf(cause));
}
