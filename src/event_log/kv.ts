/**
 * An event log on Deno KV: the entry point `@x/sse/event-log/kv`. Start Deno with
 * `--unstable-kv`, or `Deno.openKv` is not a function.
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

import {
  check,
  checkFunction,
  checkRange,
  checkType,
} from "../internal/check.ts";
import { wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogEndedError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import { EXTRAS, type LogExtras } from "./message.ts";
import {
  type LogStore,
  messageOf,
  StoredLog,
  type StoredPage,
} from "./stored.ts";

/**
 * A key.
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
  /** Reads a value; `null`, with the versionstamp `null`, if there is none. */
  get(key: KvKey): Promise<
    { key: KvKey; value: unknown; versionstamp: string | null }
  >;
  /** Lists values in the order of their keys. */
  list(
    selector: { prefix: KvKey; start: KvKey } | { prefix: KvKey; end: KvKey },
    options?: { limit?: number; batchSize?: number },
  ): AsyncIterable<{ key: KvKey; value: unknown }>;
  /** Starts changes that are made together, if the checked version is current. */
  atomic(): {
    check(version: { key: KvKey; versionstamp: string | null }): unknown;
    set(key: KvKey, value: unknown, options?: { expireIn?: number }): unknown;
    delete(key: KvKey): unknown;
    commit(): Promise<{ ok: boolean }>;
  };
  /** Reads a value, and reads it again whenever it changes. */
  watch(keys: readonly [KvKey]): ReadableStream<
    [{ key: KvKey; value: unknown; versionstamp: string | null }]
  >;
}

type Changes = ReturnType<KvStore["atomic"]>;
type Entry = Awaited<ReturnType<KvStore["get"]>>;

/** How much a {@linkcode KvEventLog} keeps, and how it is followed. */
export interface KvEventLogOptions {
  /**
   * How many messages are kept at least; older ones are deleted a number of them
   * at a time.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after which a message may be deleted, and after the last
   * one the log itself. A whole number.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
  /**
   * Milliseconds between two polls for what other processes have appended, if
   * the store's `watch` does not notice it: that of a local file notices nothing
   * of other processes.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * Told of each failure to read after which it is tried again, and of each to
   * delete old messages. What it throws is thrown to readers, or by `append`,
   * which has stored its message nonetheless.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** Deno KV takes values of 64 KiB at most. */
const PART_SIZE = 61_440;

/** And changes of 800 KiB at most, keys and all. */
const MAX_SIZE = 737_280;

/** How many values are asked for at once, and in one request: a message has more. */
const PAGE_LENGTH = 100;
const BATCH_LENGTH = 10;

/** The position of a log that has no message yet. */
const START = "0";

/** The end of a position that stands before a message, and not after it. */
const BEFORE = "-before";

/** How many values are deleted at once, at most. */
const TRIM_LENGTH = 500;

/**
 * A log in Deno KV, to which many processes append and from which many read: the
 * isolates of a Deno Deploy app, or processes on one machine with one file. All
 * messages of an `append` together have at most 720 KiB.
 *
 * Messages are numbered by a counter in the same atomic operation that stores
 * them, which is tried again if another process was faster. Each has a random
 * tag, which is part of its id: an id names one message for ever, also after the
 * store was restored from a backup. The values have keys that begin with the
 * log's. To delete the log, delete all of them. Reading stores nothing.
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
   * Makes a log, which asks for nothing until it is used.
   *
   * @param kv The store, a `Deno.Kv`.
   * @param key What all keys of the log begin with.
   * @param options How much is kept, and how it is followed.
   * @throws {TypeError} If `kv` is not a store, or `key` is not a list.
   * @throws {RangeError} If a number is less than 1, or `expireIn` is not whole.
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
  /** The time of the last append or renewal, by the clock of who did it. */
  time: number;
}

/** The values of a log, as messages and positions. */
class KvLogStore implements LogStore {
  readonly #kv: KvStore;
  readonly #headKey: KvKey;
  /** What the keys of messages begin with. The rest is that of `toKey`. */
  readonly #prefix: KvKey;
  readonly #maxMessages: number;
  readonly #pollInterval: number;
  readonly #setOptions: { expireIn?: number };
  readonly #onError: (error: unknown) => void;
  /** Settles when the changes before are made, as they are made in turn. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(kv: KvStore, key: KvKey, options: KvEventLogOptions) {
    const { maxMessages = 10_000, pollInterval = 1000, onError } = options;
    const { expireIn = Infinity } = options;
    this.#kv = kv;
    this.#headKey = [...key, "head"];
    this.#prefix = [...key, "messages"];
    this.#maxMessages = checkRange("maxMessages", maxMessages, 1);
    this.#pollInterval = checkRange("pollInterval", pollInterval, 1);
    this.#onError = checkFunction("onError", onError) ?? (() => {});
    checkRange("expireIn", expireIn, 1);
    const isWhole = expireIn === Infinity || Number.isSafeInteger(expireIn);
    check(isWhole, "expireIn to be a whole number", expireIn, RangeError);
    this.#setOptions = expireIn === Infinity ? {} : { expireIn };
  }

  onError(error: unknown): void {
    this.#onError(error);
  }

  isPermanent(error: unknown): boolean {
    const name = (error as Error | undefined)?.name;
    // A store that was closed, and errors of ours.
    return name === "BadResource" || messageOf(error).startsWith("Expected ");
  }

  async append(jsons: string[], tag: string): Promise<string> {
    const messages = jsons.map((json) => new TextEncoder().encode(json));
    const size = messages.reduce((sum, { length }) => sum + length, 0);
    check(
      size <= MAX_SIZE,
      `messages of at most ${MAX_SIZE} bytes together`,
      `${size} bytes`,
      RangeError,
    );
    const { last } = await this.#change((head, changes) => {
      if (head.ended) throw new EventLogEndedError();
      let number = numberOf(head.last);
      for (const bytes of messages) {
        this.#setMessage(changes, ++number, tag, bytes);
      }
      head.last = `${number}-${tag}`;
      head.time = Date.now();
    });
    await this.#trim(numberOf(last), messages.length);
    return last;
  }

  #setMessage(
    changes: Changes,
    number: number,
    tag: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): void {
    const count = Math.max(1, Math.ceil(bytes.length / PART_SIZE));
    for (let part = 0; part < count; part++) {
      const start = part * PART_SIZE;
      changes.set(
        // The number of parts tells whether all of them are there.
        [...this.#prefix, number, tag, part, count],
        bytes.slice(start, start + PART_SIZE),
        this.#setOptions,
      );
    }
  }

  async countOf(tag: string): Promise<number> {
    // All of them were stored, or none.
    const { last } = await this.#head();
    return last.endsWith(`-${tag}`) ? Infinity : 0;
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

  /** Changes the head, and what belongs to it, as one. Returns the new head. */
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
        if (!isLocked(error)) throw error;
      }
      // Another process was faster. The more there are, the longer the wait.
      await wait(2 ** Math.min(attempt, 8) * Math.random());
    }
  }

  /** Deletes what is too old, after each so many messages. */
  async #trim(last: number, added: number): Promise<void> {
    const max = this.#maxMessages;
    const interval = Math.ceil(Math.min(max / 10, 100));
    // One more is kept, as it proves the position before the oldest message.
    const oldest = last - max;
    if (oldest <= 1 || last % interval >= added) return;
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
      // The message is stored all the same, and the next trim deletes more.
      this.#onError(error);
    }
  }

  async pageAfter(
    position: string,
    maxBytes: number,
  ): Promise<StoredPage | undefined> {
    // Before the messages: whatever it counts is among them, or was deleted.
    const head = await this.#head();
    const last = numberOf(head.last);
    const number = numberOf(position);
    if (!(number <= last)) return undefined;

    const page: StoredPage = { entries: [], end: position, ended: false };
    const isBefore = position.endsWith(BEFORE);
    let next = isBefore ? number : number + 1;
    // From the message at the position on, to see whether it is still there.
    // Of the newest message, the head is proof: it may have expired itself.
    let isKnown = position === START || position === head.last;
    let size = 0;
    for await (const { id, json } of this.#messagesFrom(number || 1)) {
      if (isKnown && id === position) continue;
      if (!isKnown) {
        isKnown = id + (isBefore ? BEFORE : "") === position;
        if (!isKnown) return undefined;
        if (!isBefore) continue;
      }
      if (numberOf(id) !== next++) break;
      page.entries.push({ id, json });
      page.end = id;
      size += json.length;
      if (size >= maxBytes) break;
    }
    if (!isKnown || page.end === position && number < last) return undefined;
    page.ended = head.ended && numberOf(page.end) >= last;
    return page;
  }

  /** The messages that are whole, from a number on. */
  async *#messagesFrom(
    number: number,
  ): AsyncGenerator<{ id: string; json: string }> {
    const prefix = this.#prefix;
    const values = this.#kv.list({ prefix, start: [...prefix, number] }, {
      limit: PAGE_LENGTH,
      batchSize: BATCH_LENGTH,
    });
    let parts: Uint8Array[] = [];
    for await (const { key, value } of values) {
      const [of, tag, part, count] = key.slice(prefix.length) as [
        number,
        string,
        number,
        number,
      ];
      // Of one that is being deleted, only the last parts may be left.
      if (part !== parts.length) return;
      parts.push(value as Uint8Array);
      if (parts.length < count) continue;
      yield { id: `${of}-${tag}`, json: decoded(parts) };
      parts = [];
    }
  }

  async oldest(): Promise<string> {
    // Before the list: what is appended in between must not be passed over.
    const { last } = await this.#head();
    const prefix = this.#prefix;
    const options = { limit: PAGE_LENGTH, batchSize: PAGE_LENGTH };
    const values = this.#kv.list({ prefix, start: [...prefix, 0] }, options);
    for await (const { key } of values) {
      const [number, tag, part] = key.slice(prefix.length) as [
        number,
        string,
        number,
      ];
      if (number === 1) return START;
      // Of one that is being deleted, only the last parts may be left.
      if (part === 0) return `${number}-${tag}${BEFORE}`;
    }
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

/** Returns the state of a log, also of one that does not exist. */
function toHead(value: unknown): Head {
  return value === null
    ? { last: START, ended: false, time: -Infinity }
    : { ...value as Head };
}

/** Returns the number of a position; `NaN` if it is not one. */
function numberOf(position: string): number {
  const number = /^(\d{1,15})(-[0-9a-z]+(-before)?)?$/.exec(position)?.[1];
  return Number(number ?? NaN);
}

/** Whether another process is at work on the same file, so that nothing was. */
function isLocked(error: unknown): boolean {
  return messageOf(error).includes("database is locked");
}

/** Resolves once the newest message is not the one at a position. */
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

function decoded(parts: Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  for (const part of parts) text += decoder.decode(part, { stream: true });
  return text + decoder.decode();
}
