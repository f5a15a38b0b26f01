/** Tests `SqlEventLog` on PostgreSQL. */
import { assert, assertEquals } from "@std/assert";
import { SqlConnection, SqlEventLog } from "../../src/event_log/sql.ts";
import { EventLogGapError, record } from "../../src/event_log/mod.ts";
import {
  appendAll,
  numbers,
  readAll,
  Reader,
  testContract,
} from "./contract.ts";
import { PostgresServer, whyNoPostgres } from "./postgres_server.ts";
import { assertInterleaved, LogProcess } from "./processes.ts";
import { clients, migrate } from "./sql_clients.ts";
import { scaled } from "../support/scale.ts";
import { slowTestsNotRun } from "../support/slow_test.ts";

const notRun = slowTestsNotRun ?? whyNoPostgres();

/** One server for most tests. Each uses its own keys. */
let shared: PostgresServer | undefined;
if (notRun === undefined) {
  const server = shared = await PostgresServer.start();
  globalThis.addEventListener("unload", () => server.disposeNow());
  await using client = clients.postgres(server.url);
  await migrate(client);
}

let storages = 0;
for (
  const [name, how] of [
    ["pg", "LISTEN"],
    ["postgres", "LISTEN"],
    ["postgres", "polls"],
  ] as const
) {
  testContract({
    name: `SqlEventLog on PostgreSQL with ${name} and ${how}`,
    notRun,
    steps: 500,
    // The clients leave timers and sockets behind.
    leaks: true,
    open() {
      const client = clients[name](shared!.url);
      const isListening = how === "LISTEN";
      // Two connections, as of two processes, which take turns.
      const connections = [1, 2].map(() =>
        new SqlConnection({
          ...client,
          listen: isListening ? client.listen : undefined,
          notify: isListening,
          pollInterval: isListening ? 60_000 : 20,
        })
      );
      const storage = ++storages;
      let logs = 0;
      return {
        shared: true,
        slack: 11,
        log: (key = "log", maxMessages) =>
          new SqlEventLog(connections[logs++ % 2], `${storage}:${key}`, {
            maxMessages,
          }),
        [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
      };
    },
  });
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `SqlEventLog on PostgreSQL ${name}`,
    ignore: notRun !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn,
  });
}

test("lets four processes append while two read", async () => {
  await using stack = new AsyncDisposableStack();
  const names = ["a", "b", "c", "d"];
  const count = scaled(200);
  const start = async (client: string, ...args: string[]) =>
    stack.use(
      await LogProcess.start(client, shared!.url, "processes", ...args),
    );
  const readers = [await start("pg", "read"), await start("postgres", "read")];
  const appenders = await Promise.all(
    names.map((name, i) =>
      start(i % 2 ? "pg" : "postgres", "append", name, String(count))
    ),
  );
  for (const appender of appenders) {
    assertEquals(await appender.remainingLines(), []);
  }
  for (const reader of readers) {
    const data: string[] = [];
    while (data.length < 4 * count) data.push((await reader.readLine())!);
    assertInterleaved(data, names, count);
  }
});

test("loses nothing that was acknowledged if the server restarts at once", async () => {
  await using server = await PostgresServer.start();
  await using client = clients.pg(server.url);
  await migrate(client);
  const open = (name: keyof typeof clients) => {
    const client = clients[name](server.url);
    const sql = new SqlConnection({ ...client, pollInterval: 100 });
    return { client, log: new SqlEventLog(sql, "log") };
  };
  await using stack = new AsyncDisposableStack();
  const writers = (["pg", "postgres", "pg", "postgres"] as const).map(open);
  const reading = open("pg");
  for (const { client } of [...writers, reading]) stack.use(client);

  const reader = new Reader(reading.log.read(""));
  const acknowledged = new Map<string, string>();
  let isOver = false;
  let failed = 0;
  const writing = writers.map(async ({ log }, writer) => {
    for (let n = 0; !isOver; n++) {
      const data = `${writer}-${n}`;
      try {
        acknowledged.set(data, await log.append({ data }));
      } catch {
        failed++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
  for (let restart = 1; restart <= 3; restart++) {
    const before = acknowledged.size;
    while (acknowledged.size < before + 200) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await server.stopNow();
    await server.start();
  }
  const before = acknowledged.size;
  while (acknowledged.size < before + 200) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  isOver = true;
  await Promise.all(writing);
  await writers[0].log.end();

  // One that has followed, and one that reads all anew.
  const followed: string[] = [];
  while (true) {
    const { done, value } = await reader.next();
    if (done) break;
    followed.push(value.data!);
  }
  const all = await readAll(writers[1].log.read(""));
  assertEquals(followed, all.map(({ data }) => data));
  assertEquals(new Set(followed).size, followed.length);
  const ids = new Map(all.map(({ data, id }) => [data, id]));
  const lost = [...acknowledged].filter(([data, id]) => ids.get(data) !== id);
  assertEquals(lost, []);
  // A restart that interrupts nothing would prove nothing.
  assert(failed > 0);
  for (const writer of numbers(0, 3)) {
    const own = followed.filter((it) => it.startsWith(`${writer}-`))
      .map((it) => Number(it.split("-")[1]));
    assertEquals(own, own.toSorted((a, b) => a - b));
  }
});

for (const name of ["pg", "postgres"] as const) {
  test(`delivers what is appended after its LISTEN connection was killed, with ${name}`, async () => {
    await using client = clients[name](shared!.url);
    const errors: unknown[] = [];
    const sql = new SqlConnection({
      ...client,
      pollInterval: 200,
      // `postgres` never answers a LISTEN during which it is killed.
      queryTimeout: 2000,
      onError: (error) => errors.push(error),
    });
    const log = new SqlEventLog(sql, `killed ${name}`);
    const reader = new Reader(log.read(""));
    const messages = reader.data(2);
    const kill = async () => {
      const rows = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query ILIKE 'LISTEN %' AND pid <> pg_backend_pid()`,
        [],
      );
      return rows.length;
    };
    while (await kill() === 0);
    const other = new SqlEventLog(new SqlConnection(client), `killed ${name}`);
    await appendAll(other, ["1", "2"]);
    assertEquals(await messages, ["1", "2"]);
    const third = reader.data(1);
    // It listens again.
    while (await kill() === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await appendAll(other, ["3"]);
    assertEquals(await third, ["3"]);
    if (name === "pg") assert(errors.length > 0);
    await reader.return();
  });
}

for (const level of ["repeatable read", "serializable"]) {
  test(`keeps its order under ${level}`, async () => {
    const setting = `default_transaction_isolation=${level}`;
    const options = `-c ${setting.replaceAll(" ", "\\ ")}`;
    await using stack = new AsyncDisposableStack();
    const logs = (["pg", "postgres", "pg", "postgres"] as const).map((name) => {
      const client = stack.use(clients[name](shared!.url, options));
      return new SqlEventLog(new SqlConnection(client), level);
    });
    const client = stack.use(clients.pg(shared!.url, options));
    const [row] = await client.query("SHOW transaction_isolation", []);
    assertEquals(row, { transaction_isolation: level });
    const [log] = logs;
    const reader = new Reader(log.read(""));
    const all = reader.data(200);
    const appended = await Promise.all(
      logs.map((log, i) => appendAll(log, numbers(50 * i, 50 * i + 49))),
    );
    assertEquals(
      (await all).toSorted((a, b) => Number(a) - Number(b)),
      numbers(0, 199),
    );
    await log.end();
    const ids = (await readAll(log.read(""))).map(({ id }) => id);
    assertEquals(ids.map((id) => id!.split("-")[0]), numbers(1, 200));
    assertEquals(new Set(ids), new Set(appended.flat()));
    await reader.assertEnd();
  });
}

test("stores nothing twice if an append of record() is lost while it waits", async () => {
  await using client = clients.pg(shared!.url);
  let lost: Promise<unknown> | undefined;
  const sql = new SqlConnection({
    ...client,
    query(text, params, name) {
      const rows = client.query(text, params, name);
      if (name !== "sse_append" || lost !== undefined) return rows;
      // As if the connection were lost. The server continues with the statement.
      lost = rows;
      return Promise.reject(new Error("connection lost"));
    },
  });
  const other = new SqlEventLog(new SqlConnection(client), "lost");
  await other.append({ data: "0" });
  const lock = client.query(
    `WITH locked AS MATERIALIZED (
      SELECT log FROM sse_logs WHERE log = 'lost' FOR UPDATE
    ) SELECT pg_sleep(1) FROM locked`,
    [],
  );
  const locks =
    "SELECT 1 FROM sse_logs WHERE log = 'lost' FOR UPDATE SKIP LOCKED";
  while ((await client.query(locks, [])).length > 0);
  await record(new SqlEventLog(sql, "lost"), [{ data: "1" }]);
  await Promise.all([lock, lost]);
  const all = await readAll(other.read(""));
  assertEquals(all.map(({ data }) => data), ["0", "1"]);
});

test("stores nothing twice if a lost append of record() is executed later than the next attempt", async () => {
  await using client = clients.pg(shared!.url);
  const isRetried = Promise.withResolvers<void>();
  const late: Promise<unknown>[] = [];
  const sql = new SqlConnection({
    ...client,
    async query(text, params, name) {
      const run = () => client.query(text, params, name);
      if (name !== "sse_append") return await run();
      if (late.length === 0) {
        late.push(isRetried.promise.then(run));
        throw new Error("connection lost");
      }
      const rows = await run();
      isRetried.resolve();
      return rows;
    },
  });
  const log = new SqlEventLog(sql, "late");
  async function* source() {
    yield { data: "1" };
    await isRetried.promise;
    await Promise.all(late);
    yield { data: "2" };
  }
  assertEquals(await record(log, source()), "complete");
  const all = await readAll(log.read(""));
  assertEquals(all.map(({ data }) => data), ["1", "2"]);
});

test("stores nothing twice if a lost append of record() is executed just before the next attempt", async () => {
  await using client = clients.pg(shared!.url);
  let isLost = true;
  const sql = new SqlConnection({
    ...client,
    async query(text, params, name) {
      const run = () => client.query(text, params, name);
      if (name === "sse_append" && isLost) {
        isLost = false;
        throw new Error("connection lost");
      }
      // The first attempt is executed after `find` has not found its messages.
      if (name === "sse_append") await run();
      return await run();
    },
  });
  const log = new SqlEventLog(sql, "just before");
  assertEquals(await record(log, [{ data: "1" }, { data: "2" }]), "complete");
  const all = await readAll(log.read(""));
  assertEquals(all.map(({ data }) => data), ["1", "2"]);
});

test("deletes logs that have expired, and no other", async () => {
  await using client = clients.postgres(shared!.url);
  const open = (key: string, expireIn?: number) =>
    new SqlEventLog(new SqlConnection(client), key, { expireIn });
  const hour = 3_600_000;
  const [old, recent, ever] = [
    open("expiry old", hour),
    open("expiry recent", hour),
    open("expiry ever"),
  ];
  for (const log of [old, recent, ever]) await appendAll(log, ["1", "2"]);
  const [id] = await appendAll(old, ["3"]);
  await old.end();
  await client.query(
    "UPDATE sse_logs SET expires = now() - interval '1 s' WHERE log = $1",
    ["expiry old"],
  );
  await open("expiry new", hour).append({ data: "1" });
  for (const table of ["sse_logs", "sse_messages"]) {
    const rows = await client.query(
      `SELECT DISTINCT log FROM ${table} WHERE log LIKE 'expiry%' ORDER BY log`,
      [],
    ) as { log: string }[];
    const left = ["expiry ever", "expiry new", "expiry recent"];
    assertEquals(rows.map(({ log }) => log), left, table);
  }
  await appendAll(old, ["new"]);
  const again = readAll(old.read(id, { follow: false }));
  assert(await again.catch((error) => error) instanceof EventLogGapError);
});

test("stores nothing when it is read", async () => {
  await using client = clients.postgres(shared!.url);
  const sql = new SqlConnection(client);
  await Promise.all(
    numbers(1, 1000).map(async (n) => {
      const log = new SqlEventLog(sql, `probe ${n}`);
      await log.status();
      await readAll(log.read("", { follow: false }));
    }),
  );
  const rows = await client.query(
    `SELECT log FROM sse_logs WHERE log LIKE 'probe%'
UNION ALL SELECT log FROM sse_messages WHERE log LIKE 'probe%'`,
    [],
  );
  assertEquals(rows.length, 0);
});
