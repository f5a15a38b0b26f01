/**
 * Reading a log that is kept in a store, such as Redis.
 *
 * A reader has a position. Readers at the same position share one page: the
 * messages after the position, which may not have been appended yet.
 *
 * @module
 */

import { checkType, numberOption } from "../internal/check.ts";
import { wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
  isEndedError,
  isGapError,
} from "./event_log.ts";
import { fromStored, type LogExtras, randomTag, toJson } from "./message.ts";
import { LogReader } from "./reader.ts";
import { retryDelay } from "./retry.ts";

/**
 * A store of one log. A position is the id of the message before it, or a value
 * of the store's own that stands for the start of the log or for the place
 * before a message.
 */
export interface LogStore {
  /** The position of a log to which nothing was appended yet. */
  readonly start: string;
  /**
   * Returns at most `count` entries after a position, and at least one if there
   * are any. Returns undefined if the position is unknown, or if a message after
   * it is not kept.
   */
  pageAfter(position: string, count: number): Promise<StoredPage | undefined>;
  /**
   * Returns the position before the oldest message that is kept, or `start` if
   * there is none. No other message ever has the same position before it.
   */
  oldest(): Promise<string>;
  status(): Promise<EventLogStatus>;
  /**
   * Stores messages as JSON, all of them or none, with a tag that no other
   * messages have. Returns the id of the last one.
   */
  append(jsons: string[], tag: string): Promise<string>;
  /**
   * Whether messages with that tag were stored. `age` is the time in ms since
   * they were sent.
   */
  has(tag: string, age: number): Promise<boolean>;
  end(): Promise<void>;
  /** Renews the log: sets the time of the last append to now. */
  touch(): Promise<void>;
  /**
   * Wakes the readers of the log whenever something may have been appended, also
   * by this log, until the function that it returns is called. The readers of a
   * store without it are woken by this log, and by `wait`.
   */
  watch?(watcher: LogWatcher): () => void;
  /**
   * Resolves when there may be a message after a position, or when the signal
   * aborts.
   */
  wait(position: string, signal: AbortSignal): Promise<void>;
  /** Whether another try cannot succeed. */
  isPermanent(error: unknown): boolean;
  /**
   * Called with each failure that is retried. If it throws, reading fails with
   * the thrown error.
   */
  onError(error: unknown): void;
}

/** The readers of a log, as a store sees them. */
export interface LogWatcher {
  /**
   * Wakes the readers that wait, or only those that are not at the end of the log
   * if its status is known.
   */
  wake(status?: EventLogStatus): void;
  /** Fails the readers that wait. */
  fail(error: unknown): void;
}

/** Redis refuses some larger numbers, and Deno KV some longer times. */
const MAX_LIMIT = 2 ** 52;

/**
 * Returns the option as a whole number that stores accept, or `Infinity` for no
 * limit. Throws unless it is at least 1.
 */
export function limitOption<Name extends string>(
  options: { readonly [_ in Name]?: number | undefined },
  name: Name,
  byDefault: number,
): number {
  const limit = numberOption(options, name, byDefault, 1);
  return limit > MAX_LIMIT ? Infinity : Math.ceil(limit);
}

/** Returns the time in ms between two polls. Throws unless it is at least 10. */
export function pollIntervalOption(
  options: { readonly pollInterval?: number | undefined },
): number {
  return numberOption(options, "pollInterval", 1000, 10);
}

/** The suffix of a position that is before a message, not after it. */
export const BEFORE = "-before";

/**
 * Returns the number of the oldest message to keep, if older ones are to be
 * deleted now: once for every tenth of `maxMessages`, but at least once for every
 * 100 messages. `last` is the number of the newest message, and `added` the number
 * of messages that were just appended.
 */
export function oldestToKeep(
  last: number,
  added: number,
  maxMessages: number,
): number | undefined {
  const interval = Math.ceil(Math.min(maxMessages / 10, 100));
  // One more message is kept. It proves that nothing is missing at the position
  // before the oldest message.
  const oldest = last - maxMessages;
  return oldest > 1 && last % interval < added ? oldest : undefined;
}

/** A part of a log, as a store returns it. */
export interface StoredPage {
  /** The entries. An entry that is not a message has no `json`. */
  entries: { id: string; json?: string | undefined }[];
  /** Whether the log ends after them. */
  ended: boolean;
}

/** A part of a log, for all readers that reach its start. */
interface Page {
  readonly start: string;
  readonly entries: { id: string; message?: SseMessage }[];
  readonly ended: boolean;
  /** The approximate size in bytes. */
  readonly size: number;
  /** The pages of its log. */
  readonly home: Map<string, Page>;
}

/** The size of a page in bytes, unless a single message is larger. */
const PAGE_SIZE = 65_536;

/** Maximum number of entries of a page. */
export const MAX_PAGE_LENGTH = 100;

/** Maximum size in bytes of all pages that this process keeps. */
const MAX_CACHE_SIZE = 16_777_216;

/**
 * The approximate memory in bytes that an object takes in addition to its text.
 */
const OVERHEAD = 300;

/** Maximum size in bytes of what `appendSafely` stores at once. */
const MAX_BATCH_SIZE = 700_000;

/** The time in ms for which `appendSafely` tries again. */
const MAX_APPEND_TIME = 10_000;

/** A wait that is shorter than this, in ms, ended before any poll. */
const MIN_WAIT = 5;

/**
 * How many short waits in a row may end without a message before each further one
 * is followed by a delay. A few are due to messages that have just arrived.
 */
const MAX_SHORT_WAITS = 10;

/** The pages of all logs that were read recently. */
class PageCache {
  /** The oldest first. */
  readonly #pages = new Set<Page>();
  #size = 0;

  add(page: Page): void {
    const previous = page.home.get(page.start);
    if (previous !== undefined) this.delete(previous);
    page.home.set(page.start, page);
    this.#pages.add(page);
    this.#size += page.size;
    for (const oldest of this.#pages) {
      if (this.#size <= MAX_CACHE_SIZE || oldest === page) break;
      this.delete(oldest);
    }
  }

  delete(page: Page): void {
    page.home.delete(page.start);
    this.#pages.delete(page);
    this.#size -= page.size;
  }
}

const cache = /* @__PURE__ */ new PageCache();

/** Whether nothing follows the start of a page yet. */
function isEmpty({ entries, ended }: Page): boolean {
  return entries.length === 0 && !ended;
}

/** The readers that wait for the page after a position. */
interface Fetch {
  readonly readers: Set<StoredReader>;
  /** Aborts to request the page again at once. */
  wake: AbortController;
}

/** A log that is kept in a store. */
export class StoredLog implements EventLog, LogExtras, LogWatcher {
  readonly #store: LogStore;
  readonly #pages = new Map<string, Page>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #readers = new Set<StoredReader>();
  /** An estimate of the size of a message in bytes, from the last pages. */
  #messageSize = 6500;
  /** Stops watching the store, which begins with the first reader. */
  #unwatch: (() => void) | undefined;

  constructor(store: LogStore) {
    this.#store = store;
  }

  async append(...messages: SseMessage[]): Promise<string> {
    const id = await this.#store.append(messages.map(toJson), randomTag());
    this.#onAppended();
    return id;
  }

  async appendSafely(messages: SseMessage[]): Promise<void> {
    let batch: string[] = [];
    let size = 0;
    for (const json of messages.map(toJson)) {
      // In UTF-8, a UTF-16 code unit has at most three bytes.
      const jsonSize = 3 * json.length;
      if (size > 0 && size + jsonSize > MAX_BATCH_SIZE) {
        await this.#appendBatch(batch);
        batch = [];
        size = 0;
      }
      batch.push(json);
      size += jsonSize;
    }
    await this.#appendBatch(batch);
  }

  async #appendBatch(jsons: string[]): Promise<void> {
    const tag = randomTag();
    const start = Date.now();
    for (let failures = 0;; failures++) {
      try {
        // A call that failed may have stored the messages.
        const isStored = failures > 0 &&
          await this.#store.has(tag, Date.now() - start);
        if (!isStored) await this.#store.append(jsons, tag);
        return this.#onAppended();
      } catch (error) {
        // There is always a second attempt: the first one may have taken all
        // the time.
        const isOver = failures > 0 && Date.now() - start > MAX_APPEND_TIME;
        const isFinal = isEndedError(error) || this.#store.isPermanent(error);
        if (isOver || isFinal) throw error;
        await wait(retryDelay(failures + 1));
      }
    }
  }

  async end(): Promise<void> {
    await this.#store.end();
    this.#onAppended();
  }

  read(
    after?: string | undefined,
    options: EventLogReadOptions = {},
  ): AsyncIterable<SseMessage> {
    if (after !== undefined) checkType(after, "string", "after to be a string");
    return new StoredReader(this, after, options);
  }

  async status(): Promise<EventLogStatus> {
    const status = await this.#store.status();
    // If the log was deleted, nothing else wakes its readers.
    this.wake(status);
    return status;
  }

  async touch(): Promise<void> {
    await this.#store.touch();
  }

  isPermanent(error: unknown): boolean {
    return this.#store.isPermanent(error);
  }

  /** The position of a log to which nothing was appended yet. */
  get start(): string {
    return this.#store.start;
  }

  /** Returns the position before the oldest message that is kept. */
  async oldest(signal: AbortSignal): Promise<string> {
    const position = await this.#retry(() => this.#store.oldest(), signal);
    // The log is empty, so its pages are of one that was deleted.
    if (position === this.start) this.#dropPages();
    return position;
  }

  async lastId(signal: AbortSignal): Promise<string> {
    const { lastId } = await this.#retry(() => this.#store.status(), signal);
    return lastId;
  }

  /** Returns the page after a position, if it is in memory. */
  cachedPage(position: string): Page | undefined {
    return this.#pages.get(position);
  }

  /**
   * Returns the page after a position if it is in memory. Otherwise, requests it,
   * and calls `receive` or `fail` of the reader later. If there is no message
   * yet, a reader that follows the log waits for one, and another reader
   * receives an empty page.
   */
  pageAfter(position: string, reader: StoredReader): Page | undefined {
    this.#readers.add(reader);
    this.#unwatch ??= this.#store.watch?.(this);
    const page = this.#pages.get(position);
    if (page !== undefined) return page;
    const fetch = this.#fetches.get(position);
    if (!reader.follows) {
      const request = () => this.#request(position);
      give(this.#retry(request, reader.stop), [reader]);
    } else if (fetch !== undefined) {
      fetch.readers.add(reader);
    } else {
      const readers = new Set([reader]);
      const started: Fetch = { readers, wake: new AbortController() };
      this.#fetches.set(position, started);
      give(this.#fetch(position, started), readers);
    }
    return undefined;
  }

  /**
   * Removes a reader, and ends a wait of only this reader. The last reader of the
   * log also removes its pages from memory.
   */
  leave(reader: StoredReader, position: string): void {
    const fetch = this.#fetches.get(position);
    fetch?.readers.delete(reader);
    if (fetch?.readers.size === 0) fetch.wake.abort();
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#dropPages();
  }

  #dropPages(): void {
    for (const page of this.#pages.values()) cache.delete(page);
  }

  wake(status?: EventLogStatus): void {
    for (const [position, { wake }] of this.#fetches) {
      const isAtEnd = status?.lastId === position && !status.ended;
      if (!isAtEnd) wake.abort();
    }
  }

  fail(error: unknown): void {
    for (const { readers } of this.#fetches.values()) {
      for (const reader of readers) reader.fail(error);
    }
  }

  /** Wakes the readers of what was appended, unless the store has done so. */
  #onAppended(): void {
    if (this.#store.watch === undefined) this.wake();
  }

  /**
   * Waits until there is a page after a position, and returns it. Returns
   * undefined if no reader waits any more.
   */
  async #fetch(position: string, fetch: Fetch): Promise<Page | undefined> {
    /** The requests and waits in a row that failed. */
    let failures = 0;
    let shortWaits = 0;
    try {
      while (fetch.readers.size > 0) {
        // Created before the request, so that an append during the request ends
        // the wait.
        const { signal } = fetch.wake = new AbortController();
        try {
          const page = await this.#request(position);
          if (!isEmpty(page)) return page;
          if (signal.aborted) continue;
          const start = Date.now();
          await this.#store.wait(position, signal);
          failures = 0;
          const isShort = !signal.aborted && Date.now() - start < MIN_WAIT;
          shortWaits = isShort ? shortWaits + 1 : 0;
          const excess = shortWaits - MAX_SHORT_WAITS;
          if (excess > 0) await wait(retryDelay(excess), signal);
        } catch (error) {
          this.#report(error);
          await wait(retryDelay(++failures, error), signal);
        }
      }
    } finally {
      this.#fetches.delete(position);
    }
  }

  /** Requests the page after a position from the store. */
  async #request(position: string): Promise<Page> {
    const count = Math.floor(PAGE_SIZE / this.#messageSize);
    const page = await this.#store.pageAfter(
      position,
      Math.min(Math.max(count, 1), MAX_PAGE_LENGTH),
    );
    if (page === undefined) {
      // The log may have been deleted, or restored from a backup.
      this.#dropPages();
      throw new EventLogGapError(position, await this.#store.oldest());
    }
    let size = OVERHEAD;
    const entries = page.entries.map(({ id, json }) => {
      if (json === undefined) return { id };
      try {
        const made = fromStored(JSON.parse(json), id);
        size += made.size + OVERHEAD;
        return { id, message: made.message };
      } catch (error) {
        // Another program has stored it.
        this.#store.onError(error);
        return { id };
      }
    });
    const messages = entries.filter((it) => "message" in it).length;
    if (messages > 0) {
      const average = size / messages;
      // The estimate rises at once, and falls slowly.
      this.#messageSize = Math.max(average, this.#messageSize / 2);
    }
    const home = this.#pages;
    const result: Page = { ...page, start: position, entries, size, home };
    // The next log of the same key has the same start.
    const isUnique = position !== this.start;
    const isOfUse = !isEmpty(result) && this.#readers.size > 0;
    if (isUnique && isOfUse) cache.add(result);
    return result;
  }

  /**
   * Reports an error before another try. Throws the reason to fail with if there
   * is no other try.
   */
  #report(error: unknown): void {
    if (isGapError(error) || this.#store.isPermanent(error)) throw error;
    this.#store.onError(error);
  }

  /**
   * Repeats a task until it succeeds, fails permanently, or the signal aborts.
   */
  async #retry<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let failures = 1;; failures++) {
      try {
        return await task();
      } catch (error) {
        this.#report(error);
        await wait(retryDelay(failures, error), signal);
        signal.throwIfAborted();
      }
    }
  }
}

/** Gives a page to readers, or the error with which it failed. */
function give(
  page: Promise<Page | undefined>,
  readers: Iterable<StoredReader>,
): void {
  page.then(
    (page) => {
      for (const reader of readers) reader.receive(page!);
    },
    (error) => {
      for (const reader of readers) reader.fail(error);
    },
  );
}

class StoredReader extends LogReader {
  readonly #log: StoredLog;
  readonly #after: string | undefined;
  /** Whether it waits for messages that are appended later. */
  readonly follows: boolean;
  /** Aborts when the reader is over, or the signal that it was given. */
  readonly stop: AbortSignal;
  /**
   * - `"new"`: it has not begun.
   * - `"waiting"`: for its first position, or for a page.
   * - `"ready"`: to write the next message.
   */
  #step: "new" | "waiting" | "ready" = "new";
  /** The position after the last message that it has written. */
  #position = "";
  /** The position at which it ends. */
  #last: string | undefined;
  /**
   * The start of the page that it reads. It does not refer to the page itself:
   * thousands of paused readers would keep their pages in memory.
   */
  #start = "";
  #nextIndex = 0;

  constructor(
    log: StoredLog,
    after: string | undefined,
    options: EventLogReadOptions,
  ) {
    super(log, options);
    this.#log = log;
    this.#after = after;
    this.follows = options.follow ?? true;
    // `pull` listens to the signal, but may not have been called yet.
    const { left, signal } = this;
    this.stop = signal ? AbortSignal.any([left, signal]) : left;
    // "Now" and the newest message are those of the call of `read`, not of the
    // first `next()`.
    if (after === undefined || !this.follows) this.#begin();
  }

  receive(page: Page): void {
    this.#step = "ready";
    this.#writePage(page);
    this.flow();
  }

  protected flow(): void {
    if (this.#step === "waiting") return;
    if (this.#step === "new") return void this.#begin();
    while (this.isFlowing) {
      if (this.#position === this.#last) return this.close();
      let page = this.#log.cachedPage(this.#start);
      // The page may have been dropped and requested again. It then may have
      // fewer messages.
      const read = page?.entries[this.#nextIndex - 1];
      if (!page || this.#nextIndex > 0 && read?.id !== this.#position) {
        this.#start = this.#position;
        this.#nextIndex = 0;
        page = this.#log.pageAfter(this.#position, this);
        if (page === undefined) return void (this.#step = "waiting");
      }
      this.#writePage(page);
    }
  }

  async #begin(): Promise<void> {
    this.#step = "waiting";
    try {
      if (!this.follows) this.#last = await this.#log.lastId(this.stop);
      this.#position = await this.#firstPosition();
    } catch (error) {
      return this.fail(error);
    }
    this.#step = "ready";
    this.flow();
  }

  async #firstPosition(): Promise<string> {
    const after = this.#after;
    if (after === undefined) {
      return this.#last ?? await this.#log.lastId(this.stop);
    }
    if (after !== "") return after;
    // If the log was empty, what is appended from now on is not read.
    if (this.#last === this.#log.start) return this.#last;
    return await this.#log.oldest(this.stop);
  }

  #writePage({ entries, ended }: Page): void {
    while (this.#nextIndex < entries.length) {
      const { id, message } = entries[this.#nextIndex++];
      this.#position = id;
      if (message && !this.write(message) || id === this.#last) return;
    }
    this.#start = this.#position;
    this.#nextIndex = 0;
    // Only a reader that does not follow the log gets an empty page.
    if (ended || entries.length === 0) this.close();
  }

  protected leave(): void {
    this.#log.leave(this, this.#position);
  }

  protected override isAtEnd(lastId: string): boolean {
    return this.#position === lastId;
  }
}
