/**
 * The connection to an SQL database that the event logs of a process share.
 *
 * @module
 */

import {
  check,
  checkType,
  functionOption,
  numberOption,
} from "../internal/check.ts";
import { MAX_TIMER_DELAY, wait, within } from "../internal/wait.ts";
import type { EventLogStatus } from "./event_log.ts";
import { randomTag } from "./message.ts";
import {
  dialectOf,
  type SqlDialect,
  type SqlDialectName,
} from "./sql_dialect.ts";
import { isProgramError, messageOf, retryDelay } from "./retry.ts";
import type { LogWatcher } from "./stored.ts";

/**
 * Runs an SQL statement. Returns its rows as a list of objects, or a promise of
 * them. The placeholders of the parameters are `?1`, `?2` … for SQLite, and `$1`,
 * `$2` … for PostgreSQL. `name` identifies the statement, for clients that need a
 * name for a prepared statement.
 *
 * A connection uses about ten different statements. Prepare each of them once,
 * because preparing a statement takes longer than running it.
 *
 * @see {@link https://www.sqlite.org/lang_expr.html#varparam}
 */
export type SqlQuery = (
  sql: string,
  params: (string | number | null)[],
  name: string,
) => readonly unknown[] | Promise<readonly unknown[]>;

/**
 * Listens to a channel of PostgreSQL, and calls `onNotify` with the payload of each
 * notification. Returns a function that stops listening, or a promise of one.
 *
 * If the connection is lost, do one of two things. Call `onLost` with the error:
 * `listen` is then called again after `pollInterval`. Or, if the client
 * reconnects by itself, call `onNotify` without a payload after it has
 * reconnected, because notifications may have been missed.
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-listen.html}
 */
export type SqlListen = (
  channel: string,
  onNotify: (payload?: string) => void,
  onLost: (error: unknown) => void,
) => (() => unknown) | Promise<() => unknown>;

/**
 * Options of {@linkcode SqlConnection}: how to run statements, and how to notice
 * messages of other processes.
 *
 * @example With the npm package `postgres`
 * ```ts ignore
 * import { SqlConnection } from "@x/sse/event-log/sql";
 * import postgres from "npm:postgres@3";
 *
 * const client = postgres("postgres://localhost/app");
 * const sql = new SqlConnection({
 *   dialect: "postgres",
 *   query: (text, params) => client.unsafe(text, params, { prepare: true }),
 *   async listen(channel, onNotify) {
 *     // The client calls the last function whenever it has (re)connected.
 *     const { unlisten } = await client.listen(channel, onNotify, () => onNotify());
 *     return unlisten;
 *   },
 *   onError: (error) => console.warn(error),
 * });
 * ```
 *
 * @example With the npm package `pg`
 * ```ts ignore
 * import { SqlConnection } from "@x/sse/event-log/sql";
 * import pg from "npm:pg@8";
 *
 * const connectionString = "postgres://localhost/app";
 * const pool = new pg.Pool({ connectionString });
 * // Without this listener, a lost idle connection would crash the process.
 * pool.on("error", (error) => console.warn(error));
 * const sql = new SqlConnection({
 *   dialect: "postgres",
 *   query: async (text, values, name) =>
 *     (await pool.query({ text, values, name })).rows,
 *   async listen(channel, onNotify, onLost) {
 *     const client = new pg.Client({ connectionString });
 *     client.on("error", onLost);
 *     client.on("notification", ({ payload }) => onNotify(payload));
 *     try {
 *       await client.connect();
 *       await client.query(`LISTEN ${channel}`);
 *     } catch (error) {
 *       client.end().catch(() => {}); // It may be connected.
 *       throw error;
 *     }
 *     return () => client.end();
 *   },
 *   onError: (error) => console.warn(error),
 * });
 * ```
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-notify.html}
 */
export interface SqlConnectionOptions {
  /**
   * The dialect of SQL: `"sqlite"`, also for databases that are based on SQLite, or
   * `"postgres"`.
   */
  dialect: SqlDialectName;
  /**
   * Runs a statement with your client:
   *
   * - `node:sqlite`: `(sql, params) => db.prepare(sql).all(...params)`,
   * - `bun:sqlite`: `(sql, params) => db.query(sql).all(...params)`,
   * - a Durable Object:
   *   `(sql, params) => ctx.storage.sql.exec(sql, ...params).toArray()`,
   * - D1: `async (sql, params) =>
   *   (await env.DB.prepare(sql).bind(...params).all()).results`,
   * - libSQL, with the npm package `@libsql/client`: `async (sql, params) =>
   *   (await client.execute(sql, params)).rows`,
   * - npm package `pg`: `async (text, values, name) =>
   *   (await pool.query({ text, values, name })).rows`,
   * - npm package `postgres`: `(sql, params) =>
   *   client.unsafe(sql, params, { prepare: true })`,
   * - PGlite: `async (sql, params) => (await db.query(sql, params)).rows`.
   *
   * Each operation of a log is one statement without a transaction. Therefore you
   * can use a connection pool, or a pooler such as PgBouncer in any mode. Omit
   * `name` and `prepare` if the pooler does not support prepared statements.
   */
  query: SqlQuery;
  /**
   * Listens to a channel of PostgreSQL. With it, readers get the messages of other
   * processes within milliseconds. Use a direct connection to the server, because
   * poolers do not forward notifications.
   *
   * It is called when a reader starts to wait for a message, once for all logs. The
   * function that it returns is called after the last reader has ended.
   *
   * The database is also polled every `pollInterval`, because a notification can be
   * lost. By default, and while `listen` fails, it is only polled.
   */
  listen?: SqlListen | undefined;
  /**
   * Whether to notify other processes of appends. It has no effect on SQLite. On
   * PostgreSQL, `append` and `end` run an additional statement for it. Set it to
   * `false` if no process uses `listen`.
   *
   * @default {true}
   */
  notify?: boolean | undefined;
  /**
   * Time in milliseconds between two polls for messages of other processes. The
   * database is polled only while readers wait, with one statement for all logs.
   * Set it to `Infinity` if no other process appends, as in a Durable Object. With
   * `listen`, it must be finite.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * Maximum time in milliseconds to wait for the rows of a statement, or for
   * `listen`. After this time, it counts as failed. Some clients never settle
   * statements that were in flight when a connection was lost, and later appends to
   * the log would wait for them.
   *
   * The database may still execute the statement, so an `append` that fails in this
   * way may have stored its messages. `record` finds out before it tries again. It
   * cannot notice a statement that is executed only after a later append.
   *
   * @default {10_000}
   */
  queryTimeout?: number | undefined;
  /**
   * Called with the error of each read that is retried, for example while the
   * database cannot be reached, and with errors of `listen`, of notifications, and
   * of the deletion of old messages. By default, these errors are ignored. Use it
   * to log them. Errors that a retry cannot change are thrown to readers. An error
   * that this function throws is thrown to readers, or by `append`, even though its
   * messages are stored.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** The channel of notifications. */
const CHANNEL = "sse_log";

/**
 * Maximum length of a key in a notification, in UTF-16 code units of up to 3 bytes.
 * PostgreSQL accepts payloads of less than 8000 bytes.
 */
const MAX_KEY_LENGTH = 2000;

/** The time in ms for which a statement is retried after conflicts. */
const MAX_RETRY_TIME = 10_000;

/** The minimum time in ms between two sweeps, unless `expireIn` is shorter. */
const SWEEP_INTERVAL = 60_000;

/**
 * The approximate number of messages (SQLite) or logs (PostgreSQL) that one sweep
 * deletes.
 */
const SWEEP_LENGTH = 500;

/** The position of a log that has no message yet. */
export const START = "0";

/** A row, as the client returns it. */
export type SqlRow = Record<string, unknown>;

/** The state of a log that does not exist. */
const NO_LOG: EventLogStatus = { lastId: START, ended: false, idle: Infinity };

/** A call of `listen`, until its connection is lost or it is stopped. */
interface Listener {
  /** Stops listening. Undefined until `listen` has returned it. */
  stop?: () => unknown;
}

/**
 * A connection to an SQL database, for any number of logs: SQLite (`node:sqlite`,
 * `bun:sqlite`, a Durable Object, D1, libSQL) or PostgreSQL. Create one for each
 * process and database: an append to a log wakes the readers of the same
 * connection at once. Create the tables with {@linkcode SQL_EVENT_LOG_SCHEMA}
 * first.
 *
 * In a Cloudflare Worker, except in a Durable Object, create a connection for each
 * request instead, and its logs as well. A response cannot depend on a timer of
 * another request there, and would hang after that request ends.
 *
 * @example Two logs in one file
 * ```ts
 * import {
 *   SQL_EVENT_LOG_SCHEMA,
 *   SqlConnection,
 *   SqlEventLog,
 * } from "@x/sse/event-log/sql";
 * import { DatabaseSync, type StatementSync } from "node:sqlite";
 *
 * function openLogs(path: string) {
 *   const db = new DatabaseSync(path);
 *   db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
 *   for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) db.exec(statement);
 *   const prepared = new Map<string, StatementSync>();
 *   const sql = new SqlConnection({
 *     dialect: "sqlite",
 *     query(sql, params) {
 *       const statement = prepared.get(sql) ?? db.prepare(sql);
 *       prepared.set(sql, statement);
 *       return statement.all(...params);
 *     },
 *   });
 *   return {
 *     news: new SqlEventLog(sql, "news"),
 *     chat: new SqlEventLog(sql, "chat", { expireIn: 3_600_000 }),
 *   };
 * }
 * openLogs(":memory:");
 * ```
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-notify.html}
 */
export class SqlConnection {
  readonly #options: SqlConnectionOptions;
  readonly #pollInterval: number;
  readonly #queryTimeout: number;
  readonly #dialect: SqlDialect;
  /** The logs that have readers, by key. */
  readonly #watchers = new Map<string, Set<LogWatcher>>();
  /** The number of polls in a row that failed. */
  #failures = 0;
  /** The number of positions at which readers wait. */
  #waiting = 0;
  /** Aborts when no reader waits any more. Undefined unless `#poll` runs. */
  #vacant: AbortController | undefined;
  #listener: Listener | undefined;
  /** The time before which `listen` is not called again. */
  #nextListen = 0;
  /** Distinguishes notifications of this connection from those of others. */
  #lazyTag: string | undefined;
  /** The keys of the next notification, which is sent after the previous one. */
  readonly #keysToNotify = new Set<string>();
  /** Settles when the newest notification is sent. */
  #notified: Promise<void> = Promise.resolve();
  /** The time before which `sweep` does nothing. */
  #nextSweep = 0;

  /**
   * Creates a connection. Runs no statement until a log uses it.
   *
   * @param options How to run statements, and how to notice messages of other
   * processes.
   * @throws {TypeError} If an option is missing or has the wrong type.
   * @throws {RangeError} If `pollInterval` or `queryTimeout` is less than 1, or
   * `pollInterval` is `Infinity` although there is a `listen`.
   */
  constructor(options: SqlConnectionOptions) {
    checkType(options, "object", "options with dialect and query");
    const { dialect } = options;
    const isKnown = dialect === "sqlite" || dialect === "postgres";
    check(isKnown, 'dialect to be "sqlite" or "postgres"', dialect);
    checkType(options.query, "function", "query to be a function");
    functionOption(options, "listen");
    functionOption(options, "onError");
    // A notification can be lost, and so can the connection that listens.
    const most = options.listen ? MAX_TIMER_DELAY : Infinity;
    this.#options = { ...options };
    this.#pollInterval = numberOption(options, "pollInterval", 1000, 1, most);
    this.#queryTimeout = numberOption(options, "queryTimeout", 10_000, 1);
    this.#dialect = dialectOf(dialect);
  }

  /** @internal Reports an error that is retried. */
  onError(error: unknown): void {
    this.#options.onError?.(error);
  }

  /** @internal Runs a statement. Retries it after a conflict with another writer. */
  async run(
    name: keyof SqlDialect,
    ...params: (string | number | null)[]
  ): Promise<SqlRow[]> {
    const sql = this.#dialect[name]!;
    const start = Date.now();
    for (let attempt = 0;; attempt++) {
      try {
        const reply = this.#options.query(sql, params, `sse_${name}`);
        // Of a synchronous client, the reply is the rows themselves.
        const rows = Array.isArray(reply)
          ? reply
          : await this.#inTime(reply, `sse_${name}`);
        check(Array.isArray(rows), "query to return a list of rows", rows);
        return rows;
      } catch (error) {
        const isOver = Date.now() - start > MAX_RETRY_TIME;
        if (isOver || !isUndone(error)) throw error;
      }
      // A random delay, so that two writers do not collide again and again.
      await wait(2 ** Math.min(attempt, 8) * Math.random());
    }
  }

  /** Waits for an answer of the database for at most `queryTimeout`. */
  #inTime<T>(answer: T, statement: string): Promise<Awaited<T>> {
    const expected = `the database to answer ${statement}`;
    return within(answer, this.#queryTimeout, expected, "queryTimeout");
  }

  /** @internal */
  async status(key: string): Promise<EventLogStatus> {
    return { ...(await this.#statuses([key])).get(key) ?? NO_LOG };
  }

  async #statuses(keys: string[]): Promise<Map<string, EventLogStatus>> {
    const rows = await this.run("statuses", JSON.stringify(keys));
    return new Map(rows.map((row) => [String(row.log), toStatus(row)]));
  }

  /**
   * @internal Wakes the readers of a log whenever a message may have been appended
   * to it. Returns a function that stops this.
   */
  watch(key: string, watcher: LogWatcher): () => void {
    const ofKey = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, ofKey.add(watcher));
    return () => {
      ofKey.delete(watcher);
      if (ofKey.size === 0) this.#watchers.delete(key);
      if (this.#watchers.size === 0) this.#stopListening();
    };
  }

  /** @internal Wakes the readers of a log that use this connection. */
  wake(key: string, status?: EventLogStatus): void {
    for (const watcher of this.#watchers.get(key) ?? []) watcher.wake(status);
  }

  #wakeAll(): void {
    for (const key of this.#watchers.keys()) this.wake(key);
  }

  /**
   * @internal Resolves when the signal aborts. Until then, the connection notices
   * messages of other processes, and wakes the readers of their logs.
   */
  async wait(signal: AbortSignal): Promise<void> {
    this.#waiting++;
    if (this.#vacant === undefined) this.#poll();
    await wait(MAX_TIMER_DELAY, signal);
    if (--this.#waiting === 0) this.#vacant!.abort();
  }

  /** Polls as long as readers wait, with one statement for all logs. */
  async #poll(): Promise<void> {
    while (this.#waiting > 0) {
      const { signal } = this.#vacant = new AbortController();
      this.#listen();
      const delay = this.#failures && retryDelay(this.#failures);
      await wait(Math.max(this.#pollInterval, delay), signal);
      if (signal.aborted) continue;
      try {
        const keys = [...this.#watchers.keys()];
        const statuses = await this.#statuses(keys);
        for (const key of keys) this.wake(key, statuses.get(key) ?? NO_LOG);
        this.#failures = 0;
      } catch (error) {
        this.#failures++;
        this.#report(error);
      }
    }
    this.#vacant = undefined;
  }

  /** Reports an error. If it is permanent, fails all readers that wait. */
  #report(error: unknown): void {
    try {
      if (isPermanent(error)) throw error;
      this.onError(error);
    } catch (thrown) {
      const watchers = [...this.#watchers.values()].flatMap((it) => [...it]);
      for (const watcher of watchers) watcher.fail(thrown);
    }
  }

  /** Starts to listen, unless it already listens or has just failed. */
  async #listen(): Promise<void> {
    const { listen } = this.#options;
    if (!listen || this.#listener || Date.now() < this.#nextListen) return;
    this.#nextListen = Date.now() + this.#pollInterval;
    const listener: Listener = this.#listener = {};
    const onNotify = (payload?: string) => {
      if (this.#listener === listener) this.#receive(payload);
    };
    const onLost = (error: unknown) => {
      if (this.#listener !== listener) return;
      this.#listener = undefined;
      this.#report(error);
    };
    const start = async () => {
      const stop = await listen(CHANNEL, onNotify, onLost);
      checkType(stop, "function", "listen to return a function that stops it");
      if (this.#listener !== listener) return void await stop();
      listener.stop = stop;
      // Messages may have been appended before it listened.
      this.#wakeAll();
    };
    try {
      // Some clients never answer if the connection is lost during it.
      await this.#inTime(start(), "LISTEN");
    } catch (error) {
      onLost(error);
    }
  }

  async #stopListening(): Promise<void> {
    const { stop } = this.#listener ?? {};
    this.#listener = undefined;
    this.#nextListen = 0;
    try {
      await stop?.();
    } catch (error) {
      this.#report(error);
    }
  }

  #receive(payload: string | undefined): void {
    const [, tag, key] = /^([0-9a-z]+) (.*)$/s.exec(payload ?? "") ?? [];
    if (!key) this.#wakeAll();
    else if (tag !== this.#tag) this.wake(key);
  }

  // Created on first use, because Workers do not allow random numbers at the top
  // level of a module.
  get #tag(): string {
    return this.#lazyTag ??= randomTag();
  }

  /**
   * @internal Wakes the readers of a log in other processes. Resolves when the
   * notification is sent, because it would be lost if the process ended before.
   *
   * It is a separate statement: `NOTIFY` takes a lock on the whole database until
   * the commit, so all appends would wait for each other's writes to the disk.
   */
  async notify(key: string): Promise<void> {
    const { notify = true } = this.#options;
    if (!notify || this.#dialect.notify === undefined) return;
    // If there are other keys, the notification that will be sent takes this one.
    if (this.#keysToNotify.size === 0) {
      const previous = this.#notified.catch(() => {});
      this.#notified = previous.then(() => this.#sendNotification());
    }
    this.#keysToNotify.add(key.length > MAX_KEY_LENGTH ? "" : key);
    await this.#notified;
  }

  async #sendNotification(): Promise<void> {
    const payloads = [...this.#keysToNotify].map((key) =>
      `${this.#tag} ${key}`
    );
    this.#keysToNotify.clear();
    try {
      await this.run("notify", CHANNEL, JSON.stringify(payloads));
    } catch (error) {
      // Other processes notice the messages when they poll.
      this.onError(error);
    }
  }

  /**
   * @internal Deletes expired messages of all logs, unless it has done so recently.
   */
  async sweep(expireIn: number): Promise<void> {
    if (Date.now() < this.#nextSweep) return;
    this.#nextSweep = Date.now() + Math.min(expireIn, SWEEP_INTERVAL);
    const rows = await this.run("sweep", SWEEP_LENGTH);
    // There may be more to delete: the next append continues.
    if (rows.length >= SWEEP_LENGTH) this.#nextSweep = 0;
  }
}

/** Returns a number of a row. Some clients return it as a string or a bigint. */
export function numberIn(row: SqlRow, name: string): number {
  const value = Number(row?.[name] ?? NaN);
  check(Number.isSafeInteger(value), `query to return rows with ${name}`, row);
  return value;
}

/**
 * Returns the position after a row. The row that ends a log is not a message, and
 * has the tag of the message before it: the position is that of this message.
 */
export function positionOf(row: SqlRow): string {
  const number = numberIn(row, "number") - (isEnd(row) ? 1 : 0);
  return number > 0 ? `${number}-${row.tag}` : START;
}

function toStatus(row: SqlRow): EventLogStatus {
  const idle = Math.max(numberIn(row, "idle"), 0);
  return { lastId: positionOf(row), ended: isEnd(row), idle };
}

/** Whether a row ends its log. SQLite returns 1 or 1n, PostgreSQL `true`. */
export function isEnd({ ended }: SqlRow): boolean {
  return Number(ended) === 1;
}

/** Whether a statement had no effect because of a conflict with another writer. */
function isUndone(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "40001" || code === "40P01" ||
    /database (table )?is locked|SQLITE_BUSY/.test(messageOf(error));
}

/**
 * The code of an error that is permanent. SQLSTATE has five characters, and these
 * classes are: invalid data, authorization, unknown database or schema, syntax.
 */
const PERMANENT_CODE = /^((22|28|3D|3F|42)\w{3}|CONNECTION_ENDED)$/;

/**
 * The message of an error that is permanent: of SQLite and its clients, or of a
 * closed pool.
 */
const PERMANENT_MESSAGE =
  /no such (table|column)|(database|connection) (is not open|has closed)|closed database|been finalized|after calling end/;

/** Whether a retry cannot succeed. */
export function isPermanent(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return isProgramError(error) || PERMANENT_CODE.test(String(code)) ||
    PERMANENT_MESSAGE.test(messageOf(error));
}
