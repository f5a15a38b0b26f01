/**
 * An event log on Redis.
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
 * Sends a Redis command, its name first, and gives the reply.
 *
 * @see {@link https://redis.io/docs/latest/commands/}
 */
export type SendRedisCommand = (command: string[]) => Promise<unknown>;

/** The place of a {@linkcode RedisEventLog}, and how much of it is kept. */
export interface RedisEventLogOptions {
  /** The key of the stream. */
  key: string;
  /**
   * Sends a command through the caller's client:
   *
   * - of `redis`: `(command) => client.sendCommand(command)`,
   * - of `ioredis`: `([name, ...args]) => client.call(name, ...args)`.
   */
  send: SendRedisCommand;
  /**
   * Sends a command that may take up to five seconds, through a connection that
   * is used for nothing else, as of `client.duplicate()`. One log in a process
   * needs one connection, however many clients read.
   *
   * Without it, and while the connection gives no reply, Redis is asked every
   * `pollInterval` for what other processes have appended, while clients read.
   */
  sendBlocking?: SendRedisCommand | undefined;
  /**
   * Milliseconds between two polls if there is no `sendBlocking`.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * How many messages are kept at least, a whole number or `Infinity`; Redis
   * drops older ones when that is convenient. Entries that others have put into
   * the stream count. Those who append to one log should agree on it.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Told of each failure to read after which it is tried again, as while Redis
   * is away. What trying again cannot help is thrown to readers, as is what this
   * function throws.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** Maximum time in ms that Redis delays its reply if nothing is new. */
const BLOCK = 5000;

/** When it should have come at the latest. */
const LONGEST_BLOCK = BLOCK + 1000;

/** How many messages are asked for at once. */
const PAGE_LENGTH = 100;

/**
 * No id is higher, so that Redis itself refuses whatever would come after the
 * entry that has it.
 */
const LAST_ID = "18446744073709551615-18446744073709551615";

/** Errors of a Redis that is there and will not change its mind, or of ours. */
const LASTING =
  /^(Expected |-?(ERR (?!max number of clients)|WRONGTYPE |NOPERM |NOAUTH |WRONGPASS ))/;

/**
 * A log in a Redis stream, of which many processes append and read. It takes the
 * caller's own client as one function, and so works with any. It needs Redis 5
 * or newer, or what speaks as it does.
 *
 * What was stored is read once and in order by every reader, whatever happens to
 * connections, and to Redis as far as it keeps what it has acknowledged: reading
 * is tried again until it works or is ended. `append` is tried once, and rejects
 * with the client's error; then the message may have been stored or not. A client
 * that sends commands again after a lost connection may append a message twice.
 * For `ioredis`, set `maxRetriesPerRequest: 0`. Do not set
 * `autoResendUnfulfilledCommands: false`: it leaves commands pending forever.
 *
 * Redis may give an id again, after the stream was deleted or Redis flushed. So
 * each entry has a tag of its own, which is part of the log's ids. Reading an empty
 * log adds an entry that is no message, for readers to begin after. If the
 * message after which to read has been dropped, that is a gap, even if all that
 * followed it is kept.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { RedisEventLog, resume } from "@x/sse/event-log";
 *
 * // What is used of a client of the npm package `redis`, connected.
 * interface Client {
 *   sendCommand(command: string[]): Promise<unknown>;
 * }
 *
 * function newsHandler(client: Client, duplicate: Client) {
 *   const log = new RedisEventLog({
 *     key: "news",
 *     send: (command) => client.sendCommand(command),
 *     sendBlocking: (command) => duplicate.sendCommand(command),
 *   });
 *   return (request: Request) =>
 *     sseResponse(resume(log, request), { heartbeat: 15_000 });
 * }
 * ```
 *
 * @see {@link https://redis.io/docs/latest/develop/data-types/streams/}
 */
export class RedisEventLog implements EventLog {
  readonly #follower: LogFollower;

  /**
   * Makes a log, which sends nothing until it is used.
   *
   * @param options The place of the log, and how much of it is kept.
   * @throws {TypeError} If `key` is no string, or what should be a function is
   * none.
   * @throws {RangeError} If `maxMessages` is less than 1, or
   * `pollInterval` is less than 1.
   */
  constructor(options: RedisEventLogOptions) {
    checkType(options, "object", "options with key and send");
    this.#follower = new LogFollower(new RedisStore(options));
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

/** An entry of the stream. */
interface RedisEntry {
  /** The id that Redis gave it. */
  id: string;
  /** Its id with its tag, which is empty if other programs have added it. */
  position: string;
  /** The message as JSON, if it is one. */
  json?: string | undefined;
}

/** Names of fields, short as they are kept with every entry. */
const MESSAGE = "m";
const TAG = "t";

/** What {@linkcode randomTag} gives. */
const IS_TAG = /^[0-9a-z]+$/;

/** The end of a position that stands before an entry, and not after it. */
const BEFORE = "-before";

/** Matches only ids Redis accepts; all but the last one have fewer digits. */
const POSITION = new RegExp(
  `^(\\d{1,19}-\\d{1,19}|${LAST_ID})-([0-9a-z]*)(${BEFORE})?$`,
);

/** The stream, as entries and positions. */
class RedisStore implements LogStore {
  readonly #key: string;
  readonly #send: SendRedisCommand;
  readonly #sendBlocking: SendRedisCommand | undefined;
  readonly #pollInterval: number;
  /** How much of the stream each command that adds to it keeps. */
  readonly #limit: string[];
  readonly onError: (error: unknown) => void;
  readonly #cache = new EntryCache();
  /** A command that Redis has yet to answer, and until when it should have. */
  #blocked: { reply: Promise<unknown>; due: number } | undefined;

  constructor(options: RedisEventLogOptions) {
    const { pollInterval = 1000, maxMessages = 10_000 } = options;
    checkType(options.key, "string", "key to be a string");
    checkType(options.send, "function", "send to be a function");
    checkFunction("sendBlocking", options.sendBlocking);
    checkFunction("onError", options.onError);
    checkRange("pollInterval", pollInterval, 1);
    checkRange("maxMessages", maxMessages, 1);
    this.#key = options.key;
    this.#send = options.send;
    this.#sendBlocking = options.sendBlocking;
    this.#pollInterval = pollInterval;
    // With those for the start and the end, which are no messages.
    this.#limit = maxMessages === Infinity
      ? []
      : ["MAXLEN", "~", String(Math.ceil(maxMessages) + 2)];
    this.onError = options.onError ?? (() => {});
  }

  async append(json: string): Promise<string> {
    try {
      return await this.#add("*", MESSAGE, json);
    } catch (error) {
      throw isExhausted(error) ? endedError() : error;
    }
  }

  async end(): Promise<void> {
    try {
      await this.#add(LAST_ID, "end", "");
    } catch (error) {
      const [last] = await this.#range("XREVRANGE", "+", "-", 1);
      if (last?.id !== LAST_ID) throw error;
    }
  }

  /** Adds an entry; gives its position. */
  async #add(id: string, field: string, value: string): Promise<string> {
    const tag = randomTag();
    const entry = [id, field, value, TAG, tag];
    const reply = await this.#send(
      ["XADD", this.#key, ...this.#limit, ...entry],
    );
    const given = isText(reply) ? toText(reply) : "";
    check(/^\d+-\d+$/.test(given), "send to give an entry's id", reply);
    return `${given}-${tag}`;
  }

  async pageAfter(position: string): Promise<Page | undefined> {
    const page: Page = { entries: [], end: position, ended: false };
    while (true) {
      const [, id, , before] = POSITION.exec(page.end) ?? [];
      if (id === undefined) return undefined;
      // From the entry at the position on, to see whether it is still there: if
      // it is, so are all entries after it.
      const entries = await this.#range("XRANGE", id, "+", PAGE_LENGTH + 1);
      const isWhole = entries.length <= PAGE_LENGTH;
      const there = entries[0]?.position + (before ?? "") === page.end;
      if (!there) return undefined;
      // What ends the log, and may be all that it has, is looked at again.
      if (!before && id !== LAST_ID) entries.shift();
      for (const { id, position, json } of entries) {
        if (id === LAST_ID) {
          page.ended = true;
          break;
        }
        page.end = position;
        if (json === undefined) continue;
        page.entries.push(this.#cache.entry(position, () => json));
      }
      if (isWhole || page.entries.length > 0) return page;
    }
  }

  async oldest(): Promise<string> {
    while (true) {
      const [first] = await this.#range("XRANGE", "-", "+", 1);
      if (first !== undefined) return first.position + BEFORE;
      // A position needs an entry. Another process may have added one by now,
      // and even a message: that is read then.
      try {
        await this.#add("*", "start", "");
      } catch (error) {
        if (!isExhausted(error)) throw error;
      }
    }
  }

  async status(): Promise<EventLogStatus> {
    const newest = await this.#range("XREVRANGE", "+", "-", 2);
    const ended = newest[0]?.id === LAST_ID;
    const last = newest[1] && ended ? newest[1] : newest[0];
    return { lastId: last?.position ?? await this.oldest(), ended };
  }

  async wait(position: string, signal: AbortSignal): Promise<void> {
    if (this.#sendBlocking === undefined) {
      return await wait(this.#pollInterval, signal);
    }
    const [, id] = POSITION.exec(position)!;
    // A wait that was given up cannot be cancelled; its reply serves too.
    const { reply, due } = this.#blocked ??= {
      reply: this.#sendBlocking([
        "XREAD",
        ...["COUNT", "1", "BLOCK", String(BLOCK), "STREAMS", this.#key, id],
      ]).then(checkBlocked).finally(() => this.#blocked = undefined),
      due: Date.now() + LONGEST_BLOCK,
    };
    const left = due - Date.now();
    if (left > 0) {
      return await wait(Math.min(left, LONGEST_BLOCK), signal, reply);
    }
    // A connection that is dead may never say so. It is not given another
    // command, and meanwhile Redis is asked as if there were none.
    await wait(this.#pollInterval, signal);
  }

  isLasting(error: unknown): boolean {
    return error instanceof SyntaxError || LASTING.test(messageOf(error));
  }

  async #range(
    command: "XRANGE" | "XREVRANGE",
    from: string,
    to: string,
    count: number,
  ): Promise<RedisEntry[]> {
    const reply = await this.#send(
      [command, this.#key, from, to, "COUNT", String(count)],
    );
    check(Array.isArray(reply), "send to give a list of entries", reply);
    return reply.map(toEntry);
  }
}

/** Whether the stream has an entry with the last id. */
function isExhausted(error: unknown): boolean {
  return messageOf(error).includes("exhausted");
}

function toEntry(reply: unknown): RedisEntry {
  const [id, given] = Array.isArray(reply) ? reply : [];
  // Some clients make a map of names and values.
  const fields = given instanceof Map ? [...given].flat() : given;
  check(
    isText(id) && Array.isArray(fields) && fields.every(isText),
    "send to give entries as [id, [name, value, ...]]",
    reply,
  );
  const texts = fields.map(toText);
  const byName = new Map<string, string>();
  for (let i = 0; i < texts.length; i += 2) byName.set(texts[i], texts[i + 1]);
  const text = toText(id);
  // Others may keep entries of their own in the stream, with such fields.
  const tag = byName.get(TAG) ?? "";
  if (!IS_TAG.test(tag)) return { id: text, position: `${text}-` };
  return { id: text, position: `${text}-${tag}`, json: byName.get(MESSAGE) };
}

function checkBlocked(reply: unknown): void {
  check(
    typeof reply === "object",
    "sendBlocking to give entries or null",
    reply,
  );
}

/** Clients give strings as text or as bytes. */
function isText(value: unknown): value is string | Uint8Array {
  return typeof value === "string" || value instanceof Uint8Array;
}

function toText(value: string | Uint8Array): string {
  return typeof value === "string" ? value : new TextDecoder().decode(value);
}
