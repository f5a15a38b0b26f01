/**
 * An event log on Deno KV.
 *
 * @module
 */

import {
  check,
  checkFunction,
  checkRange,
  checkTimeout,
  checkType,
} from "../internal/check.ts";
import { wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import type {
  EventLog,
  EventLogReadOptions,
  EventLogStatus,
} from "./event_log.ts";
import { endedError, randomTag } from "./message.ts";
import {
  EntryCache,
  LogFollower,
  type LogStore,
  messageOf,
  type Page,
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
   * How many ms after it was appended a message may be deleted, and how many
   * after the last one the log itself. By default, never.
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

/** How many values are asked for at once: more than one message has. */
const PAGE_LENGTH = 100;

/** How many values are deleted at once, at most. */
const TRIM_LENGTH = 500;

/**
 * A log in Deno KV, of which many processes append and read: the isolates of a
 * Deno Deploy app, or processes on one machine with one file. A message is of at
 * most 720 KiB.
 *
 * Messages are numbered by a counter in the same atomic operation that stores
 * them, which is tried again if another process was faster. Its values have
 * keys that begin with the log's; to delete the log, delete all of them.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { KvEventLog, resume } from "@x/sse/event-log";
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
  readonly #follower: LogFollower;

  /**
   * Makes a log, which asks for nothing until it is used.
   *
   * @param kv The store, a `Deno.Kv`.
   * @param key What all keys of the log begin with.
   * @param options How much it keeps, and how it is followed.
   * @throws {TypeError} If `kv` is no store, or `key` is no list.
   * @throws {RangeError} If one of the numbers is not positive.
   */
  constructor(kv: KvStore, key: KvKey, options: KvEventLogOptions = {}) {
    checkType(kv?.atomic, "function", "kv to be a Deno.Kv");
    check(Array.isArray(key), "key to be a list of parts", key);
    this.#follower = new LogFollower(new KvLogStore(kv, key, options));
  }

  append(message: SseMessage): Promise<string> {
    return this.#follower.append(message);
  }

  end(): Promise<void> {
    return this.#follower.end();
  }

  read(
    after?: string | undefined,
    options: EventLogReadOptions = {},
  ): AsyncIterable<SseMessage> {
    return this.#follower.read(after, options);
  }

  status(): Promise<EventLogStatus> {
    return this.#follower.status();
  }
}

/** The log's counter and state. */
interface Head {
  /** Tells this log from others, and from one that was at the same key. */
  epoch: string;
  /** The number of the newest message, from 1. */
  last: number;
  ended: boolean;
}

/** The values of the log, as messages and positions. */
class KvLogStore implements LogStore {
  readonly #kv: KvStore;
  readonly #headKey: KvKey;
  readonly #messagesKey: KvKey;
  readonly #maxMessages: number;
  readonly #pollInterval: number;
  readonly #setOptions: { expireIn?: number };
  readonly onError: (error: unknown) => void;
  readonly #cache = new EntryCache();
  /** Settles when the changes before have been made, as they are made in turn. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(kv: KvStore, key: KvKey, options: KvEventLogOptions) {
    const { maxMessages = 10_000, pollInterval = 1000, onError } = options;
    const { expireIn = Infinity } = options;
    checkRange("maxMessages", maxMessages, 1);
    checkRange("pollInterval", pollInterval, 1);
    checkFunction("onError", onError);
    checkTimeout("expireIn", expireIn);
    this.#kv = kv;
    this.#headKey = [...key, "head"];
    this.#messagesKey = [...key, "messages"];
    this.#maxMessages = maxMessages;
    this.#pollInterval = pollInterval;
    this.#setOptions = expireIn === Infinity ? {} : { expireIn };
    this.onError = onError ?? (() => {});
  }

  append(json: string): Promise<string> {
    const bytes = new TextEncoder().encode(json);
    check(
      bytes.length <= MAX_SIZE,
      `a message of at most ${MAX_SIZE} bytes`,
      `${bytes.length} bytes`,
      RangeError,
    );
    return this.#inTurn(async () => {
      const { epoch, last } = await this.#change((head, changes) => {
        if (head.ended) throw endedError();
        const number = ++head.last;
        const count = Math.max(1, Math.ceil(bytes.length / PART_SIZE));
        for (let part = 0; part < count; part++) {
          const start = part * PART_SIZE;
          changes.set(
            // The number of parts tells whether all of them are there.
            [...this.#messagesKey, head.epoch, number, part, count],
            bytes.slice(start, start + PART_SIZE),
            this.#setOptions,
          );
        }
      });
      await this.#trim(epoch, last);
      return `${epoch}-${last}`;
    });
  }

  async end(): Promise<void> {
    await this.#inTurn(() =>
      this.#change((head) => {
        head.ended = true;
      })
    );
  }

  /** Makes a change when those before it have been made. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => {});
    return result;
  }

  /** Changes the head, and what belongs to it, as one; returns the new head. */
  async #change(
    change: (head: Head, changes: Changes) => void,
  ): Promise<Head> {
    for (let attempt = 0;; attempt++) {
      try {
        const before = await this.#kv.get(this.#headKey);
        const head: Head = before.value === null
          ? { epoch: randomTag(), last: 0, ended: false }
          : { ...before.value as Head };
        const changes = this.#kv.atomic();
        const { versionstamp } = before;
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
  async #trim(epoch: string, last: number): Promise<void> {
    const max = this.#maxMessages;
    if (last <= max || last % Math.ceil(Math.min(max / 10, 100)) !== 0) return;
    const prefix = [...this.#messagesKey, epoch];
    const end = [...prefix, last - max + 1];
    try {
      for (let deleted = TRIM_LENGTH; deleted === TRIM_LENGTH;) {
        deleted = 0;
        const old = this.#kv.list({ prefix, end }, {
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
      this.onError(error);
    }
  }

  async pageAfter(position: string): Promise<Page | undefined> {
    // Before the messages: whatever it counts is among them, or was deleted.
    const head = await this.#head();
    const number = Number(position.slice(head.epoch.length + 1));
    const known = Number.isSafeInteger(number) && number >= 0 &&
      number <= head.last && position === `${head.epoch}-${number}`;
    if (!known) return undefined;

    const page: Page = { entries: [], end: position, ended: false };
    const prefix = [...this.#messagesKey, head.epoch];
    const values = this.#kv.list({ prefix, start: [...prefix, number + 1] }, {
      limit: PAGE_LENGTH,
      batchSize: PAGE_LENGTH,
    });
    let next = number + 1;
    let parts: Uint8Array[] = [];
    for await (const { key, value } of values) {
      const [of, part, count] = key.slice(prefix.length) as number[];
      // A part is missing, or messages are.
      if (of !== next || part !== parts.length) break;
      parts.push(value as Uint8Array);
      if (parts.length < count) continue;
      const id = `${head.epoch}-${next++}`;
      const whole = parts;
      page.entries.push(this.#cache.entry(id, () => decoded(whole)));
      page.end = id;
      parts = [];
    }
    if (page.entries.length === 0 && number < head.last) return undefined;
    page.ended = head.ended && next > head.last;
    return page;
  }

  async oldest(): Promise<string> {
    const { epoch, last } = await this.#head();
    const prefix = [...this.#messagesKey, epoch];
    const start = [...prefix, 0];
    const options = { limit: PAGE_LENGTH, batchSize: PAGE_LENGTH };
    for await (const { key } of this.#kv.list({ prefix, start }, options)) {
      const [number, part] = key.slice(prefix.length) as number[];
      // Of one that is being deleted, only the last parts may be left.
      if (part === 0) return `${epoch}-${number - 1}`;
    }
    return `${epoch}-${last}`;
  }

  async status(): Promise<EventLogStatus> {
    const { epoch, last, ended } = await this.#head();
    return { lastId: `${epoch}-${last}`, ended };
  }

  /** Returns the head, and makes it if there is none. */
  async #head(): Promise<Head> {
    const { value } = await this.#kv.get(this.#headKey);
    if (value !== null) return value as Head;
    return await this.#inTurn(() => this.#change(() => {}));
  }

  async wait(position: string, signal: AbortSignal): Promise<void> {
    const changes = this.#kv.watch([this.#headKey]).getReader();
    try {
      await wait(this.#pollInterval, signal, changed(changes, position));
    } finally {
      await changes.cancel();
    }
  }

  isLasting(error: unknown): boolean {
    const name = (error as Error | undefined)?.name;
    // What is no JSON or no message, and a store that was closed.
    return name === "SyntaxError" || name === "BadResource" ||
      messageOf(error).startsWith("Expected ");
  }
}

/** Whether another process is at work on the same file, so that nothing was. */
function isLocked(error: unknown): boolean {
  return messageOf(error).includes("database is locked");
}

/** Resolves once the head is no longer at a position. */
async function changed(
  heads: ReadableStreamDefaultReader<[Entry]>,
  position: string,
): Promise<void> {
  while (true) {
    const { done, value } = await heads.read();
    if (done) return;
    const head = value[0].value as Head | null;
    if (head === null || head.ended) return;
    if (`${head.epoch}-${head.last}` !== position) return;
  }
}

function decoded(parts: Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  for (const part of parts) text += decoder.decode(part, { stream: true });
  return text + decoder.decode();
}
