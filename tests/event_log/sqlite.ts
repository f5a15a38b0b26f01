/** SQLite in `node:sqlite`, as an application would pass it to a log. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  type SqlConnectionOptions,
  type SqlQuery,
} from "../../src/event_log/sql.ts";

export class Sqlite implements Disposable {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Opens a database, and creates the tables. */
  constructor(path = ":memory:") {
    this.db = new DatabaseSync(path);
    this.db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) {
      this.db.exec(statement);
    }
  }

  // To prepare a statement takes longer than to run it.
  query: SqlQuery = (sql, params) => {
    const statement = this.#statements.get(sql) ?? this.db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement.all(...params);
  };

  /** Returns the values of the first column. */
  values(sql: string): unknown[] {
    return this.db.prepare(sql).all().map((row) => Object.values(row)[0]);
  }

  connection(options: Partial<SqlConnectionOptions> = {}): SqlConnection {
    const { query } = this;
    return new SqlConnection({ dialect: "sqlite", query, ...options });
  }

  [Symbol.dispose](): void {
    this.db.close();
  }
}
