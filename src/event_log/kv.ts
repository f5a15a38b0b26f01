/**
 * An event log on Deno KV: the entry point `@x/sse/event-log/kv`. Start Deno with
 * `--unstable-kv`. Without this flag, `Deno.openKv` does not exist.
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { resume } from "@x/sse/event-log";
 * import { KvEventLog } from "@x/sse/event-log/kv";
 *
 * function newsHandler(kv: Deno.Kv) {
 *   const log = new KvEventLog(kv, ["news"]);
 *   return (request: Request) =>
 *     sseResponse(resume(log, request), { heartbeat: 15_000 });
 * }
 * ```
 *
 * @see {@link https://docs.deno.com/deploy/kv/}
 *
 * @module
 */

import { check, checkType, functionOption } from "../internal/check.ts";
import { wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogEndedError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import { EXTRAS, type LogExtras } from "./message.ts";
import { isProgramError, messageOf } from "./retry.ts";
import {
  BEFORE,
  limitOption,
  type LogStore,
  oldestToKeep,
  pollIntervalOption,
  StoredLog,
  type StoredPage,
} from "./stored.ts";

/**
 * A key of Deno KV: a list of parts.
 *
 * @see {@link https://docs.deno.com/api/deno/~/Deno.KvKey}
 */
export type KvKey = readonly (
  | Uint8Array
  | string
  | number
  | bigint
  | boolean
  | symbol
)[];

/**
 * The part of `Deno.Kv` that a {@linkcode KvEventLog} uses.
 *
 * @see {@link https://docs.deno.com/api/deno/~/Deno.Kv}
 */
export interface KvStore {
  /** Reads a value. If there is none, `value` and `versionstamp` are `null`. */
  get(key: KvKey): Promise<
    { key: KvKey; value: unknown; versionstamp: string | null }
  >;
  /** Lists values in the order of their keys. */
  list(
    selector:
      | { prefix: KvKey }
      | { prefix: KvKey; start: KvKey }
      | { prefix: KvKey; end: KvKey },
    options?: { limit?: number; batchSize?: number; reverse?: boolean },
  ): AsyncIterable<{ key: KvKey; value: unknown }>;
  /**
   * Starts an atomic operation: its changes are made together, and only if the
   * checked version is current.
   */
  atomic(): {
    check(version: { key: KvKey; versionstamp: string | null }): unknown;
    set(key: KvKey, value: unknown, options?: { expireIn?: number }): unknown;
    delete(key: KvKey): unknown;
    commit(): Promise<{ ok: boolean }>;
  };
  /** Returns a stream of the value and of each change of it. */
  watch(keys: readonly [KvKey]): ReadableStream<
    [{ key: KvKey; value: unknown; versionstamp: string | null }]
  >;
}

type Changes = ReturnType<KvStore["atomic"]>;
type Entry = Awaited<ReturnType<KvStore["get"]>>;

/** The end of the key of a part of a message, after the prefix. */
type MessageKey = [number: number, tag: string, part: number, count: number];

/**
 * Options of {@linkcode KvEventLog}: how many messages it keeps, and how it
 * notices new ones.
 */
export interface KvEventLogOptions {
  /**
   * Minimum number of messages to keep. Older messages are deleted in batches.
   * Choose it so that a client that was disconnected for a while finds the
   * messages that it missed.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after which Deno KV may delete a message. The log
   * itself may be deleted this long after its last change. Set it if there is
   * a log for each job or answer, so that old logs do not stay forever.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
  /**
   * Time in milliseconds between two polls for messages of other processes. It
   * matters only if `watch` of the store does not notice them, as with a local
   * file. It is at least 10.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * Called with the error of each read that fails and is retried, and of each
   * failure to delete old messages. By default, these errors are ignored. Use
   * it to log them. An error that it throws is thrown to readers, or by
   * `append`, even though its messages are stored.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/**
 * Maximum size of a stored part of a message in bytes. Deno KV accepts values
 * of at most 64 KiB.
 */
const PART_SIZE = 61_440;

/**
 * Maximum size of the messages of one `append` in bytes. Deno KV accepts atomic
 * operations of at most 800 KiB, including keys.
 */
const MAX_SIZE = 737_280;

/**
 * Maximum number of values to list for a page, and in one request. A message
 * may have several values.
 */
const PAGE_LENGTH = 100;
const BATCH_LENGTH = 10;

/**
 * The number of entries among which an append whose reply was lost is looked for.
 */
const MAX_SEARCH_LENGTH = 1000;

/** The position of a log that has no message yet. */
const START = "0";

/** Matches a position, whose number is the first group. */
const POSITION = new RegExp(`^(\\d{1,15})(-[0-9a-z]+(${BEFORE})?)?$`);

/** Maximum number of values to delete at once. */
const TRIM_LENGTH = 500;

/**
 * A log in Deno KV. Use it if many processes append or read: the isolates of a
 * Deno Deploy app, or processes on one machine with one file. `append` throws a
 * `RangeError` if its messages exceed 720 KiB in total. Deno KV itself refuses an
 * `append` of about 1000 messages or more, and one whose keys exceed 80 KiB in
 * total, so keep `key` short.
 *
 * The atomic operation that stores messages also numbers them. It is retried if
 * another process has changed the log in the meantime. An id contains the
 * number and a random tag, so that it is never used again, not even after the
 * store was restored from a backup. All keys of the log begin with `key`. To
 * delete the log, delete all values under these keys. Reading stores nothing.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { resume } from "@x/sse/event-log";
 * import { KvEventLog } from "@x/sse/event-log/kv";
 *
 * function newsHandler(kv: Deno.Kv) {
 *   const log = new KvEventLog(kv, ["news"], { maxMessages: 1000 });
 *   return async (request: Request): Promise<Response> => {
 *     if (request.method === "POST") {
 *       await log.append({ data: await request.text() });
 *       return new Response(null, { status: 204 });
 *     }
 *     return sseResponse(resume(log, request), { heartbeat: 15_000 });
 *   };
 * }
 * ```
 *
 * @see {@link https://docs.deno.com/deploy/kv/}
 */
export class KvEventLog implements EventLog {
  readonly #log: StoredLog;

  /**
   * Creates a log. Sends no request until the log is used.
   *
   * @param kv The store, a `Deno.Kv`.
   * @param key The start of all keys of the log.
   * @param options How many messages to keep, and how to notice new ones.
   * @throws {TypeError} If `kv` is not a store, or `key` is not a list.
   * @throws {RangeError} If `pollInterval` is less than 10, or another number is
   * less than 1.
   */
  constructor(kv: KvStore, key: KvKey, options: KvEventLogOptions = {}) {
    checkType(kv?.atomic, "function", "kv to be a Deno.Kv");
    check(Array.isArray(key), "key to be a list of parts", key);
    this.#log = new StoredLog(new KvLogStore(kv, key, options));
  }

  append(message: SseMessage, ...more: SseMessage[]): Promise<string> {
    return this.#log.append(message, ...more);
  }

  end(): Promise<void> {
    return this.#log.end();
  }

  read(
    after?: string | undefined,
    options: EventLogReadOptions = {},
  ): AsyncIterable<SseMessage> {
    return this.#log.read(after, options);
  }

  status(): Promise<EventLogStatus> {
    return this.#log.status();
  }

  /** @internal */
  get [EXTRAS](): LogExtras {
    return this.#log;
  }
}

/** The state of a log, in one value. */
interface Head {
  /** The position of the newest message. */
  last: string;
  ended: boolean;
  /**
   * The time of the last append or renewal, by the clock of the process that
   * made it.
   */
  time: number;
}

/** The store of a log in Deno KV. */
class KvLogStore implements LogStore {
  readonly start = START;
  readonly #kv: KvStore;
  readonly #headKey: KvKey;
  /** The start of the keys of messages. A `MessageKey` follows. */
  readonly #prefix: KvKey;
  readonly #maxMessages: number;
  readonly #pollInterval: number;
  readonly #setOptions: { expireIn?: number };
  readonly onError: (error: unknown) => void;
  /**
   * Settles when the previous change is over: this process makes one change at
   * a time.
   */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(kv: KvStore, key: KvKey, options: KvEventLogOptions) {
    this.#kv = kv;
    this.#headKey = [...key, "head"];
    this.#prefix = [...key, "messages"];
    this.#maxMessages = limitOption(options, "maxMessages", 10_000);
    this.#pollInterval = pollIntervalOption(options);
    this.onError = functionOption(options, "onError") ?? (() => {});
    const lifetime = limitOption(options, "expireIn", Infinity);
    this.#setOptions = lifetime === Infinity ? {} : { expireIn: lifetime };
  }

  isPermanent(error: unknown): boolean {
    const wasClosed = (error as Error | undefined)?.name === "BadResource";
    return wasClosed || isProgramError(error);
  }

  async append(jsons: string[], tag: string): Promise<string> {
    const messages = jsons.map(partsOf);
    const size = messages.flat().reduce((sum, { length }) => sum + length, 0);
    check(
      size <= MAX_SIZE,
      `messages of at most ${MAX_SIZE} bytes together`,
      `${size} bytes`,
      RangeError,
    );
    const { last } = await this.#change((head, changes) => {
      if (head.ended) throw new EventLogEndedError();
      let number = numberOf(head.last);
      for (const parts of messages) {
        number++;
        for (const [part, bytes] of parts.entries()) {
          // With the number of parts, a reader can tell whether all of them are
          // there.
          const key = [...this.#prefix, number, tag, part, parts.length];
          changes.set(key, bytes, this.#setOptions);
        }
      }
      head.last = `${number}-${tag}`;
      head.time = Date.now();
    });
    await this.#trim(numberOf(last), messages.length);
    return last;
  }

  async has(tag: string): Promise<boolean> {
    // Other processes may have appended messages after those with the tag.
    const newest = this.#kv.list({ prefix: this.#prefix }, {
      limit: MAX_SEARCH_LENGTH,
      batchSize: BATCH_LENGTH,
      reverse: true,
    });
    for await (const { key } of newest) {
      if (key[this.#prefix.length + 1] === tag) return true;
    }
    return false;
  }

  async end(): Promise<void> {
    await this.#change((head) => {
      head.ended = true;
    });
  }

  async touch(): Promise<void> {
    await this.#change((head) => {
      head.time = Date.now();
    });
  }

  /**
   * Changes the head and other values in one atomic operation. Returns the new
   * head.
   */
  #change(change: (head: Head, changes: Changes) => void): Promise<Head> {
    const result = this.#changes.then(() => this.#tryChange(change));
    this.#changes = result.catch(() => {});
    return result;
  }

  async #tryChange(
    change: (head: Head, changes: Changes) => void,
  ): Promise<Head> {
    for (let attempt = 0;; attempt++) {
      try {
        const { value, versionstamp } = await this.#kv.get(this.#headKey);
        const head = toHead(value);
        const changes = this.#kv.atomic();
        changes.check({ key: this.#headKey, versionstamp });
        change(head, changes);
        changes.set(this.#headKey, head, this.#setOptions);
        if ((await changes.commit()).ok) return head;
      } catch (error) {
        // Nothing was changed if another process has locked the file.
        if (!messageOf(error).includes("database is locked")) throw error;
      }
      // Another process has changed or locked the log. The wait grows with each
      // attempt, because many processes may be appending.
      await wait(2 ** Math.min(attempt, 8) * Math.random());
    }
  }

  /** Deletes old messages, if it is time to. */
  async #trim(last: number, added: number): Promise<void> {
    const oldest = oldestToKeep(last, added, this.#maxMessages);
    if (oldest === undefined) return;
    const end = [...this.#prefix, oldest];
    try {
      for (let deleted = TRIM_LENGTH; deleted === TRIM_LENGTH;) {
        deleted = 0;
        const old = this.#kv.list({ prefix: this.#prefix, end }, {
          limit: TRIM_LENGTH,
          batchSize: TRIM_LENGTH,
        });
        const changes = this.#kv.atomic();
        for await (const { key } of old) {
          changes.delete(key);
          deleted++;
        }
        await changes.commit();
      }
    } catch (error) {
      // The messages are stored, and the next trim deletes the old ones.
      this.onError(error);
    }
  }

  async pageAfter(
    position: string,
    count: number,
  ): Promise<StoredPage | undefined> {
    // Read before the messages, so that each message that it counts is among
    // them or was deleted.
    const head = await this.#head();
    const last = numberOf(head.last);
    const number = numberOf(position);
    if (!(number <= last)) return undefined;

    const entries: StoredPage["entries"] = [];
    const before = position.endsWith(BEFORE) ? BEFORE : "";
    let next = before ? number : number + 1;
    // The list begins with the message at the position, to check that it still
    // exists. The newest message may have expired, but the head proves its
    // position.
    let isKnown = position === START || position === head.last;
    for await (const message of this.#messagesFrom(number || 1)) {
      if (message.number === number) isKnown = message.id + before === position;
      if (message.number < next) continue;
      if (!isKnown || message.number !== next) break;
      next++;
      entries.push(message);
      if (entries.length === count) break;
    }
    if (!isKnown || entries.length === 0 && next <= last) return undefined;
    return { entries, ended: head.ended && next > last };
  }

  /** Yields the messages that have all parts, from a number on. */
  async *#messagesFrom(
    number: number,
  ): AsyncGenerator<{ number: number; id: string; json: string }> {
    const prefix = this.#prefix;
    const values = this.#kv.list({ prefix, start: [...prefix, number] }, {
      limit: PAGE_LENGTH,
      batchSize: BATCH_LENGTH,
    });
    let decoder = new TextDecoder();
    let json = "";
    let next = 0;
    for await (const { key, value } of values) {
      const [number, tag, part, count] = key.slice(prefix.length) as MessageKey;
      if (part === 0) {
        decoder = new TextDecoder();
        json = "";
        next = 0;
      }
      // The parts before it may have been deleted.
      if (part !== next) continue;
      next++;
      json += decoder.decode(value as Uint8Array, { stream: next < count });
      if (next === count) yield { number, id: `${number}-${tag}`, json };
    }
  }

  async oldest(): Promise<string> {
    // Read before the list, so that a message that is appended in between is
    // not skipped.
    const { last } = await this.#head();
    for await (const { id } of this.#messagesFrom(0)) return id + BEFORE;
    return last;
  }

  async status(): Promise<EventLogStatus> {
    const { last, ended, time } = await this.#head();
    return { lastId: last, ended, idle: Math.max(Date.now() - time, 0) };
  }

  async #head(): Promise<Head> {
    return toHead((await this.#kv.get(this.#headKey)).value);
  }

  async wait(position: string, signal: AbortSignal): Promise<void> {
    const heads = this.#kv.watch([this.#headKey]).getReader();
    try {
      await wait(this.#pollInterval, signal, changed(heads, position));
    } finally {
      await heads.cancel();
    }
  }
}

/**
 * Returns the state of a log, or the initial state if the log does not exist.
 */
function toHead(value: unknown): Head {
  return value === null
    ? { last: START, ended: false, time: -Infinity }
    : { ...value as Head };
}

/** Returns a message in UTF-8, in parts that Deno KV accepts. */
function partsOf(json: string): Uint8Array[] {
  const bytes = new TextEncoder().encode(json);
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += PART_SIZE) {
    parts.push(bytes.slice(start, start + PART_SIZE));
  }
  return parts;
}

/** Returns the number of a position; `NaN` if it is not one. */
function numberOf(position: string): number {
  return Number(POSITION.exec(position)?.[1]);
}

/**
 * Resolves when the newest message is not the one at a position, or the log has
 * ended.
 */
async function changed(
  heads: ReadableStreamDefaultReader<[Entry]>,
  position: string,
): Promise<void> {
  while (true) {
    const { done, value } = await heads.read();
    if (done) return;
    const { last, ended } = toHead(value[0].value);
    if (ended || last !== position) return;
  }
}
