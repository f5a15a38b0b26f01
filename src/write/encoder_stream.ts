/**
 * Messages to bytes, as a stream.
 *
 * @module
 */

import { encodeAfter, sharedBytes, type SseMessage } from "./encoder.ts";

/**
 * Encodes messages as an event stream, the other way round of `SseEventStream`.
 * Events that were read are messages too, and are written on as they came.
 *
 * It is used as `TextEncoderStream` is, in `pipeThrough`. It errors with the
 * `TypeError` of `encodeSse` where a message cannot be written.
 *
 * @example
 * ```ts
 * import { SseEncoderStream } from "@x/sse";
 *
 * const body = ReadableStream.from([{ data: "Hello" }, { data: "world" }])
 *   .pipeThrough(new SseEncoderStream());
 *
 * await fetch("https://example.com/ingest", {
 *   method: "POST",
 *   headers: { "Content-Type": "text/event-stream" },
 *   body,
 * });
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass, as `TextEncoderStream` is none: bundlers keep a class that
// extends a global, though nothing uses it.
export class SseEncoderStream
  implements TransformStream<SseMessage, Uint8Array<ArrayBuffer>> {
  /** Where the bytes come out. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Where the messages go in. */
  readonly writable: WritableStream<SseMessage>;

  /** Makes a stream. */
  constructor() {
    let lastEventId: string | undefined;
    const { readable, writable } = new TransformStream<
      SseMessage,
      Uint8Array<ArrayBuffer>
    >({
      transform(message, controller) {
        const bytes = sharedBytes(message) ??
          encodeAfter(lastEventId, message);
        lastEventId = message.id ?? lastEventId;
        if (bytes.length > 0) controller.enqueue(bytes);
      },
    });
    this.readable = readable;
    this.writable = writable;
  }
}
