/**
 * An event log in memory.
 *
 * @module
 */

import { checkType, numberOption } from "../internal/check.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogEndedError,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import {
  EXTRAS,
  fromStored,
  type LogExtras,
  randomTag,
  toStored,
} from "./message.ts";
import { LogReader } from "./reader.ts";

/**
 * Options of {@linkcode MemoryEventLog}: how many messages it keeps, and how
 * long.
 */
export interface MemoryEventLogOptions {
  /**
   * Maximum number of messages to keep. Choose it so that a client that was
   * disconnected for a while finds the messages that it missed.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Maximum total size in bytes of the kept messages, as they are sent to
   * clients. The newest message is kept whatever its size is.
   *
   * @default {16_777_216}
   */
  maxBytes?: number | undefined;
  /**
   * Maximum time in milliseconds to keep a message. Set it if old messages are
   * of no use to a client. Messages that are too old are removed when the log
   * is next used, before anything is read.
   *
   * @default {Infinity}
   */
  maxAge?: number | undefined;
}

/**
 * A log of the newest messages, in the memory of this process. Use it if one
 * process appends and serves all clients. Its ids are valid only in this
 * process: after a restart, a client that continues after an old id gets a gap.
 *
 * A message is encoded once, when it is appended, and not for each client. A
 * waiting reader takes a few hundred bytes of memory.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog({ maxAge: 60 * 60 * 1000 });
 * await log.append({ event: "greeting", json: { text: "Hello" } });
 *
 * export default {
 *   fetch: (request: Request) =>
 *     sseResponse(resume(log, request), { heartbeat: 15_000 }),
 * };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export class MemoryEventLog implements EventLog {
  readonly #window: MemoryWindow;

  /**
   * Creates a log.
   *
   * @param options How many messages to keep, and how long.
   * @throws {RangeError} If one of the numbers is less than 1.
   */
  constructor(options: MemoryEventLogOptions = {}) {
    this.#window = new MemoryWindow(options);
  }

  // deno-lint-ignore require-await
  async append(message: SseMessage, ...more: SseMessage[]): Promise<string> {
    const log = this.#window;
    const time = log.now();
    const entries = [message, ...more].map((message, i) => {
      const id = log.id(log.next + i);
      return { id, ...fromStored(toStored(message), id), time };
    });
    if (log.ended) throw new EventLogEndedError();
    for (const entry of entries) log.push(entry);
    log.trim();
    log.wakeAll();
    return entries.at(-1)!.id;
  }

  // deno-lint-ignore require-await
  async end(): Promise<void> {
    this.#window.ended = true;
    this.#window.wakeAll();
  }

  read(
    after?: string | undefined,
    options: EventLogReadOptions = {},
  ): AsyncIterable<SseMessage> {
    return new MemoryReader(this.#window, after, options);
  }

  status(): Promise<EventLogStatus> {
    return this.#window.status();
  }

  /** @internal */
  get [EXTRAS](): LogExtras {
    return {
      lastId: async () => (await this.status()).lastId,
      // deno-lint-ignore require-await
      touch: async () => void (this.#window.lastTime = this.#window.now()),
      appendSafely: ([first, ...more]) => this.append(first, ...more),
    };
  }
}

/** A message with its id. */
interface Entry {
  id: string;
  message: SseMessage;
  /** The size of the encoded message in bytes. */
  size: number;
  /** The time of the append. */
  time: number;
}

/** The messages of a log, numbered without a gap. */
class MemoryWindow {
  /** The number of the oldest message. */
  first = 1;
  /** The number of the message that comes next. */
  next = 1;
  ended = false;
  /** The time of the last append or renewal. */
  lastTime = -Infinity;
  /** The readers that have read everything, and wait for more. */
  readonly waiting = new Set<MemoryReader>();
  /** The messages that are kept, by number. */
  readonly entries = new Map<number, Entry>();
  /** The size of all messages in bytes. */
  #size = 0;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #maxAge: number;
  #lazyEpoch: string | undefined;
  #latestTime = -Infinity;
  /** How much the clock was set back, in ms. */
  #setBack = 0;

  constructor(options: MemoryEventLogOptions) {
    this.#maxMessages = numberOption(options, "maxMessages", 10_000, 1);
    this.#maxBytes = numberOption(options, "maxBytes", 16_777_216, 1);
    this.#maxAge = numberOption(options, "maxAge", Infinity, 1);
  }

  // deno-lint-ignore require-await
  async status(): Promise<EventLogStatus> {
    const idle = this.now() - this.lastTime;
    return { lastId: this.id(this.next - 1), ended: this.ended, idle };
  }

  /** Returns the time in ms. It stands still while the clock is set back. */
  now(): number {
    const now = Date.now() + this.#setBack;
    this.#latestTime = Math.max(this.#latestTime, now);
    this.#setBack += this.#latestTime - now;
    return this.#latestTime;
  }

  id(number: number): string {
    // Not in the constructor: a log may be created while a module loads, when
    // some runtimes refuse to generate random numbers.
    this.#lazyEpoch ??= randomTag();
    return `${this.#lazyEpoch}-${number}`;
  }

  /**
   * Returns the number of the message after which to read; -1 if the id is
   * unknown.
   */
  numberOf(after: string | undefined): number {
    if (after === undefined) return this.next - 1;
    checkType(after, "string", "after to be a string");
    if (after === "") return this.first - 1;
    const number = Number(after.slice(after.indexOf("-") + 1));
    const known = Number.isSafeInteger(number) && number < this.next &&
      this.id(number) === after;
    return known ? number : -1;
  }

  push(entry: Entry): void {
    this.entries.set(this.next++, entry);
    this.#size += entry.size;
    this.lastTime = entry.time;
  }

  /** Drops the oldest messages until all limits are met. */
  trim(): void {
    const oldest = this.now() - this.#maxAge;
    while (this.first < this.next) {
      const entry = this.entries.get(this.first)!;
      const { size } = this.entries;
      const isOver = size > this.#maxMessages ||
        size > 1 && this.#size > this.#maxBytes;
      if (!isOver && entry.time >= oldest) return;
      this.entries.delete(this.first++);
      this.#size -= entry.size;
    }
  }

  wakeAll(): void {
    for (const reader of this.waiting) reader.flow();
  }
}

class MemoryReader extends LogReader {
  readonly #log: MemoryWindow;
  readonly #after: string | undefined;
  /** The number of the message that it wrote last. */
  #number: number;
  /** The number of the last message to write. */
  readonly #last: number;

  constructor(
    log: MemoryWindow,
    after: string | undefined,
    options: EventLogReadOptions,
  ) {
    super(log, options);
    log.trim();
    this.#log = log;
    this.#after = after;
    this.#number = log.numberOf(after);
    this.#last = options.follow === false ? log.next - 1 : Infinity;
  }

  override flow(): void {
    const log = this.#log;
    log.trim();
    while (this.isFlowing && this.#number < this.#last) {
      if (this.#number < log.first - 1) return this.fail(this.#gap());
      const entry = log.entries.get(this.#number + 1);
      if (entry === undefined) break;
      this.#number++;
      this.write(entry.message);
    }
    if (!this.isFlowing) log.waiting.delete(this);
    else if (log.ended || this.#number >= this.#last) this.close();
    else log.waiting.add(this);
  }

  protected leave(): void {
    this.#log.waiting.delete(this);
  }

  #gap(): EventLogGapError {
    const log = this.#log;
    return new EventLogGapError(
      this.#number < 0 ? this.#after! : log.id(this.#number),
      log.id(log.first - 1),
    );
  }
}
