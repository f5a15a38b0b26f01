/**
 * An event log in an SQL database, SQLite or PostgreSQL: the entry point
 * `@x/sse/event-log/sql`.
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { resume } from "@x/sse/event-log";
 * import {
 *   SQL_EVENT_LOG_SCHEMA,
 *   SqlConnection,
 *   SqlEventLog,
 * } from "@x/sse/event-log/sql";
 * import { DatabaseSync } from "node:sqlite";
 *
 * const db = new DatabaseSync(":memory:"); // Or the path of a file.
 * for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) db.exec(statement);
 * const sql = new SqlConnection({
 *   dialect: "sqlite",
 *   query: (sql, params) => db.prepare(sql).all(...params),
 * });
 *
 * const log = new SqlEventLog(sql, "news");
 * export default {
 *   fetch: (request: Request) =>
 *     sseResponse(resume(log, request), { heartbeat: 15_000 }),
 * };
 * ```
 *
 * {@linkcode SqlConnectionOptions} shows how to connect to PostgreSQL. The guide
 * [Engines](https://github.com/x/sse/blob/main/examples/guides/engines.md) helps to
 * choose between memory, Redis, Deno KV, SQLite and PostgreSQL.
 *
 * @see {@link https://www.sqlite.org/}
 * @see {@link https://www.postgresql.org/}
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
import { EXTRAS, type LogExtras } from "./message.ts";
import {
  isEnd,
  isPermanent,
  numberIn,
  positionOf,
  type SqlConnection,
  START,
} from "./sql_connection.ts";
import {
  checkLimit,
  type LogStore,
  PageLength,
  StoredLog,
  type StoredPage,
} from "./stored.ts";

export {
  SqlConnection,
  type SqlConnectionOptions,
  type SqlListen,
  type SqlQuery,
} from "./sql_connection.ts";
export { SQL_EVENT_LOG_SCHEMA, type SqlDialectName } from "./sql_dialect.ts";

/**
 * How much a {@linkcode SqlEventLog} keeps.
 *
 * @example Delete a log an hour after its last message
 * ```ts
 * import type { SqlEventLogOptions } from "@x/sse/event-log/sql";
 *
 * const options: SqlEventLogOptions = { expireIn: 3_600_000 };
 * ```
 *
 * @see {@link https://www.sqlite.org/lang_delete.html}
 */
export interface SqlEventLogOptions {
  /**
   * How many messages are kept at least. Older ones are deleted a number of them
   * at a time. Those who append to one log should agree on it.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after which a message may be deleted, and after the last
   * one the log itself. Set it for logs of which there are ever more, such as one
   * for each answer of an LLM. What has expired is deleted within minutes, as long
   * as any log with this option is appended to.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
}

/**
 * A log in an SQL database, to which many processes append and from which many
 * read. It takes your own client as a function, and so works with any.
 *
 * Appends of the same turn are one statement, and so are all messages of an
 * `append`: all are stored, or none. `append` is tried again if the database says
 * that it has done nothing, as others were writing. With any other error it
 * rejects. Then the messages may have been stored or not. Reading is tried again
 * until it works or is ended, and stores nothing.
 *
 * Messages are numbered in the order in which they are committed, without gaps.
 * An id has a random tag of the `append`, too: if the database is restored from a
 * backup, ids given since then are unknown, and readers that have one meet a gap.
 *
 * To delete a log, delete the rows with its key from the tables of
 * {@linkcode SQL_EVENT_LOG_SCHEMA}.
 *
 * @example
 * ```ts
 * import { type SqlConnection, SqlEventLog } from "@x/sse/event-log/sql";
 *
 * async function logJob(sql: SqlConnection, id: string): Promise<void> {
 *   const log = new SqlEventLog(sql, `jobs:${id}`, { expireIn: 3_600_000 });
 *   await log.append({ event: "progress", json: { percent: 100 } });
 *   await log.end();
 * }
 * ```
 *
 * @see {@link https://www.sqlite.org/}
 * @see {@link https://www.postgresql.org/}
 */
export class SqlEventLog implements EventLog {
  readonly #log: StoredLog;

  /**
   * Makes a log, which runs no statement until it is used.
   *
   * @param sql The connection, which the logs of a process share.
   * @param key The name of the log in the tables, which many logs share.
   * @param options How much is kept, and how long.
   * @throws {TypeError} If `sql` is not a `SqlConnection`, or `key` is not a string
   * or contains U+0000.
   * @throws {RangeError} If a number is less than 1.
   */
  constructor(
    sql: SqlConnection,
    key: string,
    options: SqlEventLogOptions = {},
  ) {
    checkType(sql?.wait, "function", "sql to be a SqlConnection");
    checkType(key, "string", "key to be a string");
    const isText = !key.includes("\0") && !/\p{Surrogate}/u.test(key);
    check(isText, "key without U+0000 and lone surrogates", key);
    this.#log = new StoredLog(new SqlStore(sql, key, options));
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

/** How many messages one statement appends, unless one `append` has more. */
const BATCH_LENGTH = 1000;

/** And of how many UTF-16 code units. */
const BATCH_SIZE = 262_144;

/** The end of a position that stands before a message, and not after it. */
const BEFORE = "-before";

const POSITION = /^(\d{1,15})-([0-9a-z]{14})(-before)?$/;

/** The messages of one statement. */
interface Batch {
  /** Each with its tag before it. */
  items: string[];
  size: number;
  /** The number of the message before the first one, once they are stored. */
  stored: Promise<number>;
}

/** The rows of a log, as messages and positions. */
class SqlStore implements LogStore {
  readonly #sql: SqlConnection;
  readonly #key: string;
  readonly #maxMessages: number;
  readonly #expireIn: number;
  readonly #pageLength = new PageLength();
  /** The batch that has not begun, to which more may be added. */
  #batch: Batch | undefined;
  /** Settles when the writes before have. */
  #writes: Promise<unknown> = Promise.resolve();
  /** Settles when the calls of `status` before have. */
  #looks: Promise<unknown> = Promise.resolve();

  constructor(sql: SqlConnection, key: string, options: SqlEventLogOptions) {
    const { maxMessages = 10_000, expireIn = Infinity } = options;
    this.#sql = sql;
    this.#key = key;
    this.#maxMessages = checkLimit("maxMessages", maxMessages);
    this.#expireIn = checkLimit("expireIn", expireIn);
  }

  /** `expireIn` as a parameter. */
  get #expiry(): number | null {
    return this.#expireIn === Infinity ? null : this.#expireIn;
  }

  onError(error: unknown): void {
    this.#sql.onError(error);
  }

  isPermanent(error: unknown): boolean {
    return isPermanent(error);
  }

  async append(jsons: string[], tag: string): Promise<string> {
    const size = jsons.reduce((sum, { length }) => sum + length, 0);
    const batch = this.#batchFor(jsons.length, size);
    for (const json of jsons) batch.items.push(tag + json);
    batch.size += size;
    const last = batch.items.length;
    return `${await batch.stored + last}-${tag}`;
  }

  #batchFor(length: number, size: number): Batch {
    const batch = this.#batch;
    const fits = batch && batch.items.length + length <= BATCH_LENGTH &&
      batch.size + size <= BATCH_SIZE;
    return fits ? batch : this.#batch = this.#makeBatch();
  }

  #makeBatch(): Batch {
    const items: string[] = [];
    const write = async () => {
      if (this.#batch === batch) this.#batch = undefined;
      const rows = await this.#sql.run(
        "append",
        this.#key,
        JSON.stringify(items),
        this.#expiry,
      );
      if (rows.length === 0) throw new EventLogEndedError();
      return Math.max(...rows.map((row) => numberIn(row, "last")));
    };
    const stored = this.#inTurn(write).then(async (last) => {
      await Promise.all([this.#wake(), this.#trim(last, items.length)]);
      return last - items.length;
    });
    const batch: Batch = { items, size: 0, stored };
    return batch;
  }

  async end(): Promise<void> {
    this.#batch = undefined; // What is appended from now on comes after the end.
    await this.#inTurn(() => this.#sql.run("end", this.#key, this.#expiry));
    await this.#wake();
  }

  /**
   * Writes after the writes before. The connections of a pool overtake each other,
   * so that it comes after the calls of `status` before, too: what is appended
   * after them must not count as older.
   */
  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const result = this.#writes.then(() => this.#looks).then(write);
    this.#writes = result.catch(() => {});
    return result;
  }

  async #wake(): Promise<void> {
    this.#sql.wake(this.#key);
    await this.#sql.notify(this.#key);
  }

  /** Deletes what is too old, after each so many messages. */
  async #trim(last: number, added: number): Promise<void> {
    const max = this.#maxMessages;
    const interval = Math.ceil(Math.min(max / 10, 100));
    // One more is kept, as it proves the position before the oldest message.
    const oldest = last - max;
    try {
      if (oldest > 1 && last % interval < added) {
        await this.#sql.run("trim", this.#key, oldest);
      }
      if (this.#expireIn !== Infinity) await this.#sql.sweep(this.#expireIn);
    } catch (error) {
      // The message is stored all the same, and the next trim deletes more.
      this.onError(error);
    }
  }

  async countOf(tag: string): Promise<number> {
    // In PostgreSQL, the append that has failed may still wait for the row of its
    // log, and then be committed. This waits for the row, too, and so after it.
    await this.touch();
    // All of them were stored, or none.
    const rows = await this.#sql.run("find", this.#key, tag);
    return rows.length > 0 ? Infinity : 0;
  }

  async touch(): Promise<void> {
    await this.#sql.run("touch", this.#key, this.#expiry);
  }

  async pageAfter(
    position: string,
    maxBytes: number,
  ): Promise<StoredPage | undefined> {
    const [, digits = "0", tag, before] = POSITION.exec(position) ?? [];
    if (tag === undefined && position !== START) return undefined;
    const number = Number(digits);
    const count = this.#pageLength.fitting(maxBytes);
    let rows = await this.#sql.run(
      "page",
      this.#key,
      Math.max(number, 1),
      // The body of the message at the position is not needed.
      before ? 0 : number,
      count + 1,
    );
    let next = before ? number : number + 1;
    if (tag !== undefined) {
      const [first] = rows;
      // The row that ends the log has the tag of the message before it.
      const isKnown = first?.tag === tag &&
        numberIn(first, "number") === (isEnd(first) ? next : number);
      if (!isKnown) return undefined;
      if (!before && !isEnd(first)) rows = rows.slice(1);
    }
    const page: StoredPage = { entries: [], end: position, ended: false };
    for (const row of rows) {
      if (numberIn(row, "number") !== next) break;
      if (isEnd(row)) {
        page.ended = true;
        break;
      }
      page.end = positionOf(next++, row.tag);
      page.entries.push({ id: page.end, json: String(row.body) });
    }
    if (rows.length > 0 && page.end === position && !page.ended) {
      return undefined;
    }
    this.#pageLength.learn(page.entries);
    return page;
  }

  async oldest(): Promise<string> {
    const [row] = await this.#sql.run("oldest", this.#key);
    if (row === undefined) return START;
    const number = numberIn(row, "number");
    if (number === 1) return START;
    const position = positionOf(number, row.tag);
    return isEnd(row) ? positionOf(number - 1, row.tag) : position + BEFORE;
  }

  status(): Promise<EventLogStatus> {
    const look = this.#sql.status(this.#key);
    this.#looks = Promise.allSettled([this.#looks, look]);
    return look;
  }

  watch(wake: () => void): () => void {
    return this.#sql.watch(this.#key, wake);
  }

  wait(position: string, signal: AbortSignal): Promise<void> {
    return this.#sql.wait(this.#key, position, signal);
  }
}
