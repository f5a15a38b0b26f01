/**
 * One request and the response to it.
 *
 * @module
 */

import { check, MAX_TIMER_DELAY } from "../internal/check.ts";
import { reasonOf, SseError, withoutSecrets } from "../error.ts";

/** Reads the body of a response. */
type Reader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** How much of a refusal is read (bytes, ms) and quoted (characters). */
const MAX_BODY_LENGTH = 65_536;
const MAX_BODY_TIME = 1000;
const MAX_QUOTE_LENGTH = 200;

/**
 * One request and its response: sent, read, timed, and let go of. Each attempt
 * to connect has its own, so that nothing of a dead one can touch the next.
 */
export class Exchange {
  readonly #controller = new AbortController();
  #response: Response | undefined;
  /** From the first read on. */
  #reader: Reader | undefined;
  #refusal: Promise<SseError> | undefined;
  /** Whether the whole body was read, so that nothing is left to give up. */
  #atEnd = false;

  /** Settles once the body is cancelled; undefined until that begins. */
  cancelled: Promise<void> | undefined;

  /** Takes the response, where there is one already. */
  constructor(response?: Response) {
    this.#response = response;
  }

  /** Aborted once this is released. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the body has been read from. */
  get isRead(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether `refusal` was called. */
  get hasRefusal(): boolean {
    return this.#refusal !== undefined;
  }

  /** Sends the request, and waits for the response's headers. */
  async send(
    send: (signal: AbortSignal) => Promise<Response>,
    timeout: number | undefined,
  ): Promise<Response> {
    const { signal } = this.#controller;
    const stopClock = this.startClock(
      "connect-timeout",
      "response headers (connectTimeout, by default idleTimeout)",
      timeout,
    );
    try {
      const response = await this.unlessReleased(send(signal), dispose);
      if (signal.aborted) dispose(response);
      signal.throwIfAborted();
      return this.#response = response;
    } catch (error) {
      // A fetch may wrap the reason that it was aborted with.
      throw signal.aborted ? signal.reason : error;
    } finally {
      stopClock?.();
    }
  }

  /** Settles as `promise` does, or rejects at once with why this was released. */
  unlessReleased<T>(
    promise: Promise<T>,
    onLate?: (value: T) => void,
  ): Promise<T> {
    const { signal } = this.#controller;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort);
      promise.then((value) => {
        signal.removeEventListener("abort", onAbort);
        if (signal.aborted) onLate?.(value);
        else resolve(value);
      }, reject);
    });
  }

  /** Waits; rejects once this is released. */
  async sleep(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.unlessReleased(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, Math.min(ms, MAX_TIMER_DELAY));
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Why the response was refused, with the start of its body. Where `keep` is
   * set, the body can still be read afterwards.
   */
  refusal(keep: boolean): Promise<SseError> {
    return this.#refusal ??= this.#refuse(keep);
  }

  async #refuse(keep: boolean): Promise<SseError> {
    const response = this.#response!;
    const body = await startOfBody(response, keep, this.#controller.signal);
    return refusalError(response, body);
  }

  /**
   * Reads a chunk, which may be empty. This is `reader.read()`'s own promise, as
   * an async function for each chunk would cost a fifth of the whole.
   */
  read(
    idleTimeout: number | undefined,
  ): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>> {
    const reader = this.#reader ??= this.#open();
    return idleTimeout === undefined
      ? reader.read()
      : this.#readInTime(reader, idleTimeout);
  }

  /** Reads a chunk, which is not empty. */
  async #readInTime(
    reader: Reader,
    idleTimeout: number,
  ): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>> {
    const stopClock = this.startClock(
      "idle-timeout",
      "a byte (idleTimeout)",
      idleTimeout,
    );
    try {
      while (true) {
        const result = await reader.read();
        if (result.done || !isEmpty(result.value)) return result;
      }
    } finally {
      stopClock?.();
    }
  }

  /**
   * Releases the exchange with an error after `ms`, unless the function it
   * returns is called before.
   */
  startClock(
    code: "connect-timeout" | "idle-timeout" | "event-timeout",
    expected: string,
    ms: number | undefined,
  ): (() => void) | undefined {
    if (ms === undefined) return undefined;
    const fail = () =>
      this.release(
        new SseError(
          code,
          `Expected ${expected} within ${ms} ms, but none came`,
          { response: this.#response },
        ),
      );
    const start = Date.now();
    let timer = setTimeout(() => {
      // Where the program was too busy to be called in time, it may have been
      // too busy to read as well: what has come by now is read first.
      const isLate = Date.now() - start > ms + 50;
      if (isLate) timer = setTimeout(fail);
      else fail();
    }, ms);
    return () => clearTimeout(timer);
  }

  /** Called at the body's end: gives the reason, where a release ended it. */
  reachEnd(): unknown {
    const { signal } = this.#controller;
    if (signal.aborted) return signal.reason;
    this.#atEnd = true;
  }

  /** The error of a read that failed. */
  readError(cause: unknown): unknown {
    const { signal } = this.#controller;
    // In workerd, to cancel does not settle a read: to abort then breaks it.
    if (signal.aborted) return signal.reason;
    if (this.#reader === undefined) return cause;
    return new SseError(
      "network",
      `Expected the stream to go on, but it broke: ${reasonOf(cause)}`,
      { response: this.#response, cause },
    );
  }

  #open(): Reader {
    const { bodyUsed, body } = this.#response!;
    if (bodyUsed || body?.locked) {
      throw new TypeError(
        "Expected a response whose body nobody reads: read its clone()",
      );
    }
    check(
      !body || typeof body.getReader === "function",
      "a response's body to be a ReadableStream",
      body,
    );
    return (body ?? new Response("").body!).getReader();
  }

  /** Lets go of the request and of the response to it. */
  release(reason?: unknown): void {
    // Cancelling settles a pending read at once, as done.
    if (this.#reader !== undefined) {
      this.cancelled ??= this.#reader.cancel(reason).catch(() => {});
    } else if (this.#response !== undefined) {
      this.cancelled ??= dispose(this.#response);
    }
    // Not after the body's end: a handler in process would think its client left.
    if (!this.#atEnd) this.#controller.abort(reason);
  }
}

/** Whether the chunk is empty. Some sources give text. */
function isEmpty(
  chunk: { byteLength?: number; length?: number } | null | undefined,
): boolean {
  return (chunk?.byteLength ?? chunk?.length) === 0;
}

/** Whether the response is no event stream. */
export function isRefused(
  response: Response,
  anyContentType?: boolean,
): boolean {
  return !hasGoodStatus(response) || !anyContentType &&
      !contentTypes(response).includes("text/event-stream");
}

function hasGoodStatus(response: Response): boolean {
  const { status } = response;
  return status >= 200 && status < 300 && !saysNoStream(response);
}

/** Whether the status says that there is no stream, and will be none. */
export function saysNoStream({ status }: Response): boolean {
  return status === 204 || status === 205;
}

/** The MIME essence of each item of the response's `Content-Type`. */
export function contentTypes({ headers }: Response): string[] {
  const value = headers.get("Content-Type") ?? "";
  // Parameters may be quoted, and hold commas and semicolons then. A quote that
  // is never closed goes to the end, so that this takes linear time.
  const unquoted = value.replace(/"(?:[^"\\]|\\.)*"?/g, "");
  return unquoted.split(",").map((type) =>
    type.split(";", 1)[0].trim().toLowerCase()
  );
}

/** The error of a refused response, which quotes its body. */
export function refusalError(response: Response, body?: string): SseError {
  const { status, statusText, headers } = response;
  const code = hasGoodStatus(response) ? "content-type" : "status";
  const message = code === "status"
    ? `Expected a status of 2xx, got ${`${status} ${statusText}`.trim()}`
    : "Expected the content type text/event-stream (or anyContentType), got " +
      withoutSecrets(headers.get("Content-Type") ?? "none");
  const quote = quoted(body);
  return new SseError(code, message + (quote && `: ${quote}`), {
    response,
    body,
  });
}

/** The start of what a body says, on one line. */
function quoted(body = ""): string {
  const text = withoutSecrets(body.slice(0, 2000).replace(/\s+/g, " ").trim());
  return text.length > MAX_QUOTE_LENGTH
    ? text.slice(0, MAX_QUOTE_LENGTH) + "…"
    : text;
}

/** The start of what a response says, or undefined where somebody reads it. */
export async function startOfBody(
  response: Response,
  keep: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  let reader: Reader | undefined;
  try {
    reader = (keep ? response.clone() : response).body?.getReader();
  } catch {
    return undefined;
  }
  if (reader === undefined) return "";
  const stop = () => void reader.cancel().catch(() => {});
  const timer = setTimeout(stop, MAX_BODY_TIME);
  signal.addEventListener("abort", stop);
  const utf8 = new TextDecoder();
  let text = "";
  let room = MAX_BODY_LENGTH;
  try {
    while (room > 0) {
      const { done, value } = await reader.read();
      if (done) break;
      text += utf8.decode(value.subarray(0, room), { stream: true });
      room -= value.length;
    }
  } catch {
    // The connection broke: what came until then has to do.
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    stop();
  }
  return text;
}

/** Cancels the body of a response that nobody reads. */
async function dispose(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // It has failed already, or somebody reads it.
  }
}
