/**
 * The decoder as a stream.
 *
 * @module
 */

import type { SseDecoderOptions } from "./decoder.ts";
import { EventStreamParser } from "./parser.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Transforms the bytes or the text of an event stream into events. Use it in
 * `pipeThrough`, as you use `TextDecoderStream`, if other code works with
 * streams.
 *
 * If an event exceeds `maxEventSize`, the stream errors with an `SseError`
 * `"event-too-large"`. As with any stream that errors, events that have not
 * been read yet are then lost, even those before the error. Use `readSse` if
 * you need each of them, or if your program runs in browsers whose
 * `ReadableStream` is not async iterable.
 *
 * As the standard demands, an unfinished event at the end is dropped.
 *
 * Streams read ahead, so `onComment` may be called before the events that
 * precede the comment have been read.
 *
 * @example Read the body of a response as a stream of events
 * ```ts
 * import { SseEventStream } from "@x/sse";
 *
 * const response = await fetch("https://example.com/events");
 * if (!response.ok) throw new Error(`Status ${response.status}`);
 * const events = response.body!.pipeThrough(new SseEventStream());
 * for await (const event of events) console.log(event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass of `TransformStream`: bundlers keep a class that extends a
// global in each bundle, also if nothing uses it.
export class SseEventStream implements
  TransformStream<
    ArrayBufferLike | ArrayBufferView | string,
    ServerSentEvent
  > {
  /** The side to read from: the events. */
  readonly readable: ReadableStream<ServerSentEvent>;
  /** The side to write to: the bytes or the text of the event stream. */
  readonly writable: WritableStream<
    ArrayBufferLike | ArrayBufferView | string
  >;
  readonly #parser: EventStreamParser;

  /**
   * Creates a stream.
   *
   * @param options The initial id, the limit, and a callback for comments.
   * @throws {RangeError} If `maxEventSize` is less than 1.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    const parser = new EventStreamParser(options);
    const { readable, writable } = new TransformStream<
      ArrayBufferLike | ArrayBufferView | string,
      ServerSentEvent
    >({
      transform(chunk, controller) {
        for (const item of parser.decode(chunk)) {
          if (typeof item === "string") parser.onComment!(item);
          else controller.enqueue(item);
        }
        if (parser.failure) throw parser.failure;
      },
    });
    this.readable = readable;
    this.writable = writable;
    this.#parser = parser;
  }

  /**
   * The last event ID: the newest id that a blank line has completed. As
   * streams read ahead, store the `id` of the event that you have processed
   * instead.
   */
  get lastEventId(): string {
    return this.#parser.lastEventId;
  }

  /**
   * The newest reconnection time in milliseconds that the stream has set with
   * `retry:`. Undefined if it has set none.
   */
  get reconnectionTime(): number | undefined {
    return this.#parser.reconnectionTime;
  }
}
