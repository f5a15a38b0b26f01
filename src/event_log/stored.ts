/**
 * Reading a log that is kept elsewhere: replaying it, and following it once for
 * all who read it here.
 *
 * @module
 */

import { type Backoff, backoffDelay } from "../internal/backoff.ts";
import { checkSignal, checkType, textOf } from "../internal/check.ts";
import { wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import { toJson, toRead } from "./message.ts";
import { LogReader } from "./reader.ts";
import { type Entry, LogWindow } from "./window.ts";
import { END, type Waker } from "../write/poll.ts";

/** A store of a log. A position is the id of a message, or one like it. */
export interface LogStore {
  /**
   * Returns the messages after a position, at least one if there are any. Returns
   * undefined if the position is unknown or a message after it is not kept. The
   * end of a page with no message is the log's own.
   */
  pageAfter(position: string): Promise<Page | undefined>;
  /** The position before the oldest message that is kept. */
  oldest(): Promise<string>;
  status(): Promise<EventLogStatus>;
  /** Keeps a message, given as JSON; resolves with its id. */
  append(json: string): Promise<string>;
  end(): Promise<void>;
  /** Resolves when something may follow a position, or the signal aborts. */
  wait(position: string, signal: AbortSignal): Promise<void>;
  /** Whether there is no use in trying again. */
  isLasting(error: unknown): boolean;
  /** Told of each failure after which it is tried again, unless it throws. */
  onError: (error: unknown) => void;
}

/** A part of a log. */
export interface Page {
  entries: Entry[];
  /** The position at its end. */
  end: string;
  /** Whether the log has ended there. */
  ended: boolean;
}

/** How many messages are kept at hand, and of how many bytes. */
const MAX_LENGTH = 1000;
const MAX_SIZE = 4_194_304;

/** Messages that were read lately, so that each is parsed and encoded once. */
export class EntryCache {
  readonly #entries = new Map<string, Entry>();
  #size = 0;

  /** The message with an id, made of its JSON if it is not here. */
  entry(id: string, json: () => string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { id, ...toRead(JSON.parse(json()), id), time: 0 };
      this.#entries.set(id, entry);
      this.#size += entry.size;
      for (const [id, { size }] of this.#entries) {
        if (this.#entries.size <= MAX_LENGTH && this.#size <= MAX_SIZE) break;
        this.#entries.delete(id);
        this.#size -= size;
      }
    }
    return entry;
  }
}

/** The delays after failures in a row. */
const BACKOFF: Backoff = { initial: 50, max: 2000, factor: 2, jitter: 0.5 };

/**
 * The newest messages of a stored log, for the readers in this process that have
 * come to its end: new messages are fetched once for all of them, and only while
 * one waits.
 */
export class LogFollower {
  readonly #store: LogStore;
  readonly #window = new LogWindow<StoredReader>();
  /** The numbers of the window's messages, and of the position before them. */
  readonly #numbers = new Map<string, number>();
  /** The position before the window, and the one that was asked for last. */
  #start = "";
  #end = "";
  #state: "resting" | "following" = "resting";
  /** Whether a reader waits that is elsewhere, as far as can be told here. */
  #hasStray = false;
  /** Cuts a wait short. */
  #pause = new AbortController();

  constructor(store: LogStore) {
    this.#store = store;
  }

  async append(message: SseMessage): Promise<string> {
    const id = await this.#store.append(toJson(message));
    this.nudge();
    return id;
  }

  async end(): Promise<void> {
    await this.#store.end();
    this.nudge();
  }

  async status(): Promise<EventLogStatus> {
    return await this.#store.status();
  }

  read(
    after: string | undefined,
    { signal }: EventLogReadOptions,
  ): AsyncIterable<SseMessage> {
    if (after !== undefined) checkType(after, "string", "after to be a string");
    checkSignal(signal);
    return new StoredReader(this.#store, this, after, signal);
  }

  /** Has it look at once, as something was appended here. */
  nudge(): void {
    this.#pause.abort();
  }

  /** Whether the window has the messages after a position. */
  has(position: string): boolean {
    return this.#numbers.has(position);
  }

  /** Returns the message after a position, if it is known here. */
  after(position: string): Entry | "end" | undefined {
    const log = this.#window;
    const number = this.#numbers.get(position);
    if (number === undefined) return undefined;
    return log.entry(number + 1) ?? (log.ended ? "end" : undefined);
  }

  /** Wakes a reader when something follows its position, or it is to look. */
  wait(waker: Waker, reader: StoredReader, position: string): void {
    this.#window.wait(waker, reader);
    const isStray = !this.has(position);
    if (this.#state === "resting") {
      if (isStray) this.#restart(position);
      this.#follow();
    } else if (isStray) {
      // One of the two does not know the log's end yet.
      this.#hasStray = true;
      this.nudge();
    }
  }

  leave(waker: Waker): void {
    this.#window.leave(waker);
    if (this.#window.waiting === 0) this.#pause.abort();
  }

  #restart(position: string): void {
    const log = this.#window;
    while (log.length > 0) log.dropFirst();
    log.ended = false;
    this.#numbers.clear();
    this.#numbers.set(position, log.next - 1);
    this.#start = this.#end = position;
  }

  async #follow(): Promise<void> {
    this.#state = "following";
    try {
      await this.#followWhileAwaited();
    } catch (error) {
      for (const reader of this.#window.takeWaiting()) reader.fail(error);
    }
    this.#state = "resting";
    this.#window.wakeAll();
  }

  async #followWhileAwaited(): Promise<void> {
    let failures = 0;
    while (this.#window.waiting > 0) {
      // Before the look, as what is appended after that must not be slept
      // through.
      this.#pause = new AbortController();
      const { signal } = this.#pause;
      const hadStray = this.#hasStray;
      this.#hasStray = false;
      try {
        const end = this.#end;
        const page = await this.#store.pageAfter(end);
        failures = 0;
        // The readers continue alone, and find out whether there is a gap.
        if (page === undefined) return this.#numbers.clear();
        this.#add(page);
        if (page.ended) return;
        if (page.entries.length > 0 || hadStray) this.#window.wakeAll();
        else if (page.end === end && !signal.aborted) {
          await this.#store.wait(end, signal);
        }
      } catch (error) {
        tell(this.#store, error);
        await pause(failures++, signal);
      }
    }
  }

  #add({ entries, end, ended }: Page): void {
    const log = this.#window;
    const last = log.entry(log.next - 1)?.id ?? this.#start;
    // The old end was no message, and is no longer the end.
    if (this.#end !== last) this.#numbers.delete(this.#end);
    for (const entry of entries) {
      this.#numbers.set(entry.id, log.next);
      log.push(entry);
    }
    this.#numbers.set(end, log.next - 1);
    this.#end = end;
    log.ended = ended;
    while (
      log.length > 1 && (log.length > MAX_LENGTH || log.size > MAX_SIZE)
    ) {
      this.#numbers.delete(this.#start);
      this.#start = log.dropFirst().id;
    }
  }
}

/** Reads page by page on its own, until it has reached the follower. */
class StoredReader extends LogReader {
  readonly #store: LogStore;
  readonly #follower: LogFollower;
  readonly #after: string | undefined;
  /** Of what it gave last; unknown until the first page is asked for. */
  #position: string | undefined;
  #page: Page | undefined;
  #nextIndex = 0;
  #state: "reading" | "fetching" | "failed" | "left" = "reading";
  #error: unknown;
  #pause = new AbortController();

  constructor(
    store: LogStore,
    follower: LogFollower,
    after: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    super(signal);
    this.#store = store;
    this.#follower = follower;
    this.#after = after;
    // From now on, not from when the first message is asked for.
    if (after === undefined) this.#fetch();
  }

  override get begun(): string | undefined {
    return this.#position;
  }

  fail(error: unknown): void {
    this.#error = error;
    this.#state = "failed";
    this.ask();
  }

  protected take(waker: Waker) {
    if (this.#state === "failed") throw this.#error;
    if (this.#state === "fetching") return;
    const entry = this.#next(waker);
    if (entry === "end") return END;
    if (entry === undefined) return;
    this.#position = entry.id;
    return { done: false as const, value: entry.message };
  }

  protected leave(waker: Waker | undefined): void {
    this.#state = "left";
    this.#pause.abort();
    if (waker !== undefined) this.#follower.leave(waker);
  }

  #next(waker: Waker): Entry | "end" | undefined {
    const page = this.#page;
    if (page !== undefined) {
      if (this.#nextIndex < page.entries.length) {
        return page.entries[this.#nextIndex++];
      }
      if (page.ended) return "end";
      this.#page = undefined;
      this.#position = page.end;
    }
    const position = this.#position;
    if (position !== undefined) {
      const entry = this.#follower.after(position);
      if (entry !== undefined) return entry;
      // Nothing follows it, or did when this page came, perhaps a while ago.
      if (this.#follower.has(position) || page?.entries.length === 0) {
        this.#follower.wait(waker, this, position);
        return;
      }
    }
    // Until it is at the end again, it needs nobody to follow the log.
    this.#follower.leave(waker);
    this.#fetch();
  }

  async #fetch(): Promise<void> {
    this.#state = "fetching";
    try {
      this.#page = await this.#nextPage();
      this.#nextIndex = 0;
    } catch (error) {
      if (this.#state === "fetching") this.fail(error);
    }
    if (this.#state !== "fetching") return;
    this.#state = "reading";
    this.ask();
  }

  async #nextPage(): Promise<Page | undefined> {
    let failures = 0;
    while (this.#state === "fetching") {
      // Nobody need have asked for a message yet.
      this.signal?.throwIfAborted();
      try {
        const position = this.#position ??= await this.#begin();
        const page = await this.#store.pageAfter(position);
        if (page !== undefined) return page;
        throw new EventLogGapError(position, await this.#store.oldest());
      } catch (error) {
        if (error instanceof EventLogGapError) throw error;
        tell(this.#store, error);
        await pause(failures++, this.#pause.signal);
      }
    }
  }

  async #begin(): Promise<string> {
    if (this.#after === "") return await this.#store.oldest();
    return this.#after ?? (await this.#store.status()).lastId;
  }
}

/** Reports a failure. Throws it if reading has to end with it. */
function tell(store: LogStore, error: unknown): void {
  if (store.isLasting(error)) throw error;
  store.onError(error);
}

/** What a failure says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return textOf((error as Error | undefined)?.message ?? error);
}

/** Waits a while, the longer the more often it has failed. */
function pause(failures: number, signal: AbortSignal): Promise<void> {
  return wait(backoffDelay(BACKOFF, failures + 1), signal);
}
