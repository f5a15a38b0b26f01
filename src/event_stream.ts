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
 * exceeds `maxEventSize`. As streams do then, it drops what was not yet read; a
 * `for await` loop gets the events before it. An unfinished event at the end is
 * dropped, as the standard demands.
 *
 * `onComment` is called once the events before the comment are on their way.
 * Streams read ahead, so those of the same chunk may be read later than that.
 *
 * @example
 * ```ts
 * import { SseEventStream } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * const { body } = new Response("data: Hello\n\ndata: world\n\n");
 *
 * const words: string[] = [];
 * for await (const event of body!.pipeThrough(new SseEventStream())) {
 *   words.push(event.data);
 * }
 * assertEquals(words, ["Hello", "world"]);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass, as `TextDecoderStream` is none: bundlers keep a class that
// extends a global, though nothing uses it.
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
    let iterator: EventIterator | undefined;
    let decoded: ServerSentEvent[] = [];

    function deliver(events: ServerSentEvent[]): void {
      if (iterator !== undefined) iterator.add(events, controller);
      else for (const event of events) controller.enqueue(event);
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
        decoded = [];
        try {
          decoder.decode(chunk, decoded);
        } finally {
          deliver(decoded);
        }
      },
    });
    const values = (options?: { preventCancel?: boolean }) => {
      const values = new EventIterator(readable, options?.preventCancel);
      // What it holds would be lost to whoever reads on after it.
      if (!options?.preventCancel) iterator = values;
      return values;
    };
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
 * What `for await` asks for the events of a stream. It takes those of a chunk at
 * once: the stream's own asks it for each by itself, at several times the cost.
 */
class EventIterator implements AsyncIterableIterator<ServerSentEvent> {
  readonly #reader: ReadableStreamDefaultReader<ServerSentEvent>;
  readonly #preventCancel: boolean;
  /** What came at once, and how many of it are handed out. */
  #events: ServerSentEvent[] = [];
  #handedOut = 0;
  /** How many calls wait, and the promise of the newest. */
  #waiting = 0;
  #newestResult: Promise<unknown> | undefined;
  #isOver = false;

  constructor(stream: ReadableStream<ServerSentEvent>, preventCancel = false) {
    this.#reader = stream.getReader();
    this.#preventCancel = preventCancel;
  }

  /** Takes the events, and wakes who waits by the first of them. */
  add(
    events: ServerSentEvent[],
    controller: TransformStreamDefaultController<ServerSentEvent>,
  ): void {
    if (events.length === 0) return;
    if (this.#handedOut < this.#events.length) {
      this.#events.push(...events);
    } else {
      this.#events = events;
      this.#handedOut = 0;
      controller.enqueue(events[0]);
    }
  }

  next(): Promise<IteratorResult<ServerSentEvent>> {
    if (this.#waiting === 0 && this.#handedOut < this.#events.length) {
      const value = this.#events[this.#handedOut++];
      return Promise.resolve({ done: false, value });
    }
    const read = () => this.#read();
    const result = this.#waiting++ === 0
      ? read()
      : this.#newestResult!.then(read, read);
    this.#newestResult = result;
    return result;
  }

  /** Ends at once: a call that waits is answered with the end. */
  async return(reason?: unknown): Promise<IteratorResult<ServerSentEvent>> {
    this.#events = [];
    const cancelled = this.#isOver || this.#preventCancel
      ? undefined
      : this.#reader.cancel(reason);
    this.#end();
    await cancelled;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #read(): Promise<IteratorResult<ServerSentEvent>> {
    try {
      if (this.#handedOut < this.#events.length) {
        return { done: false, value: this.#events[this.#handedOut++] };
      }
      if (this.#isOver) return { done: true, value: undefined };
      const { done, value } = await this.#reader.read();
      if (done) {
        this.#end();
        return { done, value: undefined };
      }
      // The first of those taken, or what somebody before has left.
      if (value === this.#events[0]) this.#handedOut = 1;
      return { done, value };
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  #end(): void {
    this.#isOver = true;
    this.#reader.releaseLock();
  }
}
