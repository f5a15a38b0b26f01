/**
 * The encoder as a stream.
 *
 * @module
 */

import { encodeEvent, sharedBytes, type SseMessage } from "./encoder.ts";

/**
 * Transforms messages into the bytes of an event stream, the opposite of
 * `SseEventStream`. Use it in `pipeThrough`, as you use `TextEncoderStream`, if
 * you need a stream of bytes and not a `Response`. A `ServerSentEvent` can be
 * written as well.
 *
 * If a message cannot be written, the stream errors with the `TypeError` of
 * `encodeSse`.
 *
 * @example Upload a stream of events
 * ```ts
 * import { SseEncoderStream } from "@x/sse";
 *
 * const body = ReadableStream.from([{ data: "Hello" }, { data: "world" }])
 *   .pipeThrough(new SseEncoderStream());
 *
 * const init = {
 *   method: "POST",
 *   headers: { "Content-Type": "text/event-stream" },
 *   body,
 *   duplex: "half" as const, // Node and browsers require it for a stream.
 * };
 * const response = await fetch("https://example.com/ingest", init);
 * if (!response.ok) throw new Error(`Status ${response.status}`);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass of `TransformStream`: bundlers keep a class that extends a
// global in each bundle, even if nothing uses it.
export class SseEncoderStream
  implements TransformStream<SseMessage, Uint8Array<ArrayBuffer>> {
  /** The side to read from: the bytes of the event stream. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The side to write to: the messages. */
  readonly writable: WritableStream<SseMessage>;

  /** Creates a stream. */
  constructor() {
    let lastEventId: string | undefined;
    const { readable, writable } = new TransformStream<
      SseMessage,
      Uint8Array<ArrayBuffer>
    >({
      transform(message, controller) {
        const bytes = sharedBytes.get(message) ??
          encodeEvent(message, lastEventId);
        lastEventId = message.id ?? lastEventId;
        if (bytes.length > 0) controller.enqueue(bytes);
      },
    });
    this.readable = readable;
    this.writable = writable;
  }
}
