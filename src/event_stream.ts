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
 * exceeds `maxEventSize`, and as streams do then, drops what was not yet read. An
 * unfinished event at the end is dropped, as the standard demands.
 *
 * `onComment` is called once the events before the comment are enqueued. Streams
 * read ahead, so those of the same chunk may be read later than that.
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
export class SseEventStream extends TransformStream<
  ArrayBufferLike | ArrayBufferView | string,
  ServerSentEvent
> {
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
    let enqueue: () => void;
    const decoder = new SseDecoder({
      ...options,
      onComment: onComment && ((comment) => {
        enqueue();
        onComment(comment);
      }),
    });
    super({
      transform(chunk, controller) {
        const events: ServerSentEvent[] = [];
        enqueue = () => {
          for (const event of events.splice(0)) controller.enqueue(event);
        };
        decoder.decode(chunk, events);
        enqueue();
      },
    });
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
