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
 * See {@linkcode SqlConnectionOptions} for how to connect to PostgreSQL. The guide
 * [Which engine to choose](https://github.com/x/sse/blob/main/examples/guides/engines.md)
 * compares memory, Redis, Deno KV, SQLite and PostgreSQL.
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
import { EXTRAS, type LogExtras, TAG_LENGTH } from "./message.ts";
import {
  isEnd,
  isPermanent,
  numberIn,
  positionOf,
  type SqlConnection,
  START,
} from "./sql_connection.ts";
import {
  BEFORE,
  limitOption,
  type LogStore,
  type LogWatcher,
  oldestToKeep,
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
 * Options of {@linkcode SqlEventLog}: how many messages to keep, and how long.
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
   * Minimum number of messages to keep. Older messages are deleted in batches.
   * Choose it so that a client that was disconnected for a while finds the
   * messages that it missed, and use the same value in each process that appends
   * to the log.
   *
   * @default {10_000}
   */
  maxMessages?: number | undefined;
  /**
   * Time in milliseconds after which a message may be deleted. The log itself is
   * deleted this long after its last change: an append, `end()`, or a renewal by
   * `keepAlive` of `record`. Set it if there is a log for each job or answer, so
   * that old logs do not stay forever.
   *
   * Expired messages are deleted as part of an append to any log of the database
   * that has this option, about once a minute for each connection. Without such
   * an append, they stay.
   *
   * @default {Infinity}
   */
  expireIn?: number | undefined;
}

/**
 * A log in an SQL database: SQLite or PostgreSQL. Use it if messages have to
 * outlive the process, or if many processes append or read. It works with any
 * client, which you pass to a {@linkcode SqlConnection}. Create the tables with
 * {@linkcode SQL_EVENT_LOG_SCHEMA} first.
 *
 * All messages of an `append` are stored, or none. Calls of `append` without an
 * `await` between them share one statement. `append` is retried for up to 10
 * seconds if the database reports a conflict with another writer, because the
 * statement then had no effect. If it fails for another reason, it rejects with
 * the client's error, and the messages may have been stored or not.
 *
 * Reads that fail for a temporary reason are retried until they succeed. Reading
 * changes nothing in the database.
 *
 * The calls of one object take effect in their order. If `query` uses a pool of
 * connections, this does not hold between two objects with the same key.
 *
 * Messages are numbered in the order in which they are committed, without gaps.
 * An id also contains a random tag. If the database is restored from a backup,
 * the ids that were assigned after the backup are unknown, and readers that
 * continue after one of them get a gap.
 *
 * To delete a log, delete the rows with its key from the tables of
 * {@linkcode SQL_EVENT_LOG_SCHEMA}. In PostgreSQL, do this in one transaction, with
 * the row of `sse_logs` first: appends to the log then wait for its end.
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
   * Creates a log. Runs no statement until the log is used.
   *
   * @param sql The connection, which the logs of a process share.
   * @param key The name of the log. All logs are in the same tables.
   * @param options How many messages to keep, and how long.
   * @throws {TypeError} If `sql` is not a `SqlConnection`, or if `key` is not a
   * string, or contains U+0000 or a lone surrogate: databases cannot store them.
   * @throws {RangeError} If a number is less than 1.
   */
  constructor(
    sql: SqlConnection,
    key: string,
    options: SqlEventLogOptions = {},
  ) {
    checkType(sql?.wait, "function", "sql to be a SqlConnection");
    checkType(key, "string", "key to be a string");
    const isText = !key.includes("\0") && key.isWellFormed();
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

/**
 * Maximum size in UTF-16 code units of the messages that one statement appends,
 * unless one `append` has more.
 */
const BATCH_SIZE = 262_144;

/** Matches a position. Its number is the first group. */
const POSITION = new RegExp(`^(\\d{1,15})(?:-[0-9a-z]+(${BEFORE})?)?$`);

/** The messages of one statement. */
interface Batch {
  /** The messages as JSON. Each starts with its tag. */
  items: string[];
  size: number;
  /** The number of the message before the first one, once they are stored. */
  stored: Promise<number>;
}

/** A log in the tables. */
class SqlStore implements LogStore {
  readonly start = START;
  readonly isPermanent = isPermanent;
  readonly #sql: SqlConnection;
  readonly #key: string;
  readonly #maxMessages: number;
  /** `expireIn` as a parameter: null for no limit. */
  readonly #expireIn: number | null;
  /** The batch that is not yet sent, to which messages are added. */
  #batch: Batch | undefined;
  /** Settles after all writes so far. */
  #writes: Promise<unknown> = Promise.resolve();
  /** Settles after all calls of `status` so far. */
  #looks: Promise<unknown> = Promise.resolve();

  constructor(sql: SqlConnection, key: string, options: SqlEventLogOptions) {
    this.#sql = sql;
    this.#key = key;
    this.#maxMessages = limitOption(options, "maxMessages", 10_000);
    const lifetime = limitOption(options, "expireIn", Infinity);
    this.#expireIn = lifetime === Infinity ? null : lifetime;
  }

  onError(error: unknown): void {
    this.#sql.onError(error);
  }

  async append(jsons: string[], tag: string): Promise<string> {
    const items = jsons.map((json) => tag + json);
    const size = items.reduce((sum, { length }) => sum + length, 0);
    let batch = this.#batch;
    if (batch === undefined || batch.size + size > BATCH_SIZE) {
      batch = this.#batch = this.#makeBatch();
    }
    for (const item of items) batch.items.push(item);
    batch.size += size;
    const last = batch.items.length;
    return `${await batch.stored + last}-${tag}`;
  }

  #makeBatch(): Batch {
    const items: string[] = [];
    const write = async () => {
      if (this.#batch === batch) this.#batch = undefined;
      let rows = await this.#sql.run(
        "append",
        this.#key,
        JSON.stringify(items),
        this.#expireIn,
      );
      if (rows.length === 0) {
        // PostgreSQL stores nothing if an earlier attempt, whose connection was
        // lost, has stored the messages just now.
        const tag = items.at(-1)!.slice(0, TAG_LENGTH);
        rows = await this.#sql.run("find", this.#key, tag);
      }
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
    this.#batch = undefined; // Later appends must not precede the end.
    await this.#inTurn(() => this.#sql.run("end", this.#key, this.#expireIn));
    await this.#wake();
  }

  /**
   * Writes after all earlier writes and calls of `status` are done. In a pool, a
   * later statement can run before an earlier one. A reader that begins "now" would
   * miss a message if its `status` ran after the append that follows it.
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

  /** Deletes old messages, if it is time to, and expired ones. */
  async #trim(last: number, added: number): Promise<void> {
    const oldest = oldestToKeep(last, added, this.#maxMessages);
    try {
      if (oldest !== undefined) {
        await this.#sql.run("trim", this.#key, oldest);
      }
      if (this.#expireIn !== null) await this.#sql.sweep(this.#expireIn);
    } catch (error) {
      // The messages are stored, and the next trim deletes the old ones.
      this.onError(error);
    }
  }

  async has(tag: string): Promise<boolean> {
    // In PostgreSQL, an append whose connection was lost may still be waiting for
    // the lock of its log, and be committed later. `touch` waits for the same lock,
    // so the append is committed before the tag is looked up.
    await this.touch();
    return (await this.#sql.run("find", this.#key, tag)).length > 0;
  }

  async touch(): Promise<void> {
    await this.#sql.run("touch", this.#key, this.#expireIn);
  }

  async pageAfter(
    position: string,
    count: number,
  ): Promise<StoredPage | undefined> {
    const [, digits, before = ""] = POSITION.exec(position) ?? [];
    if (digits === undefined) return undefined;
    const number = Number(digits);
    let rows = await this.#sql.run(
      "page",
      this.#key,
      Math.max(number, 1),
      // The body of the message at the position is not needed.
      before ? 0 : number,
      count + 1,
    );
    if (position !== START) {
      const [first] = rows;
      if (!first || positionOf(first) + before !== position) return undefined;
      if (!before && !isEnd(first)) rows = rows.slice(1);
    }
    const page: StoredPage = { entries: [], ended: false };
    let next = before ? number : number + 1;
    for (const row of rows) {
      if (numberIn(row, "number") !== next++) break;
      if (isEnd(row)) page.ended = true;
      else page.entries.push({ id: positionOf(row), json: String(row.body) });
    }
    const isGap = rows.length > 0 && page.entries.length === 0 && !page.ended;
    return isGap ? undefined : page;
  }

  async oldest(): Promise<string> {
    const [row] = await this.#sql.run("oldest", this.#key);
    if (row === undefined) return START;
    // If no message is kept, it is the row that ends the log.
    return positionOf(row) + (isEnd(row) ? "" : BEFORE);
  }

  status(): Promise<EventLogStatus> {
    const look = this.#sql.status(this.#key);
    // Without the value, which would hold all earlier values.
    this.#looks = Promise.allSettled([this.#looks, look]).then(() => {});
    return look;
  }

  watch(watcher: LogWatcher): () => void {
    return this.#sql.watch(this.#key, watcher);
  }

  wait(_position: string, signal: AbortSignal): Promise<void> {
    return this.#sql.wait(signal);
  }
}
