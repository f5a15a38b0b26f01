/**
 * An event log on Redis: the entry point `@x/sse/event-log/redis`.
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { resume } from "@x/sse/event-log";
 * import { RedisConnection, RedisEventLog } from "@x/sse/event-log/redis";
 *
 * // What is used of a client of the npm package `redis`, connected.
 * interface Client {
 *   sendCommand(command: string[]): Promise<unknown>;
 * }
 *
 * function newsHandler(client: Client, duplicate: Client) {
 *   const redis = new RedisConnection({
 *     send: (command) => client.sendCommand(command),
 *     sendBlocking: (command) => duplicate.sendCommand(command),
 *   });
 *   const log = new RedisEventLog(redis, "news");
 *   return (request: Request) =>
 *     sseResponse(resume(log, request), { heartbeat: 15_000 });
 * }
 * ```
 *
 * @see {@link https://redis.io/docs/latest/develop/data-types/streams/}
 *
 * @module
 */

import { check, checkRange, checkType } from "../internal/check.ts";
import type { SseMessage } from "../write/encoder.ts";
import {
  type EventLog,
  EventLogEndedError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
import { EXTRAS, type LogExtras, randomTag } from "./message.ts";
import {
  isPermanent,
  isText,
  type RedisConnection,
  slotOf,
  toText,
} from "./redis_connection.ts";
import {
  type LogStore,
  messageOf,
  StoredLog,
  type StoredPage,
} from "./stored.ts";

export {
  RedisConnection,
  type RedisConnectionOptions,
  type SendRedisCommand,
} from "./redis_connection.ts";

/**
 * How much a {@linkcode RedisEventLog} keeps.
 *
 * @example Delete a log an hour after its last message
 * ```ts
 * import type { RedisEventLogOptions } from "@x/sse/event-log/redis";
 *
 * const options: RedisEventLogOptions = { expireIn: 3_600_000 };
 * ```
 *
 * @see {@link https://redis.io/docs/latest/commands/xadd/}
 */
export interface RedisEventLogOptions {
  /**
   * How many messages are kept at least. Redis drops older ones when that is
   * convenient. Entries that others have put into the stream count. Those who
   * append to one log should agree on it.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after the last message after which Redis deletes the
   * log. Set it for logs of which there are ever more, such as one for each
   * answer of an LLM.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
}

/**
 * No id is higher, so that Redis itself refuses whatever would come after the
 * entry that has it.
 */
const LAST_ID = "18446744073709551615-18446744073709551615";

/** The position of a log that has no entry yet. */
const START = "0-0-";

/** The longest lifetime in ms of the key that tells when a log was renewed. */
const TOUCH_EXPIRY = 86_400_000;

/** How many entries are asked for at once, at most. */
const MAX_PAGE_LENGTH = 100;

/**
 * A log in a Redis stream, to which many processes append and from which many
 * read. It takes your own client as a function, and so works with any. It needs
 * Redis 5 or newer, or a server that speaks as it does.
 *
 * What was stored is read once and in order by every reader, whatever happens to
 * connections, and to Redis as far as it keeps what it has acknowledged: reading
 * is tried again until it works or is ended. `append` is tried once, and rejects
 * with the client's error. Then the message may have been stored or not. A client
 * that sends commands again after a lost connection may append a message twice.
 * For `ioredis`, set `maxRetriesPerRequest: 0`.
 *
 * Redis may give an id again, after the stream was deleted or Redis flushed. So
 * each entry has a random tag of its own, which is part of the log's ids. If the
 * message after which to read has been dropped, that is a gap, even if all that
 * followed it is kept. Reading stores nothing.
 *
 * Entries that others have put into the stream are skipped.
 *
 * @example
 * ```ts
 * import { RedisConnection, RedisEventLog } from "@x/sse/event-log/redis";
 *
 * async function logJob(redis: RedisConnection, id: string): Promise<void> {
 *   const log = new RedisEventLog(redis, `jobs:${id}`, { expireIn: 3_600_000 });
 *   await log.append({ event: "progress", json: { percent: 100 } });
 *   await log.end();
 * }
 * ```
 *
 * @see {@link https://redis.io/docs/latest/develop/data-types/streams/}
 */
export class RedisEventLog implements EventLog {
  readonly #log: StoredLog;

  /**
   * Makes a log, which sends nothing until it is used.
   *
   * @param redis The connection, which the logs of a process share.
   * @param key The key of the stream.
   * @param options How much is kept, and how long.
   * @throws {TypeError} If `redis` is not a `RedisConnection`, or `key` is not a
   * string.
   * @throws {RangeError} If a number is less than 1.
   */
  constructor(
    redis: RedisConnection,
    key: string,
    options: RedisEventLogOptions = {},
  ) {
    checkType(redis?.wait, "function", "redis to be a RedisConnection");
    checkType(key, "string", "key to be a string");
    this.#log = new StoredLog(new RedisStore(redis, key, options));
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

/** An entry of the stream. */
interface RedisEntry {
  /** The id that Redis gave it. */
  id: string;
  /** Its id with its tag, which is empty if another program has added it. */
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

/** Matches only ids that Redis accepts; all but the last have fewer digits. */
const POSITION = new RegExp(
  `^(\\d{1,19}-\\d{1,19}|${LAST_ID})-([0-9a-z]*)(${BEFORE})?$`,
);

/** The stream, as entries and positions. */
class RedisStore implements LogStore {
  readonly #redis: RedisConnection;
  readonly #key: string;
  /** The key that tells when the log was renewed, in the same slot of a cluster. */
  readonly #touchKey: string;
  readonly #maxMessages: number;
  readonly #expireIn: number;
  readonly #touchExpiry: number;
  /** The size of a message in UTF-16 code units, lately. */
  #messageSize = 6000;

  constructor(
    redis: RedisConnection,
    key: string,
    options: RedisEventLogOptions,
  ) {
    const { maxMessages = 10_000, expireIn = Infinity } = options;
    this.#redis = redis;
    this.#key = key;
    this.#touchKey = `${slotOf(key)}:touch:${key}`;
    this.#maxMessages = Math.ceil(checkRange("maxMessages", maxMessages, 1));
    this.#expireIn = checkRange("expireIn", expireIn, 1);
    this.#touchExpiry = Math.ceil(Math.min(expireIn, TOUCH_EXPIRY));
  }

  onError(error: unknown): void {
    this.#redis.onError(error);
  }

  isPermanent(error: unknown): boolean {
    return isPermanent(error);
  }

  async append(jsons: string[], tag: string): Promise<string> {
    try {
      // All are sent before the first reply.
      const adding = jsons.map((json) => this.#add("*", MESSAGE, json, tag));
      const ids = await allOf([...adding, this.#expire()]);
      return ids.at(-2)!;
    } catch (error) {
      throw isExhausted(error) ? new EventLogEndedError() : error;
    }
  }

  async end(): Promise<void> {
    try {
      await allOf([this.#add(LAST_ID, "end", ""), this.#expire()]);
    } catch (error) {
      const [last] = await this.#range("XREVRANGE", "+", "-", 1);
      if (last?.id !== LAST_ID) throw error;
    }
  }

  async touch(): Promise<void> {
    const expiry = ["PX", String(this.#touchExpiry)];
    await allOf([
      this.#redis.send(["SET", this.#touchKey, "", ...expiry]),
      this.#expire(),
    ]);
  }

  async #expire(): Promise<string> {
    if (this.#expireIn !== Infinity) {
      const ms = String(Math.ceil(this.#expireIn));
      await this.#redis.send(["PEXPIRE", this.#key, ms]);
    }
    return "";
  }

  async countOf(tag: string): Promise<number> {
    const newest = await this.#range("XREVRANGE", "+", "-", MAX_PAGE_LENGTH);
    return newest.filter((it) => it.position.endsWith(`-${tag}`)).length;
  }

  /** Adds an entry. Returns its position. */
  async #add(
    id: string,
    field: string,
    value: string,
    tag = randomTag(),
  ): Promise<string> {
    // With the end, which is no message.
    const limit = this.#maxMessages === Infinity
      ? []
      : ["MAXLEN", "~", String(this.#maxMessages + 1)];
    const entry = [id, field, value, TAG, tag];
    const reply = await this.#redis.send([
      "XADD",
      this.#key,
      ...limit,
      ...entry,
    ]);
    const given = isText(reply) ? toText(reply) : "";
    check(/^\d+-\d+$/.test(given), "send to give an entry's id", reply);
    return `${given}-${tag}`;
  }

  async pageAfter(
    position: string,
    maxBytes: number,
  ): Promise<StoredPage | undefined> {
    const [, id, , before] = POSITION.exec(position) ?? [];
    if (id === undefined) return undefined;
    const page: StoredPage = { entries: [], end: position, ended: false };
    const fit = Math.floor(maxBytes / this.#messageSize);
    // From the entry at the position on, to see whether it is still there: if it
    // is, so are all entries after it.
    const count = Math.min(Math.max(fit, 1), MAX_PAGE_LENGTH) + 1;
    const from = position === START ? "-" : id;
    const entries = await this.#range("XRANGE", from, "+", count);
    if (position === START) {
      if (await this.#hasDroppedEntries(entries)) return undefined;
    } else {
      const isKept = entries[0]?.position + (before ?? "") === position;
      if (!isKept) return undefined;
      // What ends the log, and may be all that it has, is looked at again.
      if (!before && id !== LAST_ID) entries.shift();
    }
    this.#addTo(page, entries);
    return page;
  }

  /** Whether there were entries before these, which are the oldest. */
  async #hasDroppedEntries(entries: RedisEntry[]): Promise<boolean> {
    if (entries.length === 0) return false;
    // Redis drops nothing of a stream that is shorter.
    const length = await this.#redis.send(["XLEN", this.#key]);
    return Number(length) > this.#maxMessages + 1;
  }

  #addTo(page: StoredPage, entries: RedisEntry[]): void {
    let size = 0;
    let length = 0;
    for (const { id, position, json } of entries) {
      if (id === LAST_ID) {
        page.ended = true;
        break;
      }
      page.end = position;
      page.entries.push({ id: position, json });
      if (json === undefined) continue;
      size += json.length;
      length++;
    }
    if (length === 0) return;
    // Up at once, and down slowly.
    this.#messageSize = Math.max(size / length, this.#messageSize / 2);
  }

  async oldest(): Promise<string> {
    const [first] = await this.#range("XRANGE", "-", "+", 1);
    return first === undefined ? START : first.position + BEFORE;
  }

  async status(): Promise<EventLogStatus> {
    const [newest, [now, touched]] = await Promise.all([
      this.#range("XREVRANGE", "+", "-", 2),
      this.#times(),
    ]);
    const ended = newest[0]?.id === LAST_ID;
    const last = newest[1] && ended ? newest[1] : newest[0];
    const appended = last && last.id !== LAST_ID
      ? Number(last.id.split("-")[0])
      : -Infinity;
    const idle = Math.max(now - Math.max(appended, touched), 0);
    return { lastId: last?.position ?? START, ended, idle };
  }

  /** The time in ms, and that of the last `touch`, by the clock of Redis. */
  async #times(): Promise<[now: number, touched: number]> {
    const [time, left] = await Promise.all([
      this.#redis.send(["TIME"]),
      this.#redis.send(["PTTL", this.#touchKey]),
    ]);
    const [seconds, micros] = (time as unknown[]).map(toText).map(Number);
    const now = seconds * 1000 + Math.floor(micros / 1000);
    const isTouched = Number(left) >= 0;
    const touched = now - this.#touchExpiry + Number(left);
    return [now, isTouched ? touched : -Infinity];
  }

  async wait(position: string, signal: AbortSignal): Promise<void> {
    const id = /^\d+-\d+/.exec(position)![0];
    await this.#redis.wait(this.#key, id, signal);
  }

  async #range(
    command: "XRANGE" | "XREVRANGE",
    from: string,
    to: string,
    count: number,
  ): Promise<RedisEntry[]> {
    const reply = await this.#redis.send(
      [command, this.#key, from, to, "COUNT", String(count)],
    );
    check(Array.isArray(reply), "send to give a list of entries", reply);
    return reply.map(toEntry);
  }
}

/** Waits until all are settled. Throws the first error. */
async function allOf<T>(tasks: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(tasks);
  return await Promise.all(tasks);
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
  const byName = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    byName.set(toText(fields[i]), toText(fields[i + 1]));
  }
  const text = toText(id);
  // Others may have entries of their own in the stream, with such fields.
  const tag = byName.get(TAG) ?? "";
  if (!IS_TAG.test(tag)) return { id: text, position: `${text}-` };
  return { id: text, position: `${text}-${tag}`, json: byName.get(MESSAGE) };
}
