/**
 * Events to bytes.
 *
 * @module
 */

import { check, checkType } from "./check.ts";
import { ServerSentEvent } from "./server_sent_event.ts";

/** What one block of an event stream says; all of it optional. */
export interface SseMessage {
  /** The event's type, of one line. */
  event?: string | undefined;
  /** The payload. Every line end in it starts a new line of the field. */
  data?: string | undefined;
  /** The last event ID from this event on, of one line; `""` takes it back. */
  id?: string | undefined;
  /** The reconnection time, in whole ms from 0. */
  retry?: number | undefined;
  /** What readers ignore. Every line end in it starts a new comment. */
  comment?: string | undefined;
}

const LINE_END = /\r\n|\r|\n/;

/**
 * Encodes a message as a block of an event stream. Decoding it gives the fields
 * of the message back, with the line ends in `data` as `\n`: nothing in a string
 * can end a field, or an event, and begin another.
 *
 * An `event` without `data` is written with an empty one, since readers dispatch
 * no event without data. A message that says nothing gives `""`.
 *
 * @param message What to write.
 * @returns The block with the blank line that ends it.
 * @throws {TypeError} If a field has the wrong type, `event` or `id` holds a
 * line end, `id` holds a NUL, `retry` is not a whole number from 0, or a string
 * holds a lone surrogate, which UTF-8 cannot carry.
 *
 * @example
 * ```ts
 * import { encodeSse } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   encodeSse({ event: "greeting", id: "7", data: "Hello\nworld" }),
 *   "event: greeting\nid: 7\ndata: Hello\ndata: world\n\n",
 * );
 * assertEquals(encodeSse({ comment: "still here" }), ": still here\n\n");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
export function encodeSse(message: SseMessage): string {
  checkType(
    message,
    "object",
    "a message with event, data, id, retry or comment",
  );
  const { comment, event, id, retry } = message;
  let { data } = message;

  let block = "";
  if (comment !== undefined) block += lines("", "comment", comment);
  if (event !== undefined) {
    const line = oneLine("event", event);
    if (event !== "") data ??= "";
    // What readers take an event for that says nothing.
    if (event !== "" && event !== "message") block += line;
  }
  if (id !== undefined) {
    const line = oneLine("id", id);
    check(!id.includes("\0"), "id without NUL, which readers ignore", id);
    block += line;
  }
  if (retry !== undefined) {
    check(
      Number.isSafeInteger(retry) && retry >= 0,
      "retry to be a whole number of ms from 0",
      retry,
    );
    block += `retry: ${retry}\n`;
  }
  if (data !== undefined) block += lines("data", "data", data);

  check(
    block.isWellFormed(),
    "strings without lone surrogates, which UTF-8 cannot carry",
    block,
  );
  return block && block + "\n";
}

/** A line of each line of `value`. */
function lines(name: string, option: string, value: string): string {
  checkType(value, "string", `${option} to be a string`);
  let text = "";
  for (const line of value.split(LINE_END)) text += `${name}: ${line}\n`;
  return text;
}

function oneLine(name: string, value: string): string {
  checkType(value, "string", `${name} to be a string`);
  check(!LINE_END.test(value), `${name} without line ends`, value);
  return `${name}: ${value}\n`;
}

/**
 * Encodes the messages of one stream. An event that was read says the last event
 * ID whether or not it carried it, so that of those only a new one is written.
 */
export function messageEncoder(): (
  message: SseMessage,
) => Uint8Array<ArrayBuffer> {
  const utf8 = new TextEncoder();
  let lastEventId = "";
  return (message) => {
    if (message instanceof ServerSentEvent && message.id === lastEventId) {
      message = { ...message, id: undefined };
    }
    const bytes = utf8.encode(encodeSse(message));
    lastEventId = message.id ?? lastEventId;
    return bytes;
  };
}

/**
 * Encodes messages as an event stream, the other way round of `SseEventStream`.
 * Events that were read are messages too, and are written on as they came.
 *
 * The stream errors with the `TypeError` of {@linkcode encodeSse} where a
 * message cannot be written.
 *
 * @example
 * ```ts
 * import { SseEncoderStream } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * const body = ReadableStream.from([{ data: "Hello" }, { data: "world" }])
 *   .pipeThrough(new SseEncoderStream());
 *
 * assertEquals(
 *   await new Response(body).text(),
 *   "data: Hello\n\ndata: world\n\n",
 * );
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
export class SseEncoderStream
  extends TransformStream<SseMessage, Uint8Array<ArrayBuffer>> {
  /** Makes a stream. */
  constructor() {
    const encode = messageEncoder();
    super({
      transform(message, controller) {
        const bytes = encode(message);
        if (bytes.length > 0) controller.enqueue(bytes);
      },
    });
  }
}
