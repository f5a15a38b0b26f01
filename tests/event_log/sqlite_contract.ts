/**
 * Runs the contract of event logs on SQLite in Node or Bun. Prints the names of
 * the tests that fail, and at last how many have run.
 */
import { tests } from "./contract_globals.ts";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  SqlEventLog,
  type SqlQuery,
} from "../../src/event_log/sql.ts";
import { testContract } from "./contract.ts";

type Params = (string | number | null)[];

/** What is used of both clients. */
interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { all(...params: Params): unknown[] };
}
type Open = new (path: string) => Database;

// The bundler must not look for them.
const name = "Bun" in globalThis ? "bun:sqlite" : "node:sqlite";
const client: Record<string, Open> = await import(name);
const Database = client.DatabaseSync ?? client.Database;

testContract({
  name: "SqlEventLog",
  steps: 1000,
  open() {
    const db = new Database(":memory:");
    for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) db.exec(statement);
    const query: SqlQuery = (sql, params) => db.prepare(sql).all(...params);
    const sql = new SqlConnection({
      dialect: "sqlite",
      query,
      pollInterval: Infinity,
    });
    return {
      shared: true,
      slack: 11,
      log: (key = "log", maxMessages) =>
        new SqlEventLog(sql, key, { maxMessages }),
      async [Symbol.asyncDispose]() {},
    };
  },
});

for (const { name, fn } of tests) {
  try {
    await fn();
  } catch (error) {
    console.log(name, error);
  }
}
console.log(`${tests.length} tests`);
