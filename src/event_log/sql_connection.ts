/**
 * What the event logs of a process in one SQL database share.
 *
 * @module
 */

import { backoffDelay } from "../internal/backoff.ts";
import {
  check,
  checkFunction,
  checkRange,
  checkType,
} from "../internal/check.ts";
import { deferred } from "../internal/deferred.ts";
import { MAX_TIMER_DELAY, wait } from "../internal/wait.ts";
import type { EventLogStatus } from "./event_log.ts";
import { randomTag } from "./message.ts";
import {
  dialectOf,
  type SqlDialect,
  type SqlDialectName,
} from "./sql_dialect.ts";
import { BACKOFF, messageOf } from "./stored.ts";

/**
 * Runs a statement, and returns its rows as objects, at once or as a promise. The
 * placeholders of the parameters are `?1`, `?2` … for SQLite, and `$1`, `$2` … for
 * PostgreSQL. The name is that of a prepared statement, for clients that want one:
 * there are about ten statements, and to prepare one takes longer than to run it.
 *
 * @see {@link https://www.sqlite.org/lang_expr.html#varparam}
 */
export type SqlQuery = (
  sql: string,
  params: (string | number | null)[],
  name: string,
) => readonly unknown[] | Promise<readonly unknown[]>;

/**
 * Listens to a channel of PostgreSQL. Calls `onNotify` with the payload of each
 * notification, and without one if some may have been missed, for example after
 * a lost connection; or calls `onLost` with the error if the connection is lost,
 * to be called again. Returns a function that stops it.
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-listen.html}
 */
export type SqlListen = (
  channel: string,
  onNotify: (payload?: string) => void,
  onLost: (error: unknown) => void,
) => (() => unknown) | Promise<() => unknown>;

/**
 * How a {@linkcode SqlConnection} reaches its database.
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
 *     // It connects again by itself, and then calls the last function.
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
 * const sql = new SqlConnection({
 *   dialect: "postgres",
 *   query: async (text, values, name) =>
 *     (await pool.query({ text, values, name })).rows,
 *   async listen(channel, onNotify, onLost) {
 *     const client = new pg.Client({ connectionString });
 *     client.on("error", onLost);
 *     client.on("notification", ({ payload }) => onNotify(payload));
 *     await client.connect();
 *     await client.query(`LISTEN ${channel}`);
 *     return () => client.end();
 *   },
 *   onError: (error) => console.warn(error),
 * });
 * ```
 *
 * @see {@link https://www.postgresql.org/docs/current/sql-notify.html}
 */
export interface SqlConnectionOptions {
  /** The kind of database: SQLite or what is built on it, or PostgreSQL. */
  dialect: SqlDialectName;
  /**
   * Runs a statement through your client:
   *
   * - of `node:sqlite`: `(sql, params) => db.prepare(sql).all(...params)`,
   * - of `bun:sqlite`: `(sql, params) => db.query(sql).all(...params)`,
   * - in a Durable Object:
   *   `(sql, params) => ctx.storage.sql.exec(sql, ...params).toArray()`,
   * - of `pg`: `async (text, values, name) =>
   *   (await pool.query({ text, values, name })).rows`,
   * - of `postgres`: `(sql, params) =>
   *   client.unsafe(sql, params, { prepare: true })`,
   * - of PGlite: `async (sql, params) => (await db.query(sql, params)).rows`.
   *
   * Each operation of a log is one statement without a transaction around it, so
   * a pool works, and a pooler such as PgBouncer in any mode. Leave out `name` and
   * `prepare` if a pooler knows no prepared statements.
   */
  query: SqlQuery;
  /**
   * Listens to a channel of PostgreSQL, on a connection that leads to the server
   * itself: a pooler passes no notifications on. It is called once for all logs,
   * when a reader waits for a message. The function that it returns is called
   * when nobody reads any more.
   *
   * Without it, and while it fails, readers learn every `pollInterval` what other
   * processes have appended.
   */
  listen?: SqlListen | undefined;
  /**
   * Whether to notify listening processes of each append to PostgreSQL. It takes a
   * statement of its own. Set it to `false` if no process has `listen`.
   *
   * @default {true}
   */
  notify?: boolean | undefined;
  /**
   * Milliseconds between two polls for what other processes have appended, while
   * clients wait for messages. One statement polls for all logs. Set it to
   * `Infinity` if there is no other process, as in a Durable Object.
   *
   * @default {1000}
   */
  pollInterval?: number | undefined;
  /**
   * Called with the error of each statement that is tried again, for example while
   * the database is down. Use it to log them. Errors that another try cannot
   * change are thrown to readers, and so is what this function throws.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** The channel of notifications. */
const CHANNEL = "sse_log";

/** A longer key does not fit into a notification. It has up to 3 bytes a unit. */
const MAX_KEY_LENGTH = 2000;

/** The time in ms for which a statement that did nothing is tried again. */
const MAX_RETRY_TIME = 10_000;

/** The time in ms between two sweeps, at least. */
const SWEEP_INTERVAL = 60_000;

/** How many rows of SQLite, or logs in PostgreSQL, one sweep deletes, about. */
const SWEEP_LENGTH = 500;

/** The position of a log that has no message yet. */
export const START = "0";

/** A row, as clients return it. */
export type SqlRow = Record<string, unknown>;

/** The state of a log that does not exist. */
const NO_LOG: EventLogStatus = { lastId: START, ended: false, idle: Infinity };

/** A reader that waits for what follows a position. */
interface Waiter {
  readonly key: string;
  readonly position: string;
  wake(): void;
  fail(error: unknown): void;
}

/** A call of `listen`, until it is lost or stopped. */
interface Listener {
  stop?: () => unknown;
}

/**
 * The connection of a process to an SQL database, for any number of logs: SQLite
 * (`node:sqlite`, `bun:sqlite`, a Durable Object, libSQL) or PostgreSQL. The logs
 * of one connection wake each other at once. Create the tables with
 * {@linkcode SQL_EVENT_LOG_SCHEMA}.
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
  readonly #dialect: SqlDialect;
  /** The functions that wake the readers of each log. */
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #waiters = new Set<Waiter>();
  #isPolling = false;
  /** The polls in a row that failed. */
  #failures = 0;
  /** Aborts when nobody waits any more. */
  #vacant = new AbortController();
  #listener: Listener | undefined;
  /** The time before which `listen` is not called again. */
  #nextListen = 0;
  /** Tells notifications of this connection from those of others. */
  #lazyTag: string | undefined;
  /** The keys of the next notification, and when it is sent. */
  #notification: { keys: Set<string>; sent: Promise<void> } | undefined;
  #lastNotified: Promise<void> = Promise.resolve();
  /** The time before which nothing is swept. */
  #nextSweep = 0;

  /**
   * Makes a connection, which runs no statement until a log uses it.
   *
   * @param options How to run statements, and how to wait.
   * @throws {TypeError} If `query` is not a function, or another option has the
   * wrong type.
   * @throws {RangeError} If `pollInterval` is less than 1.
   */
  constructor(options: SqlConnectionOptions) {
    checkType(options, "object", "options with dialect and query");
    const { dialect, pollInterval = 1000 } = options;
    check(
      dialect === "sqlite" || dialect === "postgres",
      'dialect to be "sqlite" or "postgres"',
      dialect,
    );
    checkType(options.query, "function", "query to be a function");
    checkFunction("listen", options.listen);
    checkFunction("onError", options.onError);
    checkRange("pollInterval", pollInterval, 1);
    this.#options = { ...options };
    this.#pollInterval = pollInterval;
    this.#dialect = dialectOf(dialect);
  }

  /** @internal Reports an error after which it is tried again. */
  onError(error: unknown): void {
    this.#options.onError?.(error);
  }

  /** @internal Runs a statement, again if it has done nothing. */
  async run(
    name: keyof SqlDialect,
    ...params: (string | number | null)[]
  ): Promise<SqlRow[]> {
    return await this.#query(this.#dialect[name], params, `sse_${name}`);
  }

  async #query(
    sql: string,
    params: (string | number | null)[],
    name: string,
  ): Promise<SqlRow[]> {
    const start = Date.now();
    for (let attempt = 0;; attempt++) {
      try {
        const rows = await this.#options.query(sql, params, name);
        check(Array.isArray(rows), "query to return a list of rows", rows);
        return rows;
      } catch (error) {
        const isOver = Date.now() - start > MAX_RETRY_TIME;
        if (isOver || !isUndone(error)) throw error;
      }
      // Another process was faster. The more there are, the longer the wait.
      await wait(2 ** Math.min(attempt, 8) * Math.random());
    }
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
   * @internal Calls a function whenever something may have been appended to a log.
   * Returns a function that stops it.
   */
  watch(key: string, wake: () => void): () => void {
    const ofKey = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, ofKey.add(wake));
    return () => {
      ofKey.delete(wake);
      if (ofKey.size === 0) this.#watchers.delete(key);
      if (this.#watchers.size === 0) this.#stopListening();
    };
  }

  /** @internal Wakes the readers of a log in this process. */
  wake(key: string): void {
    for (const wake of [...this.#watchers.get(key) ?? []]) wake();
  }

  #wakeAll(): void {
    for (const key of [...this.#watchers.keys()]) this.wake(key);
  }

  /** @internal Resolves when a log may not end at a position, or on abort. */
  async wait(
    key: string,
    position: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    const waiter: Waiter = { key, position, wake: resolve, fail: reject };
    this.#waiters.add(waiter);
    if (!this.#isPolling) this.#poll();
    try {
      await wait(MAX_TIMER_DELAY, signal, promise);
    } finally {
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0) this.#vacant.abort();
    }
  }

  /** Polls with one statement for all, as long as anybody waits. */
  async #poll(): Promise<void> {
    this.#isPolling = true;
    while (this.#waiters.size > 0) {
      this.#listen();
      const { signal } = this.#vacant = new AbortController();
      const backoff = this.#failures && backoffDelay(BACKOFF, this.#failures);
      await wait(Math.max(this.#pollInterval, backoff), signal);
      if (signal.aborted) continue;
      try {
        await this.#pollOnce();
        this.#failures = 0;
      } catch (error) {
        this.#failures++;
        this.#report(error);
      }
    }
    this.#isPolling = false;
  }

  async #pollOnce(): Promise<void> {
    // Those who come during the statement may know more than it.
    const waiters = [...this.#waiters];
    const statuses = await this.#statuses([
      ...new Set(waiters.map((it) => it.key)),
    ]);
    for (const { key, position, wake } of waiters) {
      const { lastId, ended } = statuses.get(key) ?? NO_LOG;
      if (lastId !== position || ended) wake();
    }
  }

  /** Reports an error, and has everybody who waits fail if it is permanent. */
  #report(error: unknown): void {
    try {
      if (isPermanent(error)) throw error;
      this.onError(error);
    } catch (thrown) {
      for (const waiter of [...this.#waiters]) waiter.fail(thrown);
    }
  }

  /** Begins to listen, unless it does already or failed a moment ago. */
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
    try {
      const stop = await listen(CHANNEL, onNotify, onLost);
      checkType(stop, "function", "listen to return a function that stops it");
      if (this.#listener !== listener) return void await stop();
      listener.stop = stop;
      // For what was appended before.
      this.#wakeAll();
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

  // Not before it is needed: some runtimes have no random numbers as a module
  // loads.
  get #tag(): string {
    return this.#lazyTag ??= randomTag();
  }

  /**
   * @internal Wakes the readers of a log in other processes. Resolves when the
   * database has the notification: a process that ends sends no other. It is a
   * statement of its own, as one that also appends holds the lock that all
   * notifications share until the message is on disk.
   */
  async notify(key: string): Promise<void> {
    const { dialect, notify = true } = this.#options;
    if (dialect !== "postgres" || !notify) return;
    this.#notification ??= this.#nextNotification();
    this.#notification.keys.add(key.length > MAX_KEY_LENGTH ? "" : key);
    await this.#notification.sent;
  }

  /** One statement notifies of all that is appended during the one before it. */
  #nextNotification() {
    const keys = new Set<string>();
    const sent = this.#lastNotified.then(async () => {
      this.#notification = undefined;
      const payloads = [...keys].map((key) => `${this.#tag} ${key}`);
      try {
        await this.#query(
          "SELECT pg_notify($1, value) FROM json_array_elements_text($2::text::json)",
          [CHANNEL, JSON.stringify(payloads)],
          "sse_notify",
        );
      } catch (error) {
        // They poll nonetheless.
        this.onError(error);
      }
    });
    this.#lastNotified = sent.catch(() => {});
    return { keys, sent };
  }

  /** @internal Deletes what has expired, of all logs, now and then. */
  async sweep(expireIn: number): Promise<void> {
    if (Date.now() < this.#nextSweep) return;
    this.#nextSweep = Date.now() + Math.min(expireIn, SWEEP_INTERVAL);
    const rows = await this.run("sweep", SWEEP_LENGTH);
    // There may be more.
    if (rows.length >= SWEEP_LENGTH) this.#nextSweep = 0;
  }
}

/** Returns a number in a row, as some clients return it as a string. */
export function numberIn(row: SqlRow, name: string): number {
  const value = Number(row?.[name] ?? NaN);
  check(Number.isSafeInteger(value), `query to return rows with ${name}`, row);
  return value;
}

/** Returns the position after a message; START if there is none. */
export function positionOf(number: number, tag: unknown): string {
  return number > 0 ? `${number}-${tag}` : START;
}

function toStatus(row: SqlRow): EventLogStatus {
  const ended = isEnd(row);
  // The row that ends a log is none of its messages.
  const number = numberIn(row, "number") - (ended ? 1 : 0);
  const lastId = positionOf(number, row.tag);
  return { lastId, ended, idle: Math.max(numberIn(row, "idle"), 0) };
}

/** Whether a row ends its log. SQLite has no booleans, but 1 or, if so set, 1n. */
export function isEnd({ ended }: SqlRow): boolean {
  return Number(ended) === 1;
}

/** Whether a statement has done nothing, as others were at work. */
function isUndone(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "40001" || code === "40P01" ||
    /database (table )?is locked|SQLITE_BUSY/.test(messageOf(error));
}

/** Classes of SQLSTATE: data, authorization, names of databases, syntax. */
const PERMANENT_CODE = /^((22|28|3D|3F|42)\w{3}|CONNECTION_ENDED)$/;

/** What SQLite and its clients say, errors of ours, and a closed pool. */
const PERMANENT_MESSAGE =
  /^Expected |no such (table|column)|(database|connection) (is not open|has closed)|closed database|after calling end/;

/** Whether another try cannot succeed. */
export function isPermanent(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return PERMANENT_CODE.test(String(code)) ||
    PERMANENT_MESSAGE.test(messageOf(error));
}
