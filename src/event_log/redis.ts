/**
 * An event log on Redis: the entry point `@x/sse/event-log/redis`.
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { resume } from "@x/sse/event-log";
 * import { RedisConnection, RedisEventLog } from "@x/sse/event-log/redis";
 *
 * // The part of a client of the npm package `redis` that is used.
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

import { check, checkType } from "../internal/check.ts";
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
import { messageOf } from "./retry.ts";
import {
  BEFORE,
  limitOption,
  type LogStore,
  MAX_PAGE_LENGTH,
  StoredLog,
  type StoredPage,
} from "./stored.ts";

export {
  RedisConnection,
  type RedisConnectionOptions,
  type SendRedisCommand,
} from "./redis_connection.ts";

/**
 * Options of {@linkcode RedisEventLog}: how many messages to keep, and how
 * long.
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
   * Minimum number of messages to keep. Redis trims older entries lazily
   * (`MAXLEN ~`). Entries of other programs in the stream count as well. Choose
   * it so that a client that was disconnected for a while finds the messages
   * that it missed, and use the same value in each process that appends to the
   * log.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after which Redis deletes the log. It counts from the
   * last append, from `end()`, or from the last renewal by `keepAlive` of
   * `record`. Set it if there is a log for each job or answer, so that old logs
   * do not stay forever.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
}

/**
 * The highest possible id. The entry that ends a log has it, so that Redis
 * refuses to add an entry after it.
 */
const LAST_ID = "18446744073709551615-18446744073709551615";

/** The position of a log that has no entry yet. */
const START = "0-0-";

/** The maximum lifetime in ms of the key that tells when a log was renewed. */
const TOUCH_EXPIRY = 86_400_000;

/**
 * A log in a Redis stream. Use it if many processes append or read. It works
 * with any Redis client, which you pass to a {@linkcode RedisConnection}. It
 * needs Redis 5 or newer, or a compatible server.
 *
 * Each reader gets every stored message exactly once and in order, even if
 * connections are lost or Redis restarts, unless Redis loses writes that it has
 * acknowledged. Reads that fail for a temporary reason are retried until they
 * succeed. `append` is not retried: if it fails, it rejects with the client's
 * error, and the message may have been stored or not. A client that repeats
 * commands after a lost connection may append a message twice. For `ioredis`,
 * set `maxRetriesPerRequest: 0`.
 *
 * After a stream was deleted or Redis was flushed, Redis may use an id again.
 * Therefore each entry has a random tag, which is part of the ids of the log.
 * If the message after which to read was trimmed, the reader gets a gap, even
 * if all messages after it are kept. Reading changes nothing in the log.
 *
 * Entries of other programs in the stream are skipped. An `append` of several
 * messages is a Lua script (`EVAL`), so that all of them are stored or none.
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
   * Creates a log. Sends no command until the log is used.
   *
   * @param redis The connection, which the logs of a process share.
   * @param key The key of the stream.
   * @param options How many messages to keep, and how long.
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
  redisId: string;
  /**
   * The id with the tag. The tag is empty if another program has added the
   * entry.
   */
  id: string;
  /** The message as JSON, if it is one. */
  json?: string | undefined;
}

/**
 * The names of fields. They are short, because they are stored with each entry.
 */
const MESSAGE = "m";
const TAG = "t";

/** Matches the result of {@linkcode randomTag}. */
const IS_TAG = /^[0-9a-z]+$/;

/**
 * Matches only positions whose id Redis accepts. Except for the highest id, the
 * numbers of an id have at most 19 digits.
 */
const POSITION = new RegExp(
  `^(\\d{1,19}-\\d{1,19}|${LAST_ID})-[0-9a-z]*(${BEFORE})?$`,
);

/** How far the clock of Redis may drift from ours in a few seconds, in ms. */
const MAX_CLOCK_DRIFT = 1000;

/** The store of a log in a Redis stream. */
class RedisStore implements LogStore {
  readonly start = START;
  readonly isPermanent = isPermanent;
  readonly #redis: RedisConnection;
  readonly #key: string;
  /**
   * The key whose remaining lifetime tells when the log was renewed. It is in
   * the same slot of a cluster as the stream.
   */
  readonly #touchKey: string;
  /**
   * The number of entries to which Redis may trim the stream: two more than the
   * messages to keep. One is the entry that ends the log. The other one makes a
   * stream that was trimmed longer than one that has only those messages.
   */
  readonly #maxLength: number;
  readonly #expireIn: number;
  readonly #touchExpiry: number;

  constructor(
    redis: RedisConnection,
    key: string,
    options: RedisEventLogOptions,
  ) {
    this.#redis = redis;
    this.#key = key;
    this.#touchKey = `${slotOf(key)}:touch:${key}`;
    this.#maxLength = limitOption(options, "maxMessages", 10_000) + 2;
    this.#expireIn = limitOption(options, "expireIn", Infinity);
    this.#touchExpiry = Math.min(this.#expireIn, TOUCH_EXPIRY);
  }

  onError(error: unknown): void {
    this.#redis.onError(error);
  }

  async append(jsons: string[], tag: string): Promise<string> {
    try {
      return jsons.length === 1
        ? await this.#add("*", MESSAGE, jsons[0], tag)
        : await this.#addAll(jsons, tag);
    } catch (error) {
      // No id is greater than that of the entry that ends the log.
      const hasEnded = messageOf(error).includes("exhausted");
      throw hasEnded ? new EventLogEndedError() : error;
    }
  }

  async end(): Promise<void> {
    try {
      await this.#add(LAST_ID, "end", "", randomTag());
    } catch (error) {
      const [last] = await this.#range("XREVRANGE", "+", "-", 1);
      if (last?.redisId !== LAST_ID) throw error;
    }
  }

  async touch(): Promise<void> {
    const expiry = String(this.#touchExpiry);
    await this.#change(["SET", this.#touchKey, "", "PX", expiry]);
  }

  /**
   * Sends a command and, in the same pipeline, the one that renews `expireIn`.
   * Settles after both.
   */
  async #change(command: string[]): Promise<unknown> {
    const replies = [this.#redis.send(command)];
    if (this.#expireIn !== Infinity) {
      const expire = ["PEXPIRE", this.#key, String(this.#expireIn)];
      replies.push(this.#redis.send(expire));
    }
    await Promise.allSettled(replies);
    const [reply] = await Promise.all(replies);
    return reply;
  }

  async has(tag: string, age: number): Promise<boolean> {
    // Other writers may have appended messages after those with the tag.
    const [now] = await this.#times();
    const oldest = String(Math.max(now - age - MAX_CLOCK_DRIFT, 0));
    let newest = "+";
    while (true) {
      const entries = await this.#range(
        "XREVRANGE",
        newest,
        oldest,
        MAX_PAGE_LENGTH,
      );
      if (entries.some(({ id }) => id.endsWith(`-${tag}`))) return true;
      if (entries.length < MAX_PAGE_LENGTH) return false;
      newest = entries.at(-1)!.redisId; // Redis 5 has no exclusive ranges.
    }
  }

  /** Adds an entry. Returns its id with the tag. */
  async #add(
    id: string,
    field: string,
    value: string,
    tag: string,
  ): Promise<string> {
    const fields = [field, value, TAG, tag];
    const command = ["XADD", this.#key, ...this.#limit, id, ...fields];
    return idOf(await this.#change(command), tag);
  }

  /**
   * Adds several messages with a script, so that all of them are stored or none.
   * If they were separate commands, and the connection was lost, some clients would
   * send only the last ones again.
   */
  async #addAll(jsons: string[], tag: string): Promise<string> {
    const args = [...this.#limit, "*", MESSAGE].map((arg) => `'${arg}'`);
    const script = `local id
for i = 2, #ARGV do
  id = redis.call('XADD', KEYS[1], ${args}, ARGV[i], '${TAG}', ARGV[1])
end
return id`;
    const command = ["EVAL", script, "1", this.#key, tag, ...jsons];
    return idOf(await this.#change(command), tag);
  }

  /** The arguments of XADD that limit the length of the stream. */
  get #limit(): string[] {
    if (this.#maxLength === Infinity) return [];
    return ["MAXLEN", "~", String(this.#maxLength)];
  }

  async pageAfter(
    position: string,
    count: number,
  ): Promise<StoredPage | undefined> {
    const [, redisId, before = ""] = POSITION.exec(position) ?? [];
    if (redisId === undefined) return undefined;
    // The list begins with the entry at the position, to check that it still
    // exists: if it does, so do all entries after it.
    const entries = await this.#range("XRANGE", redisId, "+", count + 1);
    if (position !== START) {
      if (entries[0]?.id + before !== position) return undefined;
      // The entry that ends the log may be the only one.
      if (before === "" && redisId !== LAST_ID) entries.shift();
    } else if (entries.length > 0) {
      // Redis does not trim to fewer entries.
      const length = await this.#redis.send(["XLEN", this.#key]);
      if (Number(length) >= this.#maxLength) return undefined;
    }
    const ended = entries.at(-1)?.redisId === LAST_ID;
    if (ended) entries.pop();
    return { entries, ended };
  }

  async oldest(): Promise<string> {
    const [first] = await this.#range("XRANGE", "-", "+", 1);
    return first === undefined ? START : first.id + BEFORE;
  }

  async status(): Promise<EventLogStatus> {
    const [[newest, previous], [now, touched]] = await Promise.all([
      this.#range("XREVRANGE", "+", "-", 2),
      this.#times(),
    ]);
    const ended = newest?.redisId === LAST_ID;
    const last = ended ? previous : newest;
    const appended = last ? Number(last.redisId.split("-")[0]) : -Infinity;
    const idle = Math.max(now - Math.max(appended, touched), 0);
    // The entry that ends the log may be the only one.
    return { lastId: (last ?? newest)?.id ?? START, ended, idle };
  }

  /**
   * Returns the current time in ms and that of the last `touch`, by the clock
   * of Redis.
   */
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

/** Returns the id of an entry with its tag, from the reply to XADD. */
function idOf(reply: unknown, tag: string): string {
  const id = isText(reply) ? toText(reply) : "";
  check(/^\d+-\d+$/.test(id), "send to give an entry's id", reply);
  return `${id}-${tag}`;
}

function toEntry(reply: unknown): RedisEntry {
  const [id, given] = Array.isArray(reply) ? reply : [];
  // Some clients return the fields as a map.
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
  const redisId = toText(id);
  // Entries of other programs may have fields with these names.
  const tag = byName.get(TAG) ?? "";
  if (!IS_TAG.test(tag)) return { redisId, id: `${redisId}-` };
  return { redisId, id: `${redisId}-${tag}`, json: byName.get(MESSAGE) };
}
