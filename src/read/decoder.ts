/**
 * Decoding an event stream chunk by chunk.
 *
 * @module
 */

import { EventStreamParser } from "./parser.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Options of {@linkcode SseDecoder} and {@linkcode SseEventStream}: the id to
 * start with, a limit for the size of events, and a callback for comments.
 *
 * @example Reject events that are too large, and show comments
 * ```ts
 * import { SseDecoder } from "@x/sse";
 *
 * const decoder = new SseDecoder({
 *   maxEventSize: 1024 * 1024,
 *   onComment: (comment) => console.log("comment:", comment),
 * });
 * decoder.decode(": connected\n\n");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export interface SseDecoderOptions {
  /**
   * The last event ID at the start: the `id` of events until the stream sets
   * another one. Set it if an earlier connection has read the start of the
   * stream.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A comment or an unknown line counts until its end has arrived. A
   * larger event or line fails with an `SseError` `"event-too-large"`.
   *
   * The limit keeps a faulty server from filling the memory. Lower it if many
   * streams are open at once. `Infinity` removes it.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with the text of each comment. The text does not include the one space
   * that may follow the colon. By default, comments are ignored.
   *
   * Before the call, `decode` has appended the preceding events to its argument
   * `events`. An error that the callback throws is thrown by `decode`.
   */
  onComment?: ((comment: string) => void) | undefined;
}

/**
 * Parses an event stream chunk by chunk. Use it for chunks that come neither
 * from a `Response` nor from a `ReadableStream`; for those, `readSse` and
 * `SseEventStream` are simpler.
 *
 * A chunk may end anywhere: inside a UTF-8 sequence, a field name or a `\r\n`.
 * An event is returned as soon as the first byte of the line end that completes
 * it has arrived.
 *
 * As the standard demands, an unfinished event at the end of the stream is
 * dropped. Call {@linkcode SseDecoder.end} to get it nevertheless.
 *
 * @example Parse chunks from a source of your own
 * ```ts
 * import { SseDecoder } from "@x/sse";
 *
 * const chunks = ["data: Hel", "lo\n\ndata: wor", "ld\nid: 2\n\n"];
 *
 * const decoder = new SseDecoder();
 * for (const chunk of chunks) {
 *   for (const event of decoder.decode(chunk)) console.log(event.data);
 * }
 * console.log(decoder.lastEventId);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class SseDecoder {
  readonly #parser: EventStreamParser;

  /**
   * Creates a decoder.
   *
   * @param options The initial id, the limit, and a callback for comments.
   * @throws {RangeError} If `maxEventSize` is less than 1.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    this.#parser = new EventStreamParser(options);
  }

  /**
   * The last event ID: the newest id that a blank line has completed. `""` if
   * there is none.
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

  /**
   * Prepares for another connection to the same stream: drops the unfinished
   * event and its id, and keeps `lastEventId` and `reconnectionTime`.
   *
   * @example Continue after a lost connection
   * ```ts
   * import { SseDecoder } from "@x/sse";
   * import { assertEquals } from "@std/assert";
   *
   * const decoder = new SseDecoder();
   * decoder.decode("id: 1\ndata: whole\n\nid: 2\ndata: cut o");
   *
   * decoder.reset();
   * assertEquals(decoder.lastEventId, "1");
   * assertEquals(decoder.decode("\n\n"), []);
   * ```
   */
  reset(): void {
    this.#parser.reset();
  }

  /**
   * Decodes the next chunk. Returns the events that the chunk completes.
   *
   * @typeParam Events An array, or any other object with a method `push`.
   * @param chunk The next bytes, or the next part of a text that is already
   * decoded.
   * @param events The array to append the events to, by default a new one. If
   * the call fails, it contains the events that were complete before the error.
   * @returns `events`, with the events that this chunk completed.
   * @throws {SseError} `"event-too-large"` if an event exceeds `maxEventSize`.
   * After this error, and after an error that `onComment` or `push` throws,
   * call {@linkcode SseDecoder.reset} before you use the decoder again.
   * @throws {TypeError} If `chunk` is neither a string nor bytes, or if an earlier
   * call failed and `reset` was not called.
   */
  decode<
    Events extends { push(event: ServerSentEvent): unknown } =
      ServerSentEvent[],
  >(
    chunk: ArrayBufferLike | ArrayBufferView | string,
    events?: Events,
  ): Events {
    const parser = this.#parser;
    const items = parser.decode(chunk);
    const { onComment, failure } = parser;
    // Without `onComment`, there are no comments among the items.
    let completed = items as unknown as Events;
    if (events !== undefined || onComment !== undefined) {
      completed = events ?? [] as unknown as Events;
      try {
        for (const item of items) {
          if (typeof item === "string") onComment!(item);
          else completed.push(item);
        }
      } catch (error) {
        parser.failure = error;
        throw error;
      }
    }
    if (failure !== undefined) throw failure;
    return completed;
  }

  /**
   * Ends the stream: returns the unfinished event as if the end of the stream
   * were its blank line, and resets the decoder. Use it for servers that end
   * their streams without the last blank line.
   *
   * An unfinished `data` line is used, so check the data, which may have been
   * cut off. Any other unfinished line is ignored, because a cut-off id, for
   * example, can look like a valid one. `lastEventId` does not change, because
   * no blank line completed the event. The event's `id` is the one that its
   * lines have set, or else `lastEventId`.
   *
   * @returns The event, or undefined if there is none that has data.
   * @throws {TypeError} If an earlier call failed, and `reset` was not called.
   *
   * @example Get an event whose blank line is missing
   * ```ts
   * import { SseDecoder } from "@x/sse";
   * import { assertEquals } from "@std/assert";
   *
   * const decoder = new SseDecoder();
   * assertEquals(decoder.decode("data: [DONE]"), []);
   * assertEquals(decoder.end()?.data, "[DONE]");
   * ```
   */
  end(): ServerSentEvent | undefined {
    const event = this.#parser.end();
    this.#parser.reset();
    return event;
  }
}
