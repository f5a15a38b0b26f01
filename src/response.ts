/**
 * A response that streams messages.
 *
 * @module
 */

import { check, checkTimeout, checkType } from "./check.ts";
import { encodeSse, messageEncoder, type SseMessage } from "./encoder.ts";

/** As for a `Response`, and how to keep it alive. */
export interface SseResponseInit extends ResponseInit {
  /**
   * After how many ms without a message to write a comment, so that no proxy
   * takes the connection for dead. Off by default.
   */
  heartbeat?: number;
}

const DEFAULT_HEADERS = {
  "Content-Type": "text/event-stream",
  // Caches keep a copy at most to ask whether it still holds, and compress
  // nothing, which would hold events back.
  "Cache-Control": "no-cache, no-transform",
  // Has nginx pass events on as they come.
  "X-Accel-Buffering": "no",
};

/**
 * Answers a request with an event stream. The source is asked for a message only
 * when the client takes it, and its `return()` is called when the client goes,
 * so that the `finally` blocks of a generator run.
 *
 * A generator cannot be ended while it awaits something: one that passes on what
 * comes from elsewhere lets go only with the next message. Give the connection or
 * stream itself, or pipe it through a `TransformStream`.
 *
 * Where the source fails, the connection is cut: the client sees an error, not
 * an end, and can reconnect.
 *
 * @param source The messages. Events that were read are messages too.
 * @param init Status, headers and heartbeat. Headers given here replace
 * `Content-Type`, `Cache-Control` and `X-Accel-Buffering`, which are set so that
 * nothing on the way caches, compresses or holds back.
 * @returns The response.
 * @throws {TypeError} If the source cannot be iterated, or is a locked stream.
 * @throws {RangeError} If `heartbeat` is not a positive number, or the status is
 * none that a body can have.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * function handler(_request: Request): Response {
 *   return sseResponse(countdown(), { heartbeat: 15_000 });
 * }
 *
 * async function* countdown() {
 *   for (const n of [3, 2, 1]) yield { id: String(n), data: `${n} …` };
 * }
 *
 * const response = handler(new Request("https://example.com/"));
 * assertEquals(response.headers.get("Content-Type"), "text/event-stream");
 * assertEquals(
 *   await response.text(),
 *   "id: 3\ndata: 3 …\n\nid: 2\ndata: 2 …\n\nid: 1\ndata: 1 …\n\n",
 * );
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes}
 */
export function sseResponse(
  source:
    | AsyncIterable<SseMessage>
    | Iterable<SseMessage>
    | ReadableStream<SseMessage>,
  init: SseResponseInit = {},
): Response {
  const heartbeat = checkTimeout("heartbeat", init.heartbeat);
  const headers = new Headers(init.headers);
  for (const [name, value] of Object.entries(DEFAULT_HEADERS)) {
    if (!headers.has(name)) headers.set(name, value);
  }
  const body = streamOf(iterate(source), heartbeat);
  try {
    return new Response(body, { ...init, headers });
  } catch (error) {
    body.cancel().catch(() => {});
    throw error;
  }
}

/** Where messages come from, and how to let go of it. */
interface Source {
  next(): Promise<IteratorResult<SseMessage>> | IteratorResult<SseMessage>;
  return?(): unknown;
}

function iterate(source: Parameters<typeof sseResponse>[0]): Source {
  if (source instanceof ReadableStream) {
    // Not all runtimes can iterate over one.
    const reader = source.getReader();
    return {
      next: () => reader.read() as Promise<IteratorResult<SseMessage>>,
      return: () => reader.cancel(),
    };
  }
  const expected = "a source of messages (an iterable or a ReadableStream)";
  checkType(source, "object", expected);
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  check(Symbol.iterator in source, expected, typeof source);
  const iterator = source[Symbol.iterator]();
  return {
    // As `for await` has it, which waits for promises.
    async next() {
      const { done, value } = iterator.next();
      return { done, value: await value };
    },
    return: () => iterator.return?.(),
  };
}

function streamOf(
  source: Source,
  heartbeat: number | undefined,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encode = messageEncoder();
  const beat = new TextEncoder().encode(encodeSse({ comment: "" }));
  let timer: ReturnType<typeof setInterval> | undefined;
  let cancelled = false;

  return new ReadableStream({
    async pull(controller) {
      // Only while the client waits: one that is slow has enough to read.
      if (heartbeat !== undefined) {
        timer = setInterval(() => {
          if (controller.desiredSize === 0) controller.enqueue(beat);
        }, heartbeat);
      }
      try {
        while (true) {
          const { done, value } = await source.next();
          if (cancelled) return;
          if (done) return controller.close();
          const bytes = encode(value);
          if (bytes.length > 0) return controller.enqueue(bytes);
        }
      } catch (error) {
        // Where the message was at fault, the source does not know of it.
        if (!cancelled) letGo(source).catch(() => {});
        throw error;
      } finally {
        clearInterval(timer);
      }
    },
    cancel() {
      cancelled = true;
      clearInterval(timer);
      return letGo(source);
    },
  }, { highWaterMark: 0 });
}

async function letGo(source: Source): Promise<void> {
  await source.return?.();
}
