/**
 * Messages to the text and bytes of an event stream.
 *
 * @module
 */

import { check, checkType } from "../internal/check.ts";

/**
 * What one block of an event stream says; all of it optional.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
export interface SseMessage {
  /** The event's type, of one line. */
  event?: string | undefined;
  /** The payload. Every line end in it starts a new line of the field. */
  data?: string | undefined;
  /**
   * The payload as a value, written as `data` by `JSON.stringify`. Give one of
   * the two: both together throw. The method `json()` of an event that was read
   * does not count.
   */
  json?: unknown;
  /** The last event ID from this event on, of one line; `""` clears it. */
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
 * no event without data. A message that says nothing gives `""`. A comment alone
 * is written without the blank line that ends a block: many clients hand out an
 * empty event there.
 *
 * @param message What to write.
 * @returns The block with the blank line that ends it.
 * @throws {TypeError} If a field has the wrong type, `event` or `id` holds a
 * line end, `id` holds a NUL, `retry` is not a whole number from 0, `json` is
 * given beside `data` or is nothing that JSON can say, or a string holds a lone
 * surrogate, which UTF-8 cannot carry.
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
 * assertEquals(encodeSse({ json: { n: 1 } }), 'data: {"n":1}\n\n');
 * assertEquals(encodeSse({ comment: "still here" }), ": still here\n");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
export function encodeSse(message: SseMessage): string {
  checkType(message, "object", "a message object");
  return encode(message, message.id, message.retry);
}

/** Encodes a message, but for what it says of the stream. */
function encode(
  message: SseMessage,
  id: string | undefined,
  retry: number | undefined,
): string {
  const { comment, event } = message;
  let data = dataOf(message);

  let fields = "";
  if (event !== undefined) {
    const line = oneLine("event", event);
    if (event !== "") {
      data ??= "";
      // Readers assume "message" where no type is given.
      if (event !== "message") fields += line;
    }
  }
  if (id !== undefined) {
    const line = oneLine("id", id);
    check(!id.includes("\0"), "id without NUL", id);
    fields += line;
  }
  if (retry !== undefined) {
    check(
      Number.isSafeInteger(retry) && retry >= 0,
      "retry to be a whole number of ms from 0",
      retry,
    );
    fields += `retry: ${retry}\n`;
  }
  if (data !== undefined) fields += lines("data", "data", data);

  const block = (comment === undefined ? "" : lines("", "comment", comment)) +
    (fields && fields + "\n");
  check(
    block.isWellFormed(),
    "strings without lone surrogates",
    block,
  );
  return block;
}

/** The data of a message, which `json` may stand for. */
export function dataOf({ data, json }: SseMessage): string | undefined {
  if (json === undefined || (data !== undefined && isMethod(json))) return data;
  check(data === undefined, "data or json", "both");
  const text = JSON.stringify(json);
  check(
    text !== undefined,
    "json to be what JSON can say",
    typeof json,
  );
  return text;
}

/** Whether it is `json()`, which events that were read have. */
function isMethod(json: unknown): boolean {
  return typeof json === "function";
}

/** One field line for each line of `value`. */
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

const utf8 = /* @__PURE__ */ new TextEncoder();

/** The bytes of messages that many streams write. */
const shared = /* @__PURE__ */ new WeakMap<
  SseMessage,
  Uint8Array<ArrayBuffer>
>();

/**
 * Encodes a message for all the streams that will write it. It must not change
 * after that.
 */
export function encodeShared(message: SseMessage): Uint8Array<ArrayBuffer> {
  const bytes = utf8.encode(encodeSse(message));
  shared.set(message, bytes);
  return bytes;
}

/** The bytes of a message that was encoded for all streams. */
export function sharedBytes(
  message: SseMessage,
): Uint8Array<ArrayBuffer> | undefined {
  return shared.get(message);
}

/**
 * Encodes a message for a stream that has said a last event ID, or is not known
 * to have said any.
 *
 * An event that was read says the last event ID whether or not it carried it, so
 * that of those only a new one is written. The first one is: a reader that has
 * connected again may hold an id that is no longer the stream's.
 */
export function encodeAfter(
  lastEventId: string | undefined,
  message: SseMessage,
): Uint8Array<ArrayBuffer> {
  checkType(message, "object", "a message object");
  const isEvent = isMethod(message.json);
  const id = isEvent && message.id === lastEventId ? undefined : message.id;
  return utf8.encode(encode(message, id, message.retry));
}
