/**
 * The decoder as a stream.
 *
 * @module
 */

import { SseDecoder, type SseDecoderOptions } from "./decoder.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Decodes an event stream, used as `TextDecoderStream` is; bytes go straight
 * in, and so do strings.
 *
 * The stream errors with an `SseError` `"event-too-large"` where an event
 * exceeds `maxEventSize`. What was not yet read is dropped then, as it is from any
 * stream that errors. A `for await` loop still gets the events before it. An
 * unfinished event at the end is dropped, as the standard demands.
 *
 * `onComment` is called once the events before the comment are on their way.
 * Streams read ahead, so those of the same chunk may be read later than that.
 *
 * @example
 * ```ts
 * import { SseEventStream } from "@x/sse";
 *
 * const response = await fetch("https://example.com/events");
 * const events = response.body!.pipeThrough(new SseEventStream());
 * for await (const event of events) console.log(event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass of `TransformStream`, as `TextDecoderStream` is none either:
// bundlers keep a class that extends a global, even where nothing uses it.
export class SseEventStream implements
  TransformStream<
    ArrayBufferLike | ArrayBufferView | string,
    ServerSentEvent
  > {
  /** Where the events come out. */
  readonly readable: ReadableStream<ServerSentEvent>;
  /** Where the bytes go in. */
  readonly writable: WritableStream<
    ArrayBufferLike | ArrayBufferView | string
  >;
  readonly #decoder: SseDecoder;

  /**
   * Makes a stream.
   *
   * @param options The limit, the first id, and who hears comments.
   * @throws {RangeError} If `maxEventSize` is neither a positive whole number
   * nor `Infinity`.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    const { onComment } = options;
    let controller: TransformStreamDefaultController<ServerSentEvent>;
    let decoded: ServerSentEvent[] = [];
    const loop = eagerLoop();

    function deliver(events: ServerSentEvent[]): void {
      for (const event of loop.take(events)) controller.enqueue(event);
    }

    const decoder = new SseDecoder({
      ...options,
      onComment: onComment && ((comment) => {
        deliver(decoded.splice(0));
        onComment(comment);
      }),
    });
    const { readable, writable } = new TransformStream<
      ArrayBufferLike | ArrayBufferView | string,
      ServerSentEvent
    >({
      start(it) {
        controller = it;
      },
      transform(chunk) {
        try {
          decoder.decode(chunk, decoded);
        } finally {
          deliver(decoded);
          decoded = [];
        }
      },
    });
    const values = (options?: { preventCancel?: boolean }) =>
      loop.start(readable, options?.preventCancel);
    this.readable = Object.defineProperties(readable, {
      values: { value: values },
      [Symbol.asyncIterator]: { value: values },
    });
    this.writable = writable;
    this.#decoder = decoder;
  }

  /** The last event ID: the newest one that a blank line has confirmed. */
  get lastEventId(): string {
    return this.#decoder.lastEventId;
  }

  /** The newest reconnection time of the stream, in ms. */
  get reconnectionTime(): number | undefined {
    return this.#decoder.reconnectionTime;
  }
}

/**
 * The iterator of a stream. It takes all events of a chunk at once. The
 * platform's own asks the stream for each, which costs several times more.
 */
function eagerLoop() {
  /**
   * Where events go when they come. While "passing", to the stream, as nobody
   * loops or several calls wait. Once "asked", the first to the stream, which
   * answers the one call that waits, and the others to `rest`. Once "answered",
   * to `rest`.
   */
  let state: "passing" | "asked" | "answered" = "passing";
  /**
   * What is yet to be handed out, in reverse, so that `pop` gives the first.
   * Nothing is kept longer: an event costs half where the garbage collector
   * finds it young.
   */
  let rest: ServerSentEvent[] = [];
  /** How many calls wait for the stream. */
  let waiting = 0;

  /**
   * Takes events that have come.
   *
   * @returns What the stream has to hand out itself.
   */
  function take(events: ServerSentEvent[]): ServerSentEvent[] {
    if (state === "passing" || events.length === 0) return events;
    events.reverse();
    if (state === "asked") {
      state = "answered";
      rest = events;
      return [events.pop()!];
    }
    // More of the same chunk, after a comment.
    rest = events.concat(rest);
    return [];
  }

  /** Begins, as `ReadableStream.values` does. */
  function start(
    stream: ReadableStream<ServerSentEvent>,
    preventCancel = false,
  ): AsyncIterableIterator<ServerSentEvent> & AsyncDisposable {
    let reader: ReadableStreamDefaultReader<ServerSentEvent> | undefined =
      stream.getReader();
    let newest: Promise<IteratorResult<ServerSentEvent>> | undefined;

    const end = () => {
      if (reader === undefined) return;
      reader.releaseLock();
      reader = undefined;
      state = "passing";
      rest = [];
    };
    const onRead = (result: ReadableStreamReadResult<ServerSentEvent>) => {
      waiting--;
      if (result.done) end();
      return result as IteratorResult<ServerSentEvent>;
    };
    const onFail = (error: unknown) => {
      waiting--;
      end();
      throw error;
    };
    return {
      next() {
        if (reader === undefined) {
          return Promise.resolve({ done: true as const, value: undefined });
        }
        const value = rest.pop();
        if (value !== undefined) {
          return Promise.resolve({ done: false, value });
        }
        // What `rest` holds would be lost to who reads the stream after this.
        state = preventCancel || waiting > 0 ? "passing" : "asked";
        waiting++;
        return newest = reader.read().then(onRead, onFail);
      },
      /** Cancels the stream, or with `preventCancel` waits for the newest call. */
      async return(value?: undefined) {
        if (preventCancel) await newest?.catch(() => {});
        const cancelled = preventCancel ? undefined : reader?.cancel();
        end();
        await cancelled;
        return { done: true, value };
      },
      async [Symbol.asyncDispose]() {
        await this.return!();
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  return { take, start };
}
