/**
 * An event log in memory.
 *
 * @module
 */

import { checkRange, checkType } from "../internal/check.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogEndedError,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import {
  checkMessages,
  EXTRAS,
  type LogExtras,
  randomTag,
  toKept,
  toRead,
} from "./message.ts";
import { LogReader } from "./reader.ts";
import { LogWindow } from "./window.ts";

/** How much a {@linkcode MemoryEventLog} keeps. */
export interface MemoryEventLogOptions {
  /**
   * How many messages are kept at most.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * How many bytes the messages that are kept are at most, as they are written.
   * The newest message is kept in any case.
   *
   * @default {16_777_216}
   */
  maxBytes?: number | undefined;
  /**
   * How many ms a message is kept at most. One that is too old is dropped when
   * the log is next used, and so given to nobody.
   *
   * @default {Infinity}
   */
  maxAge?: number | undefined;
}

/**
 * A log in the memory of this process, of the newest messages. Its ids hold good
 * as long as the process: after a restart they are unknown, and so a gap.
 *
 * A message is encoded once, when it is appended, and a reader that waits costs
 * a few hundred bytes.
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
   * Makes a log.
   *
   * @param options How much it keeps.
   * @throws {RangeError} If one of the numbers is less than 1.
   */
  constructor(options: MemoryEventLogOptions = {}) {
    this.#window = new MemoryWindow(options);
  }

  // deno-lint-ignore require-await
  async append(...messages: SseMessage[]): Promise<string> {
    checkMessages(messages);
    const log = this.#window;
    const time = Date.now();
    const entries = messages.map((message, i) => {
      const id = log.id(log.next + i);
      return { id, ...toRead(toKept(message), id), time };
    });
    if (log.ended) throw new EventLogEndedError();
    for (const entry of entries) log.push(entry);
    log.lastTime = time;
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

  // deno-lint-ignore require-await
  async status(): Promise<EventLogStatus> {
    return this.#window.status();
  }

  /** @internal */
  get [EXTRAS](): LogExtras {
    return {
      lastId: async () => (await this.status()).lastId,
      // deno-lint-ignore require-await
      touch: async () => void (this.#window.lastTime = Date.now()),
      appendSafely: (messages) => this.append(...messages),
    };
  }
}

/** What the log keeps, and the ids that it gives. */
class MemoryWindow extends LogWindow {
  /** The readers that have read everything, and wait for more. */
  readonly waiting = new Set<MemoryReader>();
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #maxAge: number;
  #lazyEpoch: string | undefined;
  /** The time of the last append or renewal. */
  lastTime = -Infinity;

  constructor(options: MemoryEventLogOptions) {
    super();
    const {
      maxMessages = 10_000,
      maxBytes = 16 * 1024 * 1024,
      maxAge = Infinity,
    } = options;
    this.#maxMessages = checkRange("maxMessages", maxMessages, 1);
    this.#maxBytes = checkRange("maxBytes", maxBytes, 1);
    this.#maxAge = checkRange("maxAge", maxAge, 1);
  }

  status(): EventLogStatus {
    const idle = Math.max(Date.now() - this.lastTime, 0);
    return { lastId: this.id(this.next - 1), ended: this.ended, idle };
  }

  id(number: number): string {
    // Not when the log is made, which may be as a module loads: some runtimes
    // have no random numbers then.
    this.#lazyEpoch ??= randomTag();
    return `${this.#lazyEpoch}-${number}`;
  }

  /** The number of the message after which to read, -1 for an unknown one. */
  numberOf(after: string | undefined): number {
    if (after === undefined) return this.next - 1;
    checkType(after, "string", "after to be a string");
    if (after === "") return this.first - 1;
    const number = Number(after.slice(after.indexOf("-") + 1));
    const known = Number.isSafeInteger(number) && number < this.next &&
      this.id(number) === after;
    return known ? number : -1;
  }

  /** Drops what is too much, and what is too old. */
  trim(): void {
    while (
      this.length > 1 &&
      (this.length > this.#maxMessages || this.size > this.#maxBytes)
    ) this.dropFirst();
    if (this.#maxAge === Infinity) return;
    const oldest = Date.now() - this.#maxAge;
    while (this.length > 0 && this.entry(this.first)!.time < oldest) {
      this.dropFirst();
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
    super(options);
    log.trim();
    this.#log = log;
    this.#after = after;
    this.#number = log.numberOf(after);
    this.#last = options.follow === false ? log.next - 1 : Infinity;
  }

  override flow(): void {
    const log = this.#log;
    const isWaiting = log.waiting.has(this);
    if (!isWaiting) log.trim();
    while (this.isFlowing && this.#number < this.#last) {
      if (this.#number < log.first - 1) return this.fail(this.#gap());
      const entry = log.entry(this.#number + 1);
      if (entry === undefined) break;
      this.#number++;
      this.write(entry.message);
    }
    if (!this.isFlowing) log.waiting.delete(this);
    else if (log.ended || this.#number >= this.#last) this.close();
    else if (!isWaiting) log.waiting.add(this);
  }

  protected leave(): void {
    this.#log.waiting.delete(this);
  }

  // deno-lint-ignore require-await
  protected async status(): Promise<EventLogStatus> {
    return this.#log.status();
  }

  protected get isAtEnd(): boolean {
    return this.#number === this.#log.next - 1;
  }

  #gap(): EventLogGapError {
    const log = this.#log;
    return new EventLogGapError(
      this.#number < 0 ? this.#after! : log.id(this.#number),
      log.id(log.first - 1),
    );
  }
}
