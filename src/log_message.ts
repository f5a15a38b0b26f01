/**
 * Messages as logs keep them.
 *
 * @module
 */

import { check, checkType } from "./check.ts";
import { dataOf, encodeShared, encodeSse, type SseMessage } from "./encoder.ts";

/** The fields of a message that are kept, `json` as `data`. */
export type KeptMessage = Pick<
  SseMessage,
  "event" | "data" | "retry" | "comment"
>;

/** Throws where a message cannot be written, or says nothing. */
export function toKept(message: SseMessage): KeptMessage {
  checkType(message, "object", "a message to append");
  const kept: KeptMessage = {};
  const data = dataOf(message);
  if (message.event !== undefined) kept.event = message.event;
  if (data !== undefined) kept.data = data;
  if (message.retry !== undefined) kept.retry = message.retry;
  if (message.comment !== undefined) kept.comment = message.comment;
  check(
    encodeSse(kept) !== "",
    "a message with event, data, json, retry or comment",
    JSON.stringify(message),
  );
  return kept;
}

/** The message as all readers get it, and how many bytes it is when written. */
export function toRead(
  { event, data, retry, comment }: KeptMessage,
  id: string,
): { message: SseMessage; size: number } {
  const message: SseMessage = {};
  if (event !== undefined) message.event = event;
  if (data !== undefined) message.data = data;
  if (event || data !== undefined || retry !== undefined) message.id = id;
  if (retry !== undefined) message.retry = retry;
  if (comment !== undefined) message.comment = comment;
  const size = encodeShared(message).length;
  return { message: Object.freeze(message), size };
}

/** Characters that no other log, or message, has got. */
export function randomTag(): string {
  let tag = "";
  for (const number of crypto.getRandomValues(new Uint32Array(2))) {
    tag += number.toString(36).padStart(7, "0");
  }
  return tag;
}

/** What `append` throws once the log has ended. */
export function endedError(): Error {
  return new Error("Expected a log that goes on, but it has ended");
}
