/**
 * Recording a source in a log.
 *
 * @module
 */

import {
  checkSignal,
  checkType,
  functionOption,
  timeoutOption,
} from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import { onAbort, wait } from "../internal/wait.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  PulledSubscription,
  type Sink,
  type SseSource,
} from "../write/subscription.ts";
import { type EventLog, isEndedError, isGapError } from "./event_log.ts";
import { extrasOf, type LogExtras, toJson } from "./message.ts";
import { retryDelay } from "./retry.ts";

/**
 * Options of {@linkcode record}: how to stop it, how to keep the log alive, and
 * what to append when the source fails.
 *
 * @example Tell the readers what went wrong
 * ```ts
 * import type { RecordOptions } from "@x/sse/event-log";
 *
 * const options: RecordOptions = {
 *   keepAlive: 10_000,
 *   onError(error) {
 *     console.error(error);
 *     return { event: "error", data: "Try again later" };
 *   },
 * };
 * ```
 *
 * @see {@link https://dom.spec.whatwg.org/#interface-AbortSignal}
 */
export interface RecordOptions {
  /**
   * Stops recording when it aborts: the source is closed, and the log is ended
   * without a last message. To tell readers that an answer was interrupted, let
   * the source notice your signal, give a last message and end.
   */
  signal?: AbortSignal | undefined;
  /**
   * Interval in milliseconds at which the log is renewed: its `idle` time
   * starts again at 0, as after an append, but no message is added. Set it if
   * the source can be silent for longer than the `idleTimeout` of the readers.
   * Choose a third of their `idleTimeout`. It has no effect on an `EventLog`
   * that is not of this package.
   *
   * @default {Infinity}
   */
  keepAlive?: number | undefined;
  /**
   * Called with the error if the source fails, or if a message cannot be
   * appended, for example because it is too large. Returns the message to append
   * before the log is ended, or `undefined` to append none. Errors that it
   * throws are ignored.
   *
   * By default, `{ event: "error", data: "" }` is appended, which does not show
   * the error to clients.
   */
  onError?: ((error: unknown) => SseMessage | undefined) | undefined;
}

/** Maximum number of messages that wait while others are being appended. */
const MAX_WAITING = 100;

/** The time in ms between a gap and the next look whether the log has ended. */
const GAP_DELAY = 100;

/** The time in ms for which a failed `end()` of the log is repeated. */
const MAX_END_TIME = 10_000;

/**
 * Appends the messages of a source to a log, and ends the log when the source
 * ends. Use it if an answer has to continue even if its reader disconnects:
 * this function writes the answer to the log, and clients read the log with
 * {@linkcode resume}.
 *
 * You do not have to await it: it rejects only if an argument is wrong.
 * Messages that arrive while others are being appended are then appended
 * together. If the log is ended elsewhere, in any process, the source is closed
 * as soon as this process notices the end. If ending the log fails, it is tried
 * again for up to 10 seconds.
 *
 * @param log The log.
 * @param source The messages: an iterable, a stream or a connection; or a
 * function that returns one of them or a promise of one. Use a function if the
 * source awaits something: the signal that it gets aborts as soon as recording
 * is over, so that `connectSse(url, { signal })` ends at once.
 * @param options How to stop it, and what to append when the source fails.
 * @returns `"complete"` if the source has ended; `"stopped"` if the signal has
 * aborted, or the log was ended elsewhere; `"failed"` if the source or the log
 * has failed.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If `keepAlive` is less than 1.
 *
 * @example An answer of an LLM that any client can follow and stop
 * ```ts
 * import { connectSse, sseResponse } from "@x/sse";
 * import { MemoryEventLog, record, resume } from "@x/sse/event-log";
 *
 * const logs = new Map<string, MemoryEventLog>();
 *
 * async function start(): Promise<string> {
 *   const answer = await connectSse("https://example.com/chat", {
 *     method: "POST",
 *     until: "[DONE]",
 *   });
 *   const id = crypto.randomUUID();
 *   const log = new MemoryEventLog();
 *   logs.set(id, log);
 *   record(log, answer);
 *   return id;
 * }
 *
 * const id = await start();
 * const request = new Request("https://example.com/answers/1");
 * console.log(await sseResponse(resume(logs.get(id)!, request)).text());
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export async function record(
  log: EventLog,
  source: SseSource | ((signal: AbortSignal) => SseSource | Promise<SseSource>),
  options: RecordOptions = {},
): Promise<"complete" | "stopped" | "failed"> {
  checkType(log?.append, "function", "log to be an event log");
  checkSignal(options.signal);
  timeoutOption(options, "keepAlive");
  functionOption(options, "onError");
  return await new Recording(log, source, options).run();
}

type Source = Parameters<typeof record>[1];
type Outcome = Awaited<ReturnType<typeof record>>;

class Recording implements Sink {
  readonly #log: EventLog;
  readonly #extras: LogExtras;
  readonly #subscription: PulledSubscription;
  readonly #options: RecordOptions;
  /** Aborts when recording is over, for any reason. */
  readonly #over = new AbortController();
  /** The messages that wait while others are appended. */
  #waiting: SseMessage[] = [];
  #appending: Promise<void> | undefined;
  /** Whether messages could not be appended, even after retries. */
  #hasLost = false;
  readonly #outcome = deferred<Outcome>();

  constructor(log: EventLog, source: Source, options: RecordOptions) {
    this.#log = log;
    this.#extras = extrasOf(log);
    this.#options = options;
    const { signal } = this.#over;
    this.#subscription = new PulledSubscription(
      typeof source === "function" ? () => source(signal) : source,
      this,
    );
  }

  async run(): Promise<Outcome> {
    const { signal } = this.#options;
    const stopListening = onAbort(signal, () => this.#finish("stopped"));
    this.#watch();
    this.#keepAlive();
    this.#subscription.pull();
    const outcome = await this.#outcome.promise;
    stopListening();
    await this.#end();
    return outcome;
  }

  write(message: SseMessage): boolean {
    toJson(message); // An invalid message must not fail its whole batch.
    this.#waiting.push(message);
    this.#appending ??= this.#appendAll();
    return this.#waiting.length < MAX_WAITING;
  }

  async close(): Promise<void> {
    await this.#appending;
    this.#finish("complete");
  }

  /** The source has failed, or has given an invalid message. */
  async error(reason: unknown): Promise<void> {
    await this.#appending;
    if (!this.#over.signal.aborted) await this.#fail(reason);
  }

  /** Ends the log. Without the end, its readers would wait forever. */
  async #end(): Promise<void> {
    const start = Date.now();
    for (let failures = 1;; failures++) {
      try {
        return await this.#log.end();
      } catch {
        // If the log cannot be ended, readers with an `idleTimeout` notice it.
        if (this.#hasLost || Date.now() - start > MAX_END_TIME) return;
      }
      await wait(retryDelay(failures));
    }
  }

  /** Ends recording. Only the first call has an effect. */
  #finish(outcome: Outcome): void {
    this.#outcome.resolve(outcome);
    this.#subscription.cancel().catch(() => {});
    this.#over.abort();
  }

  /** Stops if the log is ended elsewhere. */
  async #watch(): Promise<void> {
    const { signal } = this.#over;
    while (true) {
      try {
        for await (const _ of this.#log.read(undefined, { signal }));
        return this.#finish("stopped");
      } catch (error) {
        // A log that cannot be read may still be appended to.
        if (!isGapError(error)) return;
        // Messages may be deleted faster than they are read.
        await wait(GAP_DELAY, signal);
      }
    }
  }

  async #keepAlive(): Promise<void> {
    const { keepAlive = Infinity } = this.#options;
    const { signal } = this.#over;
    if (keepAlive === Infinity) return;
    while (true) {
      await wait(keepAlive, signal);
      if (signal.aborted) return;
      await this.#extras.touch().catch(() => {});
    }
  }

  /** Appends the message of `onError`, and ends recording. */
  async #fail(error: unknown): Promise<void> {
    const { onError = () => ({ event: "error", data: "" }) } = this.#options;
    try {
      const message = onError(error);
      if (message !== undefined) await this.#extras.appendSafely([message]);
    } catch {
      // The log ends without a last message.
    }
    this.#finish("failed");
  }

  /** Appends all messages, and then lets the source continue. Never rejects. */
  async #appendAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#over.signal.aborted) {
        await this.#extras.appendSafely(this.#waiting.splice(0));
      }
      this.#appending = undefined;
      this.#subscription.pull();
    } catch (error) {
      if (isEndedError(error)) return this.#finish("stopped");
      // Nothing but an error is appended after lost messages.
      this.#hasLost = true;
      this.#subscription.cancel().catch(() => {});
      await this.#fail(error);
    }
  }
}
