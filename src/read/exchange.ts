/**
 * One request and the response to it.
 *
 * @module
 */

import { isSseError, reasonOf, SseError } from "../error.ts";
import { check } from "../internal/check.ts";
import { abortable } from "../internal/wait.ts";
import { MAX_TIMER_LATENESS } from "./limits.ts";
import { refusalError, startOfBody } from "./refusal.ts";

/** A chunk of a body, or its end. */
type Chunk = ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;

/**
 * One request and its response. Each attempt to connect has its own, so that
 * nothing of a dead connection can affect the next one.
 */
export class Exchange {
  readonly #controller = new AbortController();
  #response: Response | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;
  /** Whether the whole body was read, so that there is nothing to abort. */
  #isAtEnd = false;

  /** Aborts with the exchange. */
  readonly signal: AbortSignal = this.#controller.signal;
  /** Whether there is a request or a response. */
  isSent: boolean;
  /** Resolves when the body is canceled. Undefined before `abort` is called. */
  canceled: Promise<void> | undefined;

  /** Starts with a response, if there is one already. */
  constructor(response?: Response) {
    this.#response = response;
    this.isSent = Boolean(response);
  }

  /**
   * Sends the request, and waits for the headers of the response. It takes no
   * closure: the stack of an error refers to all closures on it, and with them to
   * the error of the previous attempt, and so on.
   */
  async send<T>(
    send: (argument: T, signal: AbortSignal) => Promise<Response>,
    argument: T,
    timeout: number | undefined,
  ): Promise<Response> {
    const { signal } = this;
    this.isSent = true;
    const stopTimer = this.startTimer(
      "connect-timeout",
      "response headers (connectTimeout, idleTimeout)",
      timeout,
    );
    const sent = send(argument, signal).then((response) => {
      this.#response = response;
      if (signal.aborted) this.abort(); // It arrived too late.
      return response;
    });
    try {
      return await abortable(sent, signal);
    } catch (error) {
      // A fetch may wrap the reason of the abort.
      throw signal.aborted ? signal.reason : error;
    } finally {
      stopTimer?.();
    }
  }

  /**
   * Returns why the response was refused, with the start of its body. The body
   * stays readable.
   */
  async refusal(): Promise<SseError> {
    const response = this.#response!;
    const body = await startOfBody(response, this.signal);
    return refusalError(response, body);
  }

  /** Reads a chunk, which may be empty if there is no `idleTimeout`. */
  read(idleTimeout: number | undefined): Promise<Chunk> {
    const reader = this.#reader ??= this.#openBody();
    // Returns `reader.read()`'s own promise. Wrapping it in an async function
    // costs 15–30% with one event per chunk.
    return idleTimeout
      ? this.#readWithTimeout(reader, idleTimeout)
      : reader.read();
  }

  async #readWithTimeout(
    reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
    idleTimeout: number,
  ): Promise<Chunk> {
    const stopTimer = this.startTimer(
      "idle-timeout",
      "a byte (idleTimeout)",
      idleTimeout,
    );
    try {
      while (true) {
        const chunk = await reader.read();
        if (chunk.value?.byteLength !== 0) return chunk;
      }
    } finally {
      stopTimer?.();
    }
  }

  #openBody(): ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> {
    const { bodyUsed, body } = this.#response!;
    if (bodyUsed || body?.locked) {
      throw new TypeError(
        "Expected a body that is not in use: read its clone()",
      );
    }
    check(
      body === null || typeof body?.getReader === "function",
      "body to be a ReadableStream (in React Native, use expo/fetch)",
      body,
    );
    return (body ?? new Response("").body!).getReader();
  }

  /**
   * Aborts the exchange after `ms`, unless the returned function is called.
   *
   * @param waited The part of that time that has passed already.
   */
  startTimer(
    code: "connect-timeout" | "idle-timeout" | "event-timeout",
    expected: string,
    ms: number | undefined,
    waited = 0,
  ): (() => void) | undefined {
    if (!ms) return undefined;
    const fail = () =>
      this.abort(
        new SseError(
          code,
          `Expected ${expected} within ${ms} ms, but none arrived`,
          { response: this.#response },
        ),
      );
    const left = Math.max(ms - waited, 0);
    const latest = Date.now() + left + MAX_TIMER_LATENESS;
    let timer = setTimeout(() => {
      // A program too busy to fire the timer in time may have been too busy to
      // read as well. What has arrived in the meantime is read first.
      if (Date.now() > latest) timer = setTimeout(fail);
      else fail();
    }, left);
    return () => clearTimeout(timer);
  }

  /**
   * Ends the body, once a read has returned `done`.
   *
   * @throws {unknown} The reason of the abort, if it is what ended the body.
   */
  endBody(): void {
    this.signal.throwIfAborted();
    this.#isAtEnd = true;
  }

  /** Returns the error of a read that failed. */
  readError(cause: unknown): unknown {
    const { signal } = this;
    // In workerd, canceling does not settle a read, but aborting fails it.
    if (signal.aborted) return signal.reason;
    // Such as that of a `fetch` made by `sseFetch`.
    if (!this.#reader || isSseError(cause)) return cause;
    return new SseError(
      "network",
      `Expected more events, but the connection failed: ${reasonOf(cause)}`,
      { response: this.#response, cause },
    );
  }

  /** Aborts the request, and cancels the body of the response. */
  abort(reason?: unknown): void {
    // Canceling settles a pending read at once, as done. It fails if the body has
    // failed or is locked by another reader. A body may be no stream.
    const body = this.#reader ?? this.#response?.body;
    if (body) {
      this.canceled ??= Promise.resolve(body.cancel?.(reason)).catch(() => {});
    }
    // Not after the body's end: a handler in the same process would take it for
    // a client that has left.
    if (!this.#isAtEnd) this.#controller.abort(reason);
  }
}
