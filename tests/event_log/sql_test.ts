/** Tests `SqlEventLog` on `node:sqlite`. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { SseMessage } from "../../mod.ts";
import {
  EventLogEndedError,
  EventLogGapError,
  record,
  resume,
} from "../../src/event_log/mod.ts";
import { EXTRAS } from "../../src/event_log/message.ts";
import {
  SqlConnection,
  type SqlConnectionOptions,
  SqlEventLog,
  type SqlQuery,
} from "../../src/event_log/sql.ts";
import { dialectOf } from "../../src/event_log/sql_dialect.ts";
import {
  appendAll,
  numbers,
  readAll,
  Reader,
  testContract,
} from "./contract.ts";
import { assertInterleaved, LogProcess } from "./processes.ts";
import { Sqlite } from "./sqlite.ts";
import { deadline } from "../support/deadline.ts";
import { Source } from "../support/message_source.ts";
import { settled } from "../support/settled.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

testContract({
  name: "SqlEventLog on SQLite",
  steps: 3000,
  open() {
    const sqlite = new Sqlite();
    const sql = sqlite.connection({ pollInterval: Infinity });
    return {
      shared: true,
      slack: 11,
      log: (key = "log", maxMessages) =>
        new SqlEventLog(sql, key, { maxMessages }),
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        sqlite[Symbol.dispose]();
      },
    };
  },
});

/** A query that counts its statements by their first words. */
function counting(query: SqlQuery) {
  const statements: string[] = [];
  const counted: SqlQuery = (sql, params, name) => {
    statements.push(sql.split(/\s/, 1)[0]);
    return query(sql, params, name);
  };
  return { statements, query: counted };
}

async function data(messages: AsyncIterable<SseMessage>) {
  return (await readAll(messages)).map(({ data }) => data);
}

Deno.test("SqlEventLog stores all appends of a turn with one statement, in order, and before the end", async () => {
  using sqlite = new Sqlite();
  const { statements, query } = counting(sqlite.query);
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  const single = numbers(1, 100).map((data) => log.append({ data }));
  const several = log.append({ data: "101" }, { data: "102" });
  const end = log.end();
  const late = assertRejects(
    () => log.append({ data: "103" }),
    EventLogEndedError,
  );
  const ids = [...await Promise.all(single), await several];
  await Promise.all([end, late]);
  // The last one looks for messages of an earlier attempt.
  assertEquals(statements, ["INSERT", "INSERT", "INSERT", "SELECT"]);
  const all = await readAll(log.read(""));
  assertEquals(all.map(({ data }) => data), numbers(1, 102));
  assertEquals(all.map(({ id }) => id).toSpliced(100, 1), ids);
});

Deno.test("SqlEventLog stores messages of one append with one statement, and splits appends into batches", async () => {
  using sqlite = new Sqlite();
  const { statements, query } = counting(sqlite.query);
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  const [first, ...more] = numbers(1, 3000).map((data) => ({ data }));
  await log.append(first, ...more);
  assertEquals(statements, ["INSERT"]);
  const large = "x".repeat(200_000);
  const appends = [large, "y", large].map((data) => log.append({ data }));
  await Promise.all([
    ...appends,
    ...numbers(1, 3000).map((data) => log.append({ data })),
  ]);
  assertEquals(statements.length, 1 + 3);
  assertEquals((await data(log.read("", { follow: false }))).length, 6003);
});

Deno.test("SqlEventLog reports a gap after ids that a restored backup does not know, also to readers that wait", async () => {
  using sqlite = new Sqlite();
  const sql = sqlite.connection({ pollInterval: 10 });
  const log = new SqlEventLog(sql, "log");
  const [kept] = await appendAll(log, ["1"]);
  sqlite.db.exec("CREATE TABLE backup AS SELECT * FROM sse_messages");
  const [lost] = await appendAll(log, ["lost"]);
  const reader = new Reader(log.read(""));
  assertEquals(await reader.data(2), ["1", "lost"]);
  const waiting = assertRejects(() => reader.next(), EventLogGapError);
  sqlite.db.exec(
    "DELETE FROM sse_messages; INSERT INTO sse_messages SELECT * FROM backup",
  );
  await waiting;
  const again = new SqlEventLog(sqlite.connection(), "log");
  const [id] = await appendAll(again, ["new"]);
  // The same number, with another tag.
  assertEquals(id.split("-")[0], lost.split("-")[0]);
  await assertRejects(
    () => readAll(again.read(lost, { follow: false })),
    EventLogGapError,
  );
  assertEquals(await data(again.read(kept, { follow: false })), ["new"]);
});

Deno.test("SqlEventLog stores nothing when it is read", async () => {
  using sqlite = new Sqlite();
  const sql = sqlite.connection();
  for (const key of numbers(1, 1000)) {
    const log = new SqlEventLog(sql, key);
    await log.status();
    assertEquals(await readAll(log.read("", { follow: false })), []);
    const unknown = log.read("1-abcdefghijklmn", { follow: false });
    await assertRejects(() => readAll(unknown), EventLogGapError);
  }
  assertEquals(sqlite.values("SELECT COUNT(*) FROM sse_messages"), [0]);
});

Deno.test("SqlEventLog deletes old messages, and keeps one more as the proof of a position", async () => {
  using sqlite = new Sqlite();
  const sql = sqlite.connection();
  const log = new SqlEventLog(sql, "log", { maxMessages: 2 });
  const other = new SqlEventLog(sql, "other", { maxMessages: 2 });
  await appendAll(other, ["1", "2"]);
  const ids = await appendAll(log, numbers(1, 10));
  const left = "SELECT number FROM sse_messages WHERE log = 'log'";
  assertEquals(sqlite.values(left), [8, 9, 10]);
  assertEquals(await data(log.read(ids[7], { follow: false })), ["9", "10"]);
  await log.append(
    ...numbers(11, 15).map((data) => ({ data })) as [SseMessage],
  );
  assertEquals(sqlite.values(left), [13, 14, 15]);
  assertEquals(await data(other.read("", { follow: false })), ["1", "2"]);
  const { lastId } = await new SqlEventLog(sql, "new").status();
  await assertRejects(
    () => readAll(log.read(lastId, { follow: false })),
    EventLogGapError,
  );
});

Deno.test("SqlEventLog deletes what has expired of all logs, with all that is before it", async () => {
  using sqlite = new Sqlite();
  const hour = { expireIn: 3_600_000 };
  const old = new SqlEventLog(sqlite.connection(), "old", hour);
  await appendAll(old, ["1", "2"]);
  await old.end();
  const partly = new SqlEventLog(sqlite.connection(), "partly", hour);
  const ids = await appendAll(partly, numbers(1, 5));
  await new SqlEventLog(sqlite.connection(), "for ever").append({ data: "1" });
  // The third of them, as if its process had had a shorter limit.
  sqlite.db.exec(`UPDATE sse_messages SET expires = 0
WHERE log = 'old' OR log = 'partly' AND number = 3`);
  // A new connection sweeps with its first append, and not with the next.
  const log = new SqlEventLog(sqlite.connection(), "new", hour);
  await log.append({ data: "1" });
  const logs = "SELECT DISTINCT log FROM sse_messages ORDER BY log";
  assertEquals(sqlite.values(logs), ["for ever", "new", "partly"]);
  assertEquals(await data(partly.read(ids[3], { follow: false })), ["5"]);
  assertEquals(await data(partly.read("", { follow: false })), ["4", "5"]);
  sqlite.db.exec("UPDATE sse_messages SET expires = 0 WHERE log = 'partly'");
  await log.append({ data: "2" });
  assertEquals(sqlite.values(logs), ["for ever", "new", "partly"]);
  // What was deleted begins anew.
  assertEquals((await old.status()).idle, Infinity);
  await old.append({ data: "again" });
  assertEquals(await data(old.read("", { follow: false })), ["again"]);
});

Deno.test("SqlEventLog sweeps in parts, and again at once if there is more", async () => {
  using sqlite = new Sqlite();
  const options = { expireIn: 3_600_000 };
  const log = new SqlEventLog(sqlite.connection(), "log", options);
  const [first, ...more] = numbers(1, 800).map((data) => ({ data }));
  const old = new SqlEventLog(sqlite.connection(), "old", options);
  await old.append(first, ...more);
  sqlite.db.exec("UPDATE sse_messages SET expires = 0");
  const left = "SELECT COUNT(*) FROM sse_messages WHERE log = 'old'";
  await log.append({ data: "1" });
  assertEquals(sqlite.values(left), [300]);
  await log.append({ data: "2" });
  assertEquals(sqlite.values(left), [0]);
});

Deno.test("SqlEventLog reports a gap if a row is missing, and never a wrong end", async () => {
  using sqlite = new Sqlite();
  const log = new SqlEventLog(sqlite.connection(), "log");
  const ids = await appendAll(log, numbers(1, 5));
  await log.end();
  sqlite.db.exec("DELETE FROM sse_messages WHERE number = 3");
  const reader = new Reader(log.read(""));
  assertEquals(await reader.data(2), ["1", "2"]);
  await assertRejects(() => reader.next(), EventLogGapError);
  // Only the row that ends the log is left, which proves its last message.
  sqlite.db.exec("DELETE FROM sse_messages WHERE number < 6");
  assertEquals((await log.status()).lastId, ids[4]);
  assertEquals(await readAll(log.read(ids[4])), []);
  for (const id of [ids[3], "0"]) {
    const gap = await assertRejects(
      () => readAll(log.read(id)),
      EventLogGapError,
    );
    assertEquals(gap.resumeAfter, ids[4]);
  }
});

Deno.test("SqlEventLog renews a log that has no message yet, which changes no number", async () => {
  using sqlite = new Sqlite();
  const log = new SqlEventLog(sqlite.connection(), "log");
  await log[EXTRAS].touch();
  await log[EXTRAS].touch();
  const { lastId, ended, idle } = await log.status();
  assertEquals([lastId, ended, idle < 60_000], ["0", false, true]);
  const id = await log.append({ data: "1" });
  assertEquals(id.split("-")[0], "1");
  sqlite.db.exec("UPDATE sse_messages SET time = 0");
  await log[EXTRAS].touch();
  assert((await log.status()).idle < 60_000);
  await log.end();
  await log[EXTRAS].touch();
  assertEquals(await readAll(log.read("")), [{ data: "1", id }]);
  assertEquals(await data(log.read("0")), ["1"]);
});

Deno.test("the logs of a SqlConnection wake each other, and poll with one statement", async () => {
  using sqlite = new Sqlite();
  const { statements, query } = counting(sqlite.query);
  const sql = sqlite.connection({ query, pollInterval: 20 });
  const readers = numbers(1, 50).map((key) =>
    new Reader(new SqlEventLog(sql, key).read(""))
  );
  const first = readers.map((reader) => reader.data(1));
  // Each looks once, and the rest are polls for all of them.
  while (statements.length < 53) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const other = sqlite.connection();
  for (const key of numbers(1, 50)) {
    await new SqlEventLog(other, key).append({ data: key });
  }
  assertEquals((await Promise.all(first)).flat(), numbers(1, 50));
  for (const reader of readers) await reader.return();
});

Deno.test("SqlEventLog tries again if the database is locked, and rejects with other errors", async () => {
  using sqlite = new Sqlite();
  const failures = ["database is locked", "SQLITE_BUSY: busy", "disk full"];
  const codes = ["40001", "40P01", "23505"];
  const query: SqlQuery = (sql, params, name) => {
    if (failures.length > 0) throw new Error(failures.shift());
    if (codes.length > 0) throw { code: codes.shift() };
    return sqlite.query(sql, params, name);
  };
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  await assertRejects(() => log.append({ data: "1" }), Error, "disk full");
  await assertRejects(() => log.append({ data: "2" }));
  await log.append({ data: "3" });
  await log.end();
  assertEquals(await data(log.read("")), ["3"]);
});

Deno.test("record() on a SqlEventLog stores nothing twice if an append fails after it was stored", async () => {
  using sqlite = new Sqlite();
  let lost = 0;
  const query: SqlQuery = (sql, params, name) => {
    const rows = sqlite.query(sql, params, name);
    const isLost = sql.startsWith("INSERT") && lost++ % 3 === 1;
    return isLost ? Promise.reject(new Error("connection lost")) : rows;
  };
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  async function* source() {
    for (const data of numbers(1, 10)) {
      await new Promise((resolve) => setTimeout(resolve));
      yield { data };
    }
  }
  assertEquals(await record(log, source()), "complete");
  assert(lost > 3);
  const other = new SqlEventLog(sqlite.connection(), "log");
  assertEquals(await data(other.read("", { follow: false })), numbers(1, 10));
});

Deno.test("readers of a SqlEventLog wait for a database that is down, and fail with an error that is permanent", async () => {
  using sqlite = new Sqlite();
  const errors: unknown[] = [];
  let failures: unknown[] = [];
  const sql = sqlite.connection({
    pollInterval: 10,
    onError: (error) => void errors.push(error),
    query: (sql, params, name) =>
      failures.length > 0
        ? Promise.reject(failures.shift())
        : sqlite.query(sql, params, name),
  });
  const log = new SqlEventLog(sql, "log");
  // At the first look, and then at polls.
  failures = [new Error("down")];
  const reader = new Reader(log.read(""));
  const first = reader.data(1);
  while (errors.length < 1) await new Promise((run) => setTimeout(run, 5));
  failures = [new Error("down"), { code: "57P01" }];
  while (errors.length < 3) await new Promise((run) => setTimeout(run, 5));
  await new SqlEventLog(sqlite.connection(), "log").append({ data: "1" });
  assertEquals(await first, ["1"]);

  const others = numbers(1, 3).map((key) =>
    new Reader(new SqlEventLog(sql, key).read(""))
  );
  const ends = [reader, ...others].map((it) => assertRejects(() => it.next()));
  await new Promise((resolve) => setTimeout(resolve, 20));
  sqlite.db.exec("DROP TABLE sse_messages");
  await Promise.all(ends);
  assertEquals(errors.length, 3);
});

Deno.test("what onError of a SqlConnection throws is thrown to its readers", async () => {
  using sqlite = new Sqlite();
  let isDown = false;
  const sql = sqlite.connection({
    pollInterval: 10,
    onError() {
      throw new RangeError("enough");
    },
    query: (sql, params, name) =>
      isDown
        ? Promise.reject(new Error("down"))
        : sqlite.query(sql, params, name),
  });
  const log = new SqlEventLog(sql, "log");
  const reader = new Reader(log.read(""));
  const end = assertRejects(() => reader.next(), RangeError, "enough");
  await log.status();
  isDown = true;
  await end;
});

Deno.test("SqlEventLog stores a message even if it fails to delete old ones", async () => {
  using sqlite = new Sqlite();
  const errors: unknown[] = [];
  const log = new SqlEventLog(
    sqlite.connection({
      query(sql, params, name) {
        if (sql.startsWith("DELETE")) throw new Error("No");
        return sqlite.query(sql, params, name);
      },
      onError: (error) => void errors.push(error),
    }),
    "log",
    { maxMessages: 1, expireIn: 1000 },
  );
  await appendAll(log, ["1", "2", "3"]);
  await log.end();
  assertEquals(await data(log.read("")), ["1", "2", "3"]);
  // One to sweep, and one to trim.
  assertEquals(errors.length, 2);
});

Deno.test("SqlEventLog rejects rows that are not what it has asked for", async () => {
  using sqlite = new Sqlite();
  for (
    const rows of [undefined, { rows: [] }, [[1]], [{}], ["x"], [null]]
  ) {
    const query = () => rows as unknown[];
    const log = new SqlEventLog(sqlite.connection({ query }), "log");
    await assertRejects(() => log.append({ data: "1" }), TypeError, "query to");
    await assertRejects(() => log.status(), TypeError);
    await assertRejects(() => readAll(log.read("")), TypeError);
  }
});

Deno.test("SqlEventLog reads rows that are frozen, or have numbers as bigints", async () => {
  using sqlite = new Sqlite();
  const query: SqlQuery = (sql, params) => {
    const statement = sqlite.db.prepare(sql);
    statement.setReadBigInts(true);
    return Object.freeze(statement.all(...params));
  };
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  const ids = await appendAll(log, ["1", "2"]);
  await log.end();
  const { lastId, ended } = await log.status();
  assertEquals({ lastId, ended }, { lastId: ids[1], ended: true });
  assertEquals(await data(log.read(ids[0])), ["2"]);
});

Deno.test("SqlEventLog tries again after an error whose code is a status of HTTP", async () => {
  using sqlite = new Sqlite();
  const errors = [{ code: 429 }, { code: 422 }];
  const query: SqlQuery = (sql, params, name) => {
    if (errors.length > 0) throw errors.pop();
    return sqlite.query(sql, params, name);
  };
  const log = new SqlEventLog(sqlite.connection({ query }), "log");
  assertEquals(await data(log.read("", { follow: false })), []);
});

Deno.test("no statement of SQLite reads all rows of a log or of the table, but the one that looks for a tag", () => {
  using sqlite = new Sqlite();
  const { find: _, ...statements } = dialectOf("sqlite");
  for (const [name, statement] of Object.entries(statements)) {
    const plan = sqlite.db.prepare(`EXPLAIN QUERY PLAN ${statement}`)
      .all(
        ...Array(statement.match(/\?(\d)/g)!.map(Number).length).fill(null)
          .slice(0, Math.max(...statement.match(/(?<=\?)\d/g)!.map(Number))),
      );
    for (const { detail } of plan) {
      const isScan = /SCAN (sse_messages|message)\b/.test(String(detail));
      assertEquals(isScan, false, `${name}: ${detail}`);
    }
  }
});

Deno.test("several processes append to and read from one SQLite file", async () => {
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/logs.db`;
  new Sqlite(path)[Symbol.dispose]();
  await using stack = new AsyncDisposableStack();
  const start = async (...args: string[]) =>
    stack.use(await LogProcess.start("sqlite", path, "log", ...args));
  const reader = await start("read");
  const appenders = [
    await start("append", "a", "100"),
    await start("append", "b", "100"),
  ];
  for (const appender of appenders) {
    assertEquals(await appender.remainingLines(), []);
  }
  const data: string[] = [];
  while (data.length < 200) data.push((await reader.readLine())!);
  assertInterleaved(data, ["a", "b"], 100);
});

Deno.test("SqlConnection and SqlEventLog throw if an argument is invalid", () => {
  const make = (options: unknown) => () =>
    new SqlConnection(options as SqlConnectionOptions);
  const query = () => [];
  const options = { dialect: "sqlite", query };
  assertThrows(make(undefined), TypeError, "options");
  assertThrows(make({ query }), TypeError, "dialect");
  assertThrows(make({ query, dialect: "mysql" }), TypeError, "dialect");
  assertThrows(make({ dialect: "sqlite" }), TypeError, "query");
  assertThrows(make({ ...options, listen: 1 }), TypeError, "listen");
  assertThrows(make({ ...options, onError: 1 }), TypeError, "onError");
  assertThrows(make({ ...options, pollInterval: 0 }), RangeError, "poll");
  assertThrows(
    make({ ...options, listen: () => () => {}, pollInterval: Infinity }),
    RangeError,
    "poll",
  );
  assertThrows(make({ ...options, queryTimeout: 0 }), RangeError, "query");
  const makeLog = (...args: unknown[]) => () =>
    new SqlEventLog(...args as ConstructorParameters<typeof SqlEventLog>);
  const sql = make(options)();
  assertThrows(makeLog(undefined, "log"), TypeError, "SqlConnection");
  assertThrows(makeLog(sql, 1), TypeError, "key");
  assertThrows(makeLog(sql, "a\0"), TypeError, "U+0000");
  // Two of them would be one log, and `statuses` would fail for all logs.
  assertThrows(makeLog(sql, "a\ud800"), TypeError, "surrogates");
  makeLog(sql, "a\ud83d\ude00")();
  assertThrows(makeLog(sql, "a", { maxMessages: 0 }), RangeError, "max");
  assertThrows(makeLog(sql, "a", { expireIn: 0 }), RangeError, "expireIn");
});

Deno.test("a reader of a SqlEventLog gets no message of a log that was deleted, while another reader of it is paused", async () => {
  using sqlite = new Sqlite();
  const sql = sqlite.connection({ pollInterval: 10 });
  const log = new SqlEventLog(sql, "job");
  await log.append({ data: "old 1" }, { data: "old 2" });
  const paused = new Reader(log.read(""));
  assertEquals(await paused.data(1), ["old 1"]);
  const follower = new Reader(resume(log, new Request("http://localhost/")));
  assertEquals(await follower.data(2), ["old 1", "old 2"]);

  sqlite.db.exec("DELETE FROM sse_messages");
  await log.append({ data: "new 1" });
  assertEquals(
    (await follower.take(2)).map(({ event, data }) => [event, data]),
    [["gap", ""], [undefined, "new 1"]],
  );
  await log.end();
  await follower.assertEnd();
  assertEquals(await data(log.read("")), ["new 1"]);
  await paused.return();
});

Deno.test("record() on a SqlEventLog notices that the log was ended, also if it could not read all messages", async () => {
  using sqlite = new Sqlite();
  const sql = sqlite.connection({ pollInterval: 10 });
  const log = new SqlEventLog(sql, "job", { maxMessages: 1 });
  const source = new Source();
  const outcome = record(log, source);
  await settled();
  const other = new SqlEventLog(sqlite.connection(), "job", { maxMessages: 1 });
  for (const data of numbers(1, 30)) await other.append({ data });
  await settled();
  await other.end();
  assertEquals(await deadline(outcome, "the outcome"), "stopped");
  await source.returned;
});

Deno.test("readers of a SqlEventLog wait if a client cannot parse an answer", async () => {
  using sqlite = new Sqlite();
  const answers = ["[{", "[{"];
  const sql = sqlite.connection({
    query: (...args) =>
      answers.length > 0 ? JSON.parse(answers.pop()!) : sqlite.query(...args),
  });
  const log = new SqlEventLog(sql, "log");
  const reader = new Reader(log.read(""));
  const next = reader.data(1);
  await log.append({ data: "1" }).catch(() => log.append({ data: "1" }));
  assertEquals(await next, ["1"]);
  await reader.return();
});
