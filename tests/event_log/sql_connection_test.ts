/** Tests how a `SqlConnection` listens and notifies, without PostgreSQL. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  SqlConnection,
  type SqlConnectionOptions,
  SqlEventLog,
  type SqlListen,
} from "../../src/event_log/sql.ts";
import { dialectOf } from "../../src/event_log/sql_dialect.ts";
import { record } from "../../src/event_log/mod.ts";
import { numbers, readAll, Reader } from "./contract.ts";
import { Sqlite } from "./sqlite.ts";

const sqliteDialect = dialectOf("sqlite");
/** The statements of SQLite that do what those of PostgreSQL do. */
const translations = new Map(
  Object.entries(dialectOf("postgres")).map(([name, sql]) => [
    sql,
    sqliteDialect[name as keyof typeof sqliteDialect],
  ]),
);

/** A database with channels, as several processes would use it. */
class Database extends Sqlite {
  /** The payloads of each statement that notifies. */
  readonly notifications: string[][] = [];
  /** The other statements. */
  readonly statements: string[] = [];
  readonly listeners = new Set<(payload?: string) => void>();
  readonly lose: ((error: unknown) => void)[] = [];
  stopped = 0;
  /** Settles before a statement that notifies is run. */
  delay = Promise.resolve();

  listen: SqlListen = (_channel, onNotify, onLost) => {
    this.listeners.add(onNotify);
    this.lose.push((error) => {
      this.listeners.delete(onNotify);
      onLost(error);
    });
    return () => {
      this.stopped++;
      this.listeners.delete(onNotify);
    };
  };

  process(options: Partial<SqlConnectionOptions> = {}): SqlConnection {
    return new SqlConnection({
      dialect: "postgres",
      query: async (sql, params, name) => {
        const translated = translations.get(sql);
        if (translated !== undefined) {
          this.statements.push(sql);
          return this.query(translated, params, name);
        }
        await this.delay;
        const payloads = JSON.parse(String(params[1]));
        this.notifications.push(payloads);
        for (const payload of payloads) {
          for (const listener of this.listeners) listener(payload);
        }
        return [];
      },
      listen: this.listen,
      pollInterval: 3_600_000, // Never, in a test.
      ...options,
    });
  }
}

const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn(5);
}

Deno.test("SqlConnection listens once for all logs while anybody reads, and stops it then", async () => {
  using database = new Database();
  const [sql, other] = [database.process(), database.process()];
  const readers = numbers(1, 10).map((key) =>
    new Reader(new SqlEventLog(sql, key).read(""))
  );
  const first = readers.map((reader) => reader.data(1));
  await until(() => database.listeners.size > 0);
  for (const key of numbers(1, 10)) {
    await new SqlEventLog(other, key).append({ data: key });
  }
  assertEquals((await Promise.all(first)).flat(), numbers(1, 10));
  assertEquals(database.listeners.size, 1);
  const [last, ...rest] = readers;
  for (const reader of rest) await reader.return();
  assertEquals(database.stopped, 0);
  await last.return();
  await turn();
  assertEquals([database.stopped, database.listeners.size], [1, 0]);

  // And begins again.
  const again = new Reader(new SqlEventLog(sql, "11").read(""));
  const next = again.data(1);
  await until(() => database.listeners.size > 0);
  await new SqlEventLog(other, "11").append({ data: "11" });
  assertEquals(await next, ["11"]);
  await again.return();
});

Deno.test("SqlConnection does not listen for a log that has ended", async () => {
  using database = new Database();
  const log = new SqlEventLog(database.process(), "log");
  await log.append({ data: "1" });
  await log.end();
  const reader = new Reader(log.read(""));
  assertEquals(await reader.data(1), ["1"]);
  await reader.assertEnd();
  assertEquals(database.lose, []);
});

Deno.test("SqlConnection wakes its own readers before it notifies, and ignores its own notification", async () => {
  using database = new Database();
  const log = new SqlEventLog(database.process(), "log");
  const reader = new Reader(log.read(""));
  const first = reader.data(1);
  await until(() => database.listeners.size > 0);
  await turn();
  const before = database.statements.length;
  const { promise, resolve } = Promise.withResolvers<void>();
  database.delay = promise;
  let isStored = false;
  const append = log.append({ data: "1" }).then(() => isStored = true);
  assertEquals(await first, ["1"]);
  const second = reader.data(1);
  await turn();
  assertEquals(isStored, false);
  resolve();
  await append;
  await turn();
  // The append, the look for it, and the look for what follows.
  assertEquals(database.statements.length, before + 3);
  await log.append({ data: "2" });
  assertEquals(await second, ["2"]);
  await reader.return();
});

Deno.test("SqlConnection notifies of all appends during a notification with the next one", async () => {
  using database = new Database();
  const sql = database.process();
  const { promise, resolve } = Promise.withResolvers<void>();
  database.delay = promise;
  const first = new SqlEventLog(sql, "first").append({ data: "1" });
  await until(() => database.statements.length > 0);
  await turn();
  const others = numbers(1, 20).map((n) =>
    new SqlEventLog(sql, `${Number(n) % 5}`).append({ data: n })
  );
  await turn();
  resolve();
  await Promise.all([first, ...others]);
  const keys = database.notifications.map((it) =>
    it.map((payload) => payload.split(" ")[1]).sort()
  );
  assertEquals(keys, [["first"], ["0", "1", "2", "3", "4"]]);
});

Deno.test("SqlConnection wakes all logs with a notification without a key, or with a key that is too long", async () => {
  using database = new Database();
  const [sql, other] = [database.process(), database.process()];
  const long = "☃".repeat(5000);
  const reader = new Reader(new SqlEventLog(sql, long).read(""));
  const messages = reader.data(2);
  await until(() => database.listeners.size > 0);
  await turn();
  await new SqlEventLog(other, long).append({ data: "1" });
  assert(database.notifications.flat().every(({ length }) => length < 100));
  const silent = new SqlEventLog(database.process({ notify: false }), long);
  await silent.append({ data: "2" });
  assertEquals(database.notifications.length, 1);
  for (const listener of database.listeners) listener();
  assertEquals(await messages, ["1", "2"]);
  await reader.return();
});

Deno.test("SqlConnection listens again after its listener is lost or has failed, and polls until then", async () => {
  using database = new Database();
  const errors: unknown[] = [];
  let failures = 1;
  const sql = database.process({
    pollInterval: 20,
    onError: (error) => void errors.push(error),
    listen(...args) {
      if (failures-- > 0) throw new Error("no connection left");
      return database.listen(...args);
    },
  });
  const reader = new Reader(new SqlEventLog(sql, "log").read(""));
  const messages = reader.data(3);
  await until(() => database.listeners.size === 1);
  assertEquals(errors.map(String), ["Error: no connection left"]);
  const other = new SqlEventLog(database.process(), "log");
  await other.append({ data: "1" });
  failures = 2;
  database.lose[0](new Error("lost"));
  await other.append({ data: "2" });
  await until(() => database.listeners.size === 1);
  await other.append({ data: "3" });
  assertEquals(await messages, ["1", "2", "3"]);
  assertEquals(errors.map(String), [
    "Error: no connection left",
    "Error: lost",
    "Error: no connection left",
    "Error: no connection left",
  ]);
  // One that was lost is heard no more.
  database.lose[0](new Error("again"));
  assertEquals(errors.length, 4);
  await reader.return();
});

Deno.test("SqlConnection listens again if listen does not settle, and stops it if it settles later", async () => {
  using database = new Database();
  const errors: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  const sql = database.process({
    pollInterval: 20,
    queryTimeout: 200,
    async listen(...args) {
      if (++calls === 1) await promise;
      return await database.listen(...args);
    },
    onError: (error) => void errors.push(error),
  });
  const reader = new Reader(new SqlEventLog(sql, "log").read(""));
  const messages = reader.data(1);
  await until(() => database.listeners.size === 1);
  assertEquals(calls, 2);
  assertEquals(errors.map(String), [
    "Error: Expected the database to answer LISTEN in 200 ms (queryTimeout)",
  ]);
  resolve();
  await until(() => database.stopped === 1);
  assertEquals(database.listeners.size, 1);
  await new SqlEventLog(database.process(), "log").append({ data: "1" });
  assertEquals(await messages, ["1"]);
  await reader.return();
});

Deno.test("SqlConnection stops a listener that begins after the last reader has left", async () => {
  using database = new Database();
  const { promise, resolve } = Promise.withResolvers<void>();
  let isStopping = false;
  const errors: unknown[] = [];
  const sql = database.process({
    async listen(...args) {
      isStopping = true;
      await promise;
      const stop = await database.listen(...args);
      return () => {
        stop();
        throw new Error("closed");
      };
    },
    onError: (error) => void errors.push(error),
  });
  const reader = new Reader(new SqlEventLog(sql, "log").read(""));
  const end = reader.assertEnd();
  await until(() => isStopping);
  await reader.return();
  await end;
  resolve();
  await until(() => database.stopped > 0);
  assertEquals(database.listeners.size, 0);
});

Deno.test("SqlConnection reports a listen that returns no function, and a notification that fails", async () => {
  using database = new Database();
  const wrong = database.process({
    listen: (() => Promise.resolve()) as unknown as SqlListen,
  });
  const reader = new Reader(new SqlEventLog(wrong, "log").read(""));
  await assertRejects(() => reader.next(), TypeError, "listen to return");

  const errors: unknown[] = [];
  const sql = database.process({
    onError: (error) => void errors.push(error),
  });
  database.delay = Promise.reject(new Error("no permission"));
  database.delay.catch(() => {});
  await new SqlEventLog(sql, "log").append({ data: "1" });
  assertEquals(errors.map(String), ["Error: no permission"]);
  const strict = database.process({
    onError() {
      throw new RangeError("enough");
    },
  });
  const log = new SqlEventLog(strict, "log");
  await assertRejects(() => log.append({ data: "2" }), RangeError);
});

Deno.test("record() stores nothing twice if an append is lost while it waits for the row of its log", async () => {
  using database = new Database();
  // As the lock of a row, which only statements that write wait for.
  let lock: Promise<readonly unknown[]> = Promise.resolve([]);
  let lose = true;
  const sql = database.process({
    listen: undefined,
    notify: false,
    query: async (text, params, name) => {
      const run = async () =>
        await database.query(translations.get(text)!, params, name);
      if (!["sse_append", "sse_end", "sse_touch"].includes(name)) {
        return await run();
      }
      const isLost = lose;
      lose = false;
      const rows = lock = lock.then(() => turn(isLost ? 200 : 0)).then(run);
      if (isLost) throw new Error("connection lost");
      return await rows;
    },
  });
  const log = new SqlEventLog(sql, "log");
  assertEquals(await record(log, [{ data: "1" }, { data: "2" }]), "complete");
  assertEquals(
    (await readAll(log.read(""))).map(({ data }) => data),
    ["1", "2"],
  );
});

Deno.test("SqlConnection gives up a statement after queryTimeout, and later appends are not blocked", async () => {
  using time = new FakeTime();
  const database = new Database();
  let isLost = true;
  const errors: Error[] = [];
  const sql = database.process({
    query: (sql, params, name) =>
      isLost
        ? new Promise(() => {})
        : database.query(translations.get(sql)!, params, name),
    notify: false,
    queryTimeout: 3000,
    onError: (error) => errors.push(error as Error),
  });
  const log = new SqlEventLog(sql, "log");
  const lost = assertRejects(
    () => log.append({ data: "lost" }),
    Error,
    "Expected the database to answer sse_append in 3000 ms (queryTimeout)",
  );
  const reader = log.read("")[Symbol.asyncIterator]();
  const read = reader.next();
  await time.tickAsync(3000);
  await lost;
  isLost = false;
  await log.append({ data: "1" });
  // The reader tries again.
  for (let i = 0; i < 4; i++) await time.tickAsync(3000);
  assertEquals((await read).value.data, "1");
  assertEquals(errors.length, 1);
  await reader.return!();
});
