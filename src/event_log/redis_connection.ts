/**
 * The connection to Redis that the event logs of a process share.
 *
 * @module
 */

import {
  check,
  checkType,
  functionOption,
  numberOption,
} from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import { MAX_TIMER_DELAY, wait, within } from "../internal/wait.ts";
import { randomTag } from "./message.ts";
import { isProgramError, messageOf, retryDelay } from "./retry.ts";
import { pollIntervalOption } from "./stored.ts";

/**
 * Sends a Redis command, whose first item is its name, and returns the reply.
 *
 * @see {@link https://redis.io/docs/latest/commands/}
 */
export type SendRedisCommand = (command: string[]) => Promise<unknown>;

/**
 * Options of {@linkcode RedisConnection}: how to send commands, and how long to
 * wait.
 *
 * @example With the npm package `ioredis`
 * ```ts ignore
 * import { RedisConnection } from "@x/sse/event-log/redis";
 * import { Redis } from "npm:ioredis@6";
 *
 * const client = new Redis({ maxRetriesPerRequest: 0 });
 * const blocking = client.duplicate();
 * const redis = new RedisConnection({
 *   send: ([name, ...args]) => client.call(name, ...args),
 *   sendBlocking: ([name, ...args]) => blocking.call(name, ...args),
 *   onError: (error) => console.warn(error),
 * });
 * ```
 *
 * @see {@link https://redis.io/docs/latest/commands/xread/}
 */
export interface RedisConnectionOptions {
  /**
   * Sends a command through your client:
   *
   * - npm package `redis`: `(command) => client.sendCommand(command)`
   * - npm package `ioredis`: `([name, ...args]) => client.call(name, ...args)`
   *
   * Commands must reach Redis in the order of the calls. A single connection does
   * this; a pool of connections does not.
   */
  send: SendRedisCommand;
  /**
   * Sends a command whose reply may take a second. Use a client for it that sends
   * no other commands, such as `client.duplicate()`. One such client is enough for
   * all logs of the process. With it, readers get a message within milliseconds.
   *
   * The connection also writes to a stream of its own, to make the command
   * return when it has to wait for another log. The key of this stream contains
   * `:wake:`, and Redis deletes it a minute after its last use.
   *
   * By default, and while a reply to the command is overdue, Redis is polled
   * every `pollInterval` for each log that is being read.
   */
  sendBlocking?: SendRedisCommand | undefined;
  /**
   * Time in milliseconds between two polls, if there is no `sendBlocking`, or
   * if Redis refuses the blocking command or does not reply to it. It is at
   * least 10.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the reply to a command of `send`.
   * After this time, the command counts as failed. Some clients never settle
   * commands that were in flight when a connection was lost.
   *
   * @default {10_000}
   */
  commandTimeout?: number | undefined;
  /**
   * Called with the error of each read that is retried, for example while Redis
   * cannot be reached. By default, these errors are ignored. Use it to log
   * them. Errors that a retry cannot change are thrown to readers, and so are
   * errors that this function throws.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** The time in ms for which a blocking command waits for a new entry. */
const BLOCK = 1000;

/** How late the reply to a blocking command may be, in ms. */
const MAX_BLOCK_LATENESS = 1000;

/**
 * The time in ms before the next blocking command, in which readers that were
 * woken can wait again.
 */
const REJOIN_TIME = 2;

/**
 * The time in ms after which Redis deletes the stream that interrupts blocking
 * commands.
 */
const WAKE_EXPIRY = 60_000;

/** Errors that show that one command cannot wait for several streams. */
const CANNOT_BLOCK = /CROSSSLOT|NOPERM/;

/**
 * An error of one key. Its readers get the error when they read the key
 * themselves.
 */
const OF_ONE_KEY = /WRONGTYPE/;

/** A reader that waits for an entry of a stream after the entry with an id. */
interface Waiter {
  readonly key: string;
  readonly id: string;
  wake(): void;
  fail(error: unknown): void;
}

/** A blocking command, and the waiters that it is for. */
interface Blocked {
  readonly reply: Promise<unknown>;
  readonly waiters: ReadonlySet<Waiter>;
  /** The time at which it was sent. */
  readonly since: number;
  /** Whether a command was sent that makes this one return. */
  isInterrupted: boolean;
}

/**
 * The connection of a process to a Redis server. Create one for all logs of the
 * process: a single blocking command waits for new messages of all of them.
 *
 * In a Cloudflare Worker, except in a Durable Object, create a connection for each
 * request instead, and its logs as well. A request cannot use a socket or a timer
 * of another request there: its readers fail.
 *
 * @example Two logs on one connection
 * ```ts
 * import { RedisConnection, RedisEventLog } from "@x/sse/event-log/redis";
 *
 * // The part of a client of the npm package `redis` that is used.
 * interface Client {
 *   sendCommand(command: string[]): Promise<unknown>;
 * }
 *
 * function openLogs(client: Client, duplicate: Client) {
 *   const redis = new RedisConnection({
 *     send: (command) => client.sendCommand(command),
 *     sendBlocking: (command) => duplicate.sendCommand(command),
 *   });
 *   return {
 *     news: new RedisEventLog(redis, "news"),
 *     chat: new RedisEventLog(redis, "chat", { expireIn: 3_600_000 }),
 *   };
 * }
 * ```
 *
 * @see {@link https://redis.io/docs/latest/commands/xread/}
 */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  readonly #pollInterval: number;
  readonly #commandTimeout: number;
  readonly #waiters = new Set<Waiter>();
  /** Whether a blocking command can wait for all readers. Otherwise, they poll. */
  #canBlock: boolean;
  /** The newest blocking command, until its reply. */
  #blocked: Blocked | undefined;
  /** The stream by which the command is interrupted, and its newest id. */
  #wakeKey = "";
  #wakeId = "0-0";
  /**
   * The number of blocking commands in a row that failed, or returned too early
   * without an entry.
   */
  #failures = 0;
  /** Aborts when there is no waiter any more. Undefined unless `#run` runs. */
  #vacant: AbortController | undefined;

  /**
   * Creates a connection. Sends no command until a log uses it.
   *
   * @param options How to send commands, and how long to wait.
   * @throws {TypeError} If `send` is not a function, or another option has the
   * wrong type.
   * @throws {RangeError} If `pollInterval` is less than 10, or `commandTimeout`
   * is less than 1.
   */
  constructor(options: RedisConnectionOptions) {
    checkType(options, "object", "options with send");
    checkType(options.send, "function", "send to be a function");
    functionOption(options, "sendBlocking");
    functionOption(options, "onError");
    this.#options = { ...options };
    this.#canBlock = options.sendBlocking !== undefined;
    this.#pollInterval = pollIntervalOption(options);
    this.#commandTimeout = numberOption(options, "commandTimeout", 10_000, 1);
  }

  /** @internal Reports the error of a command that is retried. */
  onError(error: unknown): void {
    this.#options.onError?.(error);
  }

  /** @internal Sends a command that does not block. */
  async send(command: string[]): Promise<unknown> {
    return await within(
      this.#options.send(command),
      this.#commandTimeout,
      `Redis to answer ${command[0]}`,
      "commandTimeout",
    );
  }

  /** @internal Resolves when a stream may have an entry after an id, or on abort. */
  async wait(key: string, id: string, signal: AbortSignal): Promise<void> {
    if (!this.#canBlock) return await wait(this.#pollInterval, signal);
    const { promise, resolve, reject } = deferred<void>();
    const waiter: Waiter = { key, id, wake: resolve, fail: reject };
    for (const other of this.#waiters) {
      // One of the two waiters does not know the newest entry, so both read
      // again.
      if (other.key === key && other.id !== id) return other.wake();
    }
    this.#waiters.add(waiter);
    if (this.#vacant === undefined) this.#run();
    if (this.#blocked) this.#interrupt(this.#blocked);
    try {
      await wait(MAX_TIMER_DELAY, signal, promise);
    } finally {
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0) this.#vacant!.abort();
    }
  }

  /** Waits for all streams with one command, as long as there are waiters. */
  async #run(): Promise<void> {
    while (this.#waiters.size > 0) {
      const { signal } = this.#vacant = new AbortController();
      await undefined; // Other readers may begin to wait in the same task.
      try {
        if (this.#failures > 0) await wait(retryDelay(this.#failures), signal);
        if (!signal.aborted) await this.#block(signal);
      } catch (error) {
        this.#failures++;
        this.#report(error);
      }
      await wait(REJOIN_TIME, signal);
    }
    this.#vacant = undefined;
  }

  /** Waits once for a new entry, and wakes its waiters. */
  async #block(signal: AbortSignal): Promise<void> {
    // A command whose reply is late may be lost. No other one is sent before
    // the reply.
    const blocked = this.#blocked ??= this.#sendBlocking();
    const left = blocked.since + BLOCK + MAX_BLOCK_LATENESS - Date.now();
    await wait(left > 0 ? left : this.#pollInterval, signal, blocked.reply);
    if (signal.aborted) return;
    if (this.#blocked !== blocked) {
      return this.#receive(await blocked.reply, blocked);
    }
    // The connection may be dead. Until it replies, the waiters poll.
    this.#wake(this.#waiters);
    if (left <= 0) return;
    this.#report(new Error(`Expected Redis to answer XREAD in ${left} ms`));
  }

  #sendBlocking(): Blocked {
    const waiters = new Set(this.#waiters);
    const ids = new Map([...waiters].map(({ key, id }) => [key, id]));
    this.#wakeKey ||= `${slotOf([...ids.keys()][0])}:wake:${randomTag()}`;
    const reply = this.#options.sendBlocking!([
      ...["XREAD", "COUNT", "1", "BLOCK", String(BLOCK), "STREAMS"],
      ...[this.#wakeKey, ...ids.keys(), this.#wakeId, ...ids.values()],
    ]);
    const settle = () => void (this.#blocked = undefined);
    reply.then(settle, settle);
    return { reply, waiters, since: Date.now(), isInterrupted: false };
  }

  #receive(reply: unknown, { waiters, since }: Blocked): void {
    const isReply = typeof reply === "object";
    check(isReply, "sendBlocking to give entries or null", reply);
    const newest = new Map(streamsOf(reply));
    const woken = [...waiters].filter(({ key }) => newest.has(key));
    this.#wake(woken);
    const wakeId = newest.get(this.#wakeKey);
    if (wakeId) this.#wakeId = wakeId;
    const isEarly = Date.now() - since < BLOCK / 2;
    const isWaste = isEarly && woken.length === 0 && !wakeId;
    this.#failures = isWaste ? this.#failures + 1 : 0;
  }

  /** Makes the command return, because it is not for all of the waiters. */
  async #interrupt(blocked: Blocked): Promise<void> {
    if (blocked.isInterrupted) return;
    blocked.isInterrupted = true;
    try {
      await undefined; // For readers that begin to wait in the same task.
      await Promise.all([
        this.send(["XADD", this.#wakeKey, "MAXLEN", "1", "*", "w", ""]),
        this.send(["PEXPIRE", this.#wakeKey, String(WAKE_EXPIRY)]),
      ]);
    } catch (error) {
      // The command also returns by itself, but later.
      this.#report(error);
    }
  }

  #wake(waiters: Iterable<Waiter>): void {
    for (const waiter of waiters) waiter.wake();
  }

  /**
   * Reports an error, and wakes all waiters, or fails them with a permanent
   * error.
   */
  #report(error: unknown): void {
    try {
      const cannotBlock = CANNOT_BLOCK.test(messageOf(error));
      const isOfAll = !cannotBlock && !OF_ONE_KEY.test(messageOf(error));
      if (isOfAll && isPermanent(error)) throw error;
      this.onError(error);
      if (cannotBlock) this.#canBlock = false;
      this.#wake(this.#waiters);
    } catch (thrown) {
      for (const waiter of this.#waiters) waiter.fail(thrown);
    }
  }
}

/** Replies of Redis that a retry cannot change. */
const PERMANENT =
  /^-?(ERR (?!max |Error running script)|MOVED |WRONGTYPE |NOPERM |NOAUTH |WRONGPASS )/;

/** Whether another try cannot succeed. */
export function isPermanent(error: unknown): boolean {
  return isProgramError(error) || PERMANENT.test(messageOf(error));
}

/**
 * Returns the start of a key that a cluster puts into the same slot as the
 * given key.
 */
export function slotOf(key: string): string {
  return /\{[^}]+\}/.exec(key)?.[0] ?? `{${key}}`;
}

/**
 * Returns the newest id of each stream that has entries in a reply to XREAD, in
 * any form in which clients return it.
 */
function streamsOf(reply: unknown): [key: string, id: string][] {
  const pairs: [unknown, unknown][] = reply instanceof Map
    ? [...reply]
    : !Array.isArray(reply)
    ? Object.entries(reply ?? {})
    : Array.isArray(reply[0])
    ? reply as [unknown, unknown][]
    // RESP3 without a map: keys and entries in turn.
    : reply.flatMap((it, i) => i % 2 === 0 ? [[it, reply[i + 1]]] : []);
  return pairs.flatMap(([key, entries]) => {
    const newest = (entries as unknown[][] | undefined)?.at(-1);
    return newest ? [[toText(key), toText(newest[0])]] : [];
  });
}

/** Whether a reply is a string, which clients give as text or as bytes. */
export function isText(value: unknown): value is string | Uint8Array {
  return typeof value === "string" || value instanceof Uint8Array;
}

export function toText(value: unknown): string {
  return value instanceof Uint8Array
    ? new TextDecoder().decode(value)
    : String(value);
}
