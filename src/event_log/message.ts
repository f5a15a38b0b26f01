/**
 * Messages in the form in which logs store them.
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
import type { EventLog } from "./event_log.ts";

/** The fields of a message that are stored. `json` is stored as `data`. */
export type StoredMessage = Pick<
  SseMessage,
  "event" | "data" | "retry" | "comment"
>;

/**
 * Returns the fields of a message that are stored. Does not check whether they
 * can be encoded: `encodeSse` does.
 *
 * @throws {TypeError} If the message has none of these fields.
 */
export function toStored(message: SseMessage): StoredMessage {
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

/**
 * Returns the stored fields of a message as JSON. Throws if they cannot be
 * encoded.
 */
export function toJson(message: SseMessage): string {
  const stored = toStored(message);
  encodeSse(stored);
  return JSON.stringify(stored);
}

/** Returns the message that all readers get, and its encoded size in bytes. */
export function fromStored(
  { event, data, retry, comment }: StoredMessage,
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

/** The length of what {@linkcode randomTag} returns. */
export const TAG_LENGTH = 14;

/** Returns a random tag that no other log and no other append has. */
export function randomTag(): string {
  let tag = "";
  for (const number of crypto.getRandomValues(new Uint32Array(2))) {
    tag += number.toString(36).padStart(7, "0");
  }
  return tag;
}

/**
 * The key of the internal methods that the logs of this package have in
 * addition to `EventLog`. Logs of another copy of this module have it as well.
 * A change to `LogExtras` needs a new name, because the other copy may be of
 * another version.
 */
export const EXTRAS: unique symbol = /* @__PURE__ */ Symbol.for(
  "@x/sse/event-log extras",
);

/** The internal methods of this package's logs, for `record` and `resume`. */
export interface LogExtras {
  /** Returns the id of the newest message. Tries again until it succeeds. */
  lastId(signal: AbortSignal): Promise<string>;
  /** Renews the log: sets the time of the last append to now. */
  touch(): Promise<void>;
  /**
   * Appends messages. Retries temporary failures, and stores no message twice.
   */
  appendSafely(messages: SseMessage[]): Promise<unknown>;
}

/** Returns the internal methods of a log, or replacements if it has none. */
export function extrasOf(log: EventLog): LogExtras {
  return (log as { [EXTRAS]?: LogExtras })[EXTRAS] ?? {
    lastId: async () => (await log.status()).lastId,
    touch: () => Promise.resolve(),
    appendSafely: (messages) => {
      const [first, ...more] = messages.map(toStored);
      return log.append(first, ...more);
    },
  };
}
