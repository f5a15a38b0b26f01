/**
 * Writing messages as text and bytes.
 *
 * @module
 */

import { check, checkType } from "../internal/check.ts";

/**
 * A message to write: the fields of one block of an event stream, all of them
 * optional. {@linkcode sseResponse}, the encoders and event logs take it. Set
 * `data` or `json` for the payload, `event` for its type, and `id` if clients
 * are to continue after it.
 *
 * @example Write each kind of message
 * ```ts
 * import { type SseMessage, sseResponse } from "@x/sse";
 *
 * const messages: SseMessage[] = [
 *   { data: "Hello" },
 *   { event: "progress", json: { percent: 50 }, id: "7" },
 *   { retry: 5000 }, // Clients wait for 5 s before they reconnect.
 *   { comment: "Clients ignore this." },
 * ];
 * console.log(await sseResponse(messages).text());
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
export interface SseMessage {
  /**
   * The event's type, without line ends. Without it, clients receive the type
   * `"message"`.
   */
  event?: string | undefined;
  /** The payload, as text. It may have several lines. */
  data?: string | undefined;
  /**
   * The payload as a value, which is written as `data` by `JSON.stringify`. The
   * characters U+0085, U+2028 and U+2029 are escaped, because some clients end
   * a line at them; in `data`, they are written as they are. Set either `data`
   * or `json`: setting both throws. The method `json()` of a `ServerSentEvent`
   * is ignored.
   */
  json?: unknown;
  /**
   * The id of the event, without line ends. A client that reconnects sends the
   * newest id, as `Last-Event-ID`. `""` clears the client's last event ID.
   */
  id?: string | undefined;
  /**
   * The reconnection time in milliseconds, an integer of at least 0: the delay
   * before clients reconnect. It applies from this message on.
   */
  retry?: number | undefined;
  /** A comment, which clients ignore. It may have several lines. */
  comment?: string | undefined;
}

/**
 * Encodes a message as the text of one block of an event stream. Use it if you
 * write to something other than a `Response`; `sseResponse` encodes by itself.
 *
 * Decoding the block returns the fields of the message, with the line ends in
 * `data` as `\n`. Field values cannot inject fields or events.
 *
 * An `event` without `data` is written with empty data, because clients
 * dispatch no event without data. A message without any field is encoded as
 * `""`. A comment alone is written without the blank line that ends a block,
 * because many clients dispatch an empty event when they read one.
 *
 * @param message The message.
 * @returns The encoded message.
 * @throws {TypeError} If a field has the wrong type, `event` or `id` contains a
 * line end, `id` contains a NUL, `retry` is not an integer of at least 0, both
 * `json` and `data` are set, `json` cannot be written as JSON, or a string
 * contains a lone surrogate, which UTF-8 cannot encode.
 *
 * @example Write messages with Node's own server
 * ```ts
 * import type { ServerResponse } from "node:http";
 * import { encodeSse } from "@x/sse";
 *
 * // For `createServer((_request, response) => greet(response))`.
 * export function greet(response: ServerResponse): void {
 *   response.writeHead(200, { "Content-Type": "text/event-stream" });
 *   response.write(encodeSse({ event: "greeting", data: "Hello" }));
 *   response.end(encodeSse({ json: { n: 1 } }));
 * }
 * ```
 *
 * @example See how messages are encoded
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
  return encode(message, message.id);
}

/** Encodes a message with the given id instead of its own. */
function encode(message: SseMessage, id: string | undefined): string {
  const { comment, event, retry } = message;
  let data = dataOf(message);

  let block = "";
  if (event !== undefined) {
    const line = lines("event", event);
    check(!/[\r\n]/.test(event), "event without line ends", event);
    if (event !== "") {
      data ??= "";
      // Clients use "message" if there is no such line.
      if (event !== "message") block += line;
    }
  }
  if (id !== undefined) {
    block += lines("id", id);
    check(!/[\r\n\0]/.test(id), "id without line ends and NUL", id);
  }
  if (retry !== undefined) {
    check(
      Number.isSafeInteger(retry) && retry >= 0,
      "retry to be a whole number of ms from 0",
      retry,
    );
    block += `retry: ${retry}\n`;
  }
  if (data !== undefined) block += lines("data", data);

  if (block !== "") block += "\n";
  if (comment !== undefined) block = lines("", comment, "comment") + block;
  check(block.isWellFormed(), "strings without lone surrogates", block);
  return block;
}

/** Returns the data of a message, or its `json` as text. */
export function dataOf({ data, json }: SseMessage): string | undefined {
  // A `ServerSentEvent` has a method `json`.
  const isEvent = typeof json === "function" && data !== undefined;
  if (json === undefined || isEvent) return data;
  check(data === undefined, "data or json", "both");
  const text = JSON.stringify(json);
  check(text, "json to be a value that JSON can represent", typeof json);
  // Some readers of streams end a line at these.
  return text.replace(/\x85/g, "\\u0085").replace(/\u2028/g, "\\u2028")
    .replace(/\u2029/g, "\\u2029");
}

/** Returns a line with that field name for each line of `value`. */
function lines(name: string, value: string, option = name): string {
  checkType(value, "string", `${option} to be a string`);
  return `${name}: ${value.replace(/\r\n|[\r\n]/g, `\n${name}: `)}\n`;
}

export const utf8: TextEncoder = /* @__PURE__ */ new TextEncoder();

/**
 * The encoded bytes of messages that are sent in many streams. Only
 * `encodeShared` adds to it, for event logs.
 */
export const sharedBytes: WeakMap<SseMessage, Uint8Array<ArrayBuffer>> =
  /* @__PURE__ */ new WeakMap();

/**
 * Encodes a message once for all the streams that will write it. The message must
 * not change after that.
 */
export function encodeShared(message: SseMessage): Uint8Array<ArrayBuffer> {
  const bytes = utf8.encode(encodeSse(message));
  sharedBytes.set(message, bytes);
  return bytes;
}

/**
 * Encodes a message for a stream whose last event ID is `previousId`. Undefined
 * means that it is not known.
 *
 * A parsed event always has the stream's last event ID, so `id:` is written only
 * when it changes. It is written for the first event in any case: a client that
 * has reconnected may have an id that is no longer the stream's.
 */
export function encodeEvent(
  message: SseMessage,
  previousId: string | undefined,
): Uint8Array<ArrayBuffer> {
  checkType(message, "object", "a message object");
  const { id, json } = message;
  const isUnchanged = typeof json === "function" && id === previousId;
  return utf8.encode(encode(message, isUnchanged ? undefined : id));
}
