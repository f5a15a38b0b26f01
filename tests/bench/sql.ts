/**
 * What a log in an SQL database costs beside bare statements of the same client.
 * Run by itself, as `sql.ts ENGINE ADDRESS`, it measures one engine: bare
 * statements and the log take turns.
 */
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  type SqlConnectionOptions,
  SqlEventLog,
  type SqlQuery,
} from "../../src/event_log/sql.ts";
import { postgresPath, PostgresServer } from "../event_log/postgres_server.ts";
import { clients } from "../event_log/sql_clients.ts";
import { Sqlite } from "../event_log/sqlite.ts";
import { runChild } from "./child.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";

const data = "x".repeat(100);
const BLOCKS = 6;
const MANY = 100;
const LOGS = 500;

interface Costs {
  /** Messages a second: one at a time, and 100 at once. */
  single: { bare: number; log: number };
  many: { bare: number; log: number };
  /** The time from append to reader in ms, at 20 messages a second. */
  latency: number;
  /** The same with 500 followed logs, and the statements a second without any. */
  followed: number;
  idle: number;
  bytes: number;
}

if (import.meta.main) {
  const [engine, address] = Deno.args;
  console.log(JSON.stringify(await measureEngine(engine, address)));
  Deno.exit();
}

async function measureEngine(engine: string, address: string) {
  const options: SqlConnectionOptions = engine === "node:sqlite"
    ? { dialect: "sqlite", query: new Sqlite(address).query }
    : clients[engine as keyof typeof clients](address);
  const { dialect, query } = options;
  for (const sql of SQL_EVENT_LOG_SCHEMA[dialect]) await query(sql, [], "");
  await query(
    "CREATE TABLE bare (log text, number bigint, body text, PRIMARY KEY (log, number))",
    [],
    "",
  );
  const costs: Costs = {
    single: { bare: 0, log: 0 },
    many: { bare: 0, log: 0 },
    latency: 0,
    followed: 0,
    idle: 0,
    bytes: 0,
  };
  const sql = new SqlConnection(options);
  // Bare statements delete nothing, either.
  const log = new SqlEventLog(sql, "log", { maxMessages: Infinity });
  const single = dialect === "sqlite" ? 3000 : 300;
  const bare = bareInserts(dialect, query);
  for (let block = -1; block < BLOCKS; block++) {
    const one = {
      bare: await rate(1, single, bare),
      log: await rate(1, single, () => log.append({ data })),
    };
    const many = {
      bare: await rate(MANY, 10, bare),
      log: await rate(MANY, 10, () => log.append({ data })),
    };
    if (block < 0) continue; // Warms up.
    for (const who of ["bare", "log"] as const) {
      costs.single[who] += one[who] / BLOCKS;
      costs.many[who] += many[who] / BLOCKS;
    }
  }
  // In PostgreSQL, from another connection, as another process would append.
  const other = dialect === "sqlite" ? sql : new SqlConnection(options);
  costs.latency = await latency(sql, other, ["one"]);
  const keys = Array.from({ length: LOGS }, (_, i) => `log ${i}`);
  costs.followed = await latency(sql, other, keys, (perSecond) => {
    costs.idle = perSecond;
  }, options);
  costs.bytes = await bytesOfMessage(dialect, query, sql);
  return costs;
}

function bareInserts(dialect: string, query: SqlQuery) {
  let number = 0;
  const values = dialect === "sqlite" ? "?1, ?2, ?3" : "$1, $2, $3";
  const insert = `INSERT INTO bare (log, number, body) VALUES (${values})`;
  const body = JSON.stringify({ data });
  return async () => void await query(insert, ["log", ++number, body], "bare");
}

/** Returns messages a second. */
async function rate(
  atOnce: number,
  times: number,
  append: () => Promise<unknown>,
): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < times; i++) {
    await Promise.all(Array.from({ length: atOnce }, append));
  }
  return atOnce * times * 1000 / (performance.now() - start);
}

/** Appends 20 messages a second to followed logs. Returns the median in ms. */
async function latency(
  reading: SqlConnection,
  appending: SqlConnection,
  keys: string[],
  onIdle?: (statementsPerSecond: number) => void,
  options?: SqlConnectionOptions,
): Promise<number> {
  let statements = 0;
  const counted = options && new SqlConnection({
    ...options,
    query(sql, params, name) {
      statements++;
      return options.query(sql, params, name);
    },
  });
  // In SQLite, only the logs of one connection wake each other at once.
  const isSqlite = reading === appending;
  if (counted) reading = counted;
  if (isSqlite) appending = reading;
  const times: number[] = [];
  let sent = 0;
  const stop = new AbortController();
  const reads = keys.map(async (key) => {
    const log = new SqlEventLog(reading, key);
    try {
      for await (const _ of log.read("", { signal: stop.signal })) {
        times.push(performance.now() - sent);
      }
    } catch {
      // It was stopped.
    }
  });
  await sleep(1000);
  if (onIdle) {
    const before = statements;
    await sleep(3000);
    onIdle((statements - before) / 3);
  }
  for (let i = 0; i < 100; i++) {
    const key = keys[Math.floor(Math.random() * keys.length)];
    const log = new SqlEventLog(appending, key);
    sent = performance.now();
    await log.append({ data });
    await sleep(50);
  }
  await sleep(1000);
  stop.abort();
  await Promise.all(reads);
  return median(times);
}

async function bytesOfMessage(
  dialect: string,
  query: SqlQuery,
  sql: SqlConnection,
): Promise<number> {
  const size = dialect === "sqlite"
    ? "SELECT page_count * page_size AS size FROM pragma_page_count, pragma_page_size"
    : "SELECT pg_total_relation_size('sse_messages') AS size";
  const bytes = async () => {
    const [row] = await query(size, [], "");
    return Number((row as { size: unknown }).size);
  };
  const log = new SqlEventLog(sql, "bytes", { maxMessages: Infinity });
  const before = await bytes();
  for (let i = 0; i < 100; i++) {
    await Promise.all(
      Array.from({ length: MANY }, () => log.append({ data })),
    );
  }
  return (await bytes() - before) / (100 * MANY);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function sql({ rounds, markdown }: Options) {
  const directory = await Deno.makeTempDir();
  const engines: [engine: string, address: string][] = [
    ["node:sqlite", `${directory}/logs`],
  ];
  const server = postgresPath() && await PostgresServer.start();
  if (server) engines.push(["pg", server.url], ["postgres", server.url]);
  else console.log("\nsql: not run on PostgreSQL, which is not installed");
  const rows: string[][] = [];
  for (const [engine, address] of engines) {
    const all: Costs[] = [];
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: SQL, ${engine}`);
      if (server && engine !== "node:sqlite") await dropTables(address);
      const path = engine === "node:sqlite" ? `${address}${round}.db` : address;
      all.push(await runChild<Costs>("sql.ts", engine, path));
    }
    const of = (value: (costs: Costs) => number) => median(all.map(value));
    rows.push([
      engine,
      threeDigits(of(({ single }) => single.bare)),
      threeDigits(of(({ single }) => single.log)),
      ratio(of(({ single }) => single.log / single.bare)),
      threeDigits(of(({ many }) => many.bare)),
      threeDigits(of(({ many }) => many.log)),
      ratio(of(({ many }) => many.log / many.bare)),
      threeDigits(of(({ latency }) => latency)),
      threeDigits(of(({ followed }) => followed)),
      threeDigits(of(({ idle }) => idle)),
      threeDigits(of(({ bytes }) => bytes)),
    ]);
  }
  if (server) await server[Symbol.asyncDispose]();
  await Deno.remove(directory, { recursive: true });
  printTable(
    "Messages of 100 bytes a second; ms from append to reader; bytes of a row",
    [
      ...["", "INSERT", "append", "", "100 INSERT", "100 append", ""],
      ...["p50 ms", "p50 of 500 logs", "idle statements/s", "bytes"],
    ],
    rows,
    markdown,
  );
}

async function dropTables(address: string): Promise<void> {
  await using client = clients.postgres(address);
  for (const table of ["bare", "sse_logs", "sse_messages"]) {
    await client.query(`DROP TABLE IF EXISTS ${table}`, [], "");
  }
}
