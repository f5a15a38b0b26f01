/**
 * Messages as logs keep them.
 *
 * @module
 */

import { check, checkType } from "../internal/check.ts";
import {
  dataOf,
  encodeShared,
  encodeSse,
  type SseMessage,
} from "../write/encoder.ts";

/** The fields of a message that are kept, `json` as `data`. */
export type KeptMessage = Pick<
  SseMessage,
  "event" | "data" | "retry" | "comment"
>;

/**
 * What is kept of a message. Whether its fields can be written, only writing
 * them tells.
 *
 * @throws {TypeError} If it says nothing.
 */
export function toKept(message: SseMessage): KeptMessage {
  checkType(message, "object", "a message object");
  const { event, retry, comment } = message;
  const data = dataOf(message);
  check(
    event || [data, retry, comment].some((field) => field !== undefined),
    "a message with event, data, json, retry or comment",
    "none of them",
  );
  return { event, data, retry, comment };
}

/** Returns what is kept of a message, as JSON. Throws if it cannot be written. */
export function toJson(message: SseMessage): string {
  const kept = toKept(message);
  encodeSse(kept);
  return JSON.stringify(kept);
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

/** A random tag, unique to a log or a message. */
export function randomTag(): string {
  let tag = "";
  for (const number of crypto.getRandomValues(new Uint32Array(2))) {
    tag += number.toString(36).padStart(7, "0");
  }
  return tag;
}

/** Throws unless there is a message. */
export function checkMessages(messages: SseMessage[]): void {
  check(messages.length > 0, "a message", "none");
}

/**
 * The property of our own logs with what they have beyond the interface. Logs of
 * another copy of this module have it as well. A change to `LogExtras` needs a new
 * name, because the other copy may be of another version.
 */
export const EXTRAS: unique symbol = /* @__PURE__ */ Symbol.for(
  "@x/sse/event-log extras",
);

/** What `record` and `resume` use of a log if it has it. */
export interface LogExtras {
  /** Returns the id of the newest message. Tries again until it succeeds. */
  lastId(signal: AbortSignal): Promise<string>;
  /** Renews the time of the last append. */
  touch(): Promise<void>;
  /** Appends. If that fails for a while, tries again, and stores nothing twice. */
  appendSafely(messages: [SseMessage, ...SseMessage[]]): Promise<unknown>;
}

/** Returns what a log has beyond the interface, if it is one of ours. */
export function extrasOf(log: object): LogExtras | undefined {
  return (log as { [EXTRAS]?: LogExtras })[EXTRAS];
}
