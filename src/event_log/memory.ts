/**
 * An event log in memory.
 *
 * @module
 */

import {
  checkRange,
  checkSignal,
  checkTimeout,
  checkType,
} from "../internal/check.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import { endedError, randomTag, toKept, toRead } from "./message.ts";
import { LogReader } from "./reader.ts";
import { LogWindow } from "./window.ts";
import { END, type Waker } from "../write/poll.ts";

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
   * @throws {RangeError} If one of the numbers is not positive.
   */
  constructor(options: MemoryEventLogOptions = {}) {
    this.#window = new MemoryWindow(options);
  }

  // deno-lint-ignore require-await
  async append(message: SseMessage): Promise<string> {
    const log = this.#window;
    const id = log.id(log.next);
    const read = toRead(toKept(message), id);
    if (log.ended) throw endedError();
    log.push({ id, ...read, time: Date.now() });
    log.trim();
    log.wakeAll(read.message);
    return id;
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
    checkSignal(options.signal);
    return new MemoryReader(this.#window, after, options.signal);
  }

  // deno-lint-ignore require-await
  async status(): Promise<EventLogStatus> {
    const { next, ended } = this.#window;
    return { lastId: this.#window.id(next - 1), ended };
  }
}

/** What the log keeps, and the ids that it gives. */
class MemoryWindow extends LogWindow<MemoryReader> {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #maxAge: number;
  #lazyEpoch: string | undefined;

  constructor(options: MemoryEventLogOptions) {
    super((reader) => reader.stop());
    const { maxMessages = 10_000, maxBytes = 16 * 1024 * 1024 } = options;
    checkRange("maxMessages", maxMessages, 1);
    checkRange("maxBytes", maxBytes, 1);
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
    checkTimeout("maxAge", options.maxAge);
    this.#maxAge = options.maxAge ?? Infinity;
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
}

class MemoryReader extends LogReader {
  readonly #log: MemoryWindow;
  readonly #after: string | undefined;
  /** The number of the message that it gave last, unless it waits. */
  #number: number;
  #state: "reading" | "waiting" = "reading";

  constructor(
    log: MemoryWindow,
    after: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    super(signal);
    log.trim();
    this.#log = log;
    this.#after = after;
    this.#number = log.numberOf(after);
  }

  /** Stops waiting: while it waited, it was handed every message. */
  stop(): void {
    this.#state = "reading";
    this.#number = this.#log.next - 1;
  }

  protected take(waker: Waker) {
    const log = this.#log;
    if (this.#state === "waiting") this.stop();
    else log.trim();
    if (this.#number < log.first - 1) throw this.#gap();
    const entry = log.entry(this.#number + 1);
    if (entry !== undefined) {
      this.#number++;
      return { done: false as const, value: entry.message };
    }
    if (log.ended) return END;
    this.#state = "waiting";
    log.wait(waker, this);
  }

  protected leave(waker: Waker | undefined): void {
    if (waker !== undefined) this.#log.leave(waker);
  }

  #gap(): EventLogGapError {
    const log = this.#log;
    return new EventLogGapError(
      this.#number < 0 ? this.#after! : log.id(this.#number),
      log.id(log.first - 1),
    );
  }
}
