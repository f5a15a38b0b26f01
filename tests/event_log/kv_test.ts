import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { KvEventLog, type KvStore } from "../../src/event_log/kv.ts";
import { EventLogGapError, record } from "../../src/event_log/mod.ts";
import {
  appendAll,
  numbers,
  readAll,
  Reader,
  testContract,
} from "./contract.ts";
import { assertInterleaved, LogProcess } from "./processes.ts";
import { whyNoKv } from "../support/not_run.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

const notRun = whyNoKv("Tests of KvEventLog");

testContract({
  name: "KvEventLog",
  notRun,
  steps: 1500,
  async open() {
    const kv = await Deno.openKv(":memory:");
    return {
      shared: true,
      slack: 11,
      log: (name = "log", maxMessages) =>
        new KvEventLog(kv, ["logs", name], { maxMessages, pollInterval: 20 }),
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        kv.close();
      },
    };
  },
});

Deno.test({
  name:
    "KvEventLog lets several processes append and read one file concurrently",
  ignore: notRun !== undefined,
  async fn() {
    await using directory = await temporaryDirectory();
    const path = `${directory.path}/kv`;
    await using stack = new AsyncDisposableStack();
    const start = async (...args: string[]) =>
      stack.use(await LogProcess.start("kv", path, "log", ...args));
    const readers = [await start("read"), await start("read")];
    const appenders = [
      await start("append", "a", "100"),
      await start("append", "b", "100"),
    ];
    for (const appender of appenders) {
      assertEquals(await appender.remainingLines(), []);
    }
    for (const reader of readers) {
      const data: string[] = [];
      while (data.length < 200) data.push((await reader.readLine())!);
      assertInterleaved(data, ["a", "b"], 100);
    }
  },
});

Deno.test({
  name: "KvEventLog reports a gap if the log was deleted and recreated",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"], { pollInterval: 10 });
    const [first] = await appendAll(log, ["1", "2"]);
    const reader = new Reader(log.read(""));
    await reader.take(2);
    const waiting = assertRejects(() => reader.next(), EventLogGapError);
    for await (const { key } of kv.list({ prefix: ["log"] })) {
      await kv.delete(key);
    }
    const ids = await appendAll(log, ["new 1", "new 2"]);
    await waiting;
    assertEquals(ids.includes(first), false);
    const again = new Reader(log.read(first));
    await assertRejects(() => again.next(), EventLogGapError);
    assertEquals(await new Reader(log.read("")).data(2), ["new 1", "new 2"]);
  },
});

Deno.test({
  name:
    "KvEventLog.append() rejects a message that is too large, and stays usable",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"]);
    const large = "x".repeat(720 * 1024 - 20);
    await assertRejects(
      () => log.append({ data: large + "x".repeat(20) }),
      RangeError,
      "Expected messages of at most 737280 bytes",
    );
    const id = await log.append({ data: large });
    await log.end();
    assertEquals(await readAll(log.read("")), [{ data: large, id }]);
  },
});

Deno.test({
  name:
    "KvEventLog deletes all parts of old large messages, and tolerates a partial deletion",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"], { maxMessages: 100 });
    const large = "x".repeat(700_000);
    const count = async () => {
      let values = 0;
      for await (const _ of kv.list({ prefix: ["log", "messages"] })) values++;
      return values;
    };
    for (let i = 0; i < 60; i++) await log.append({ data: large });
    assertEquals(await count(), 60 * 12);
    await appendAll(log, Array(150).fill("x"));
    // One more than maxMessages, which proves that the others are all.
    assertEquals(await count(), 101);

    // Simulates a process that ended during the deletion.
    const { lastId } = await log.status();
    await log.append({ data: large });
    await appendAll(log, ["y"]);
    for await (const { key } of kv.list({ prefix: ["log", "messages"] })) {
      // Delete all small messages and the first part of the large one.
      await kv.delete(key);
      if (key.at(-1) !== 1) break;
    }
    const gap = await assertRejects(
      () => new Reader(log.read(lastId)).next(),
      EventLogGapError,
    );
    const reader = new Reader(log.read(gap.resumeAfter));
    assertEquals(await reader.data(1), ["y"]);
    await reader.return();
  },
});

Deno.test({
  name: "KvEventLog rejects a pending read if the store is closed",
  ignore: notRun !== undefined,
  async fn() {
    const kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"], { pollInterval: 10 });
    const reader = new Reader(log.read(""));
    const waiting = assertRejects(() => reader.next(), Error);
    await log.status();
    kv.close();
    await waiting;
  },
});

/** Returns a store that overrides some methods of a `Deno.Kv`. */
function withMethods(kv: Deno.Kv, methods: Partial<KvStore>): KvStore {
  return {
    get: (key) => kv.get(key),
    list: (selector, options) => kv.list(selector, options),
    atomic: () => kv.atomic() as ReturnType<KvStore["atomic"]>,
    watch: (keys) => kv.watch([keys[0]]),
    ...methods,
  };
}

Deno.test({
  name: "KvEventLog passes every rejection of the store to onError",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const failures: unknown[] = ["quota", undefined, null, { message: 1 }];
    const reported: unknown[] = [];
    const store = withMethods(kv, {
      get: (key) =>
        failures.length > 0 ? Promise.reject(failures.shift()) : kv.get(key),
    });
    const log = new KvEventLog(store, ["log"], {
      onError: (error) => reported.push(error),
    });
    const reader = new Reader(log.read(""));
    const data = reader.data(1);
    await new KvEventLog(kv, ["log"]).append({ data: "1" });
    assertEquals(await data, ["1"]);
    assertEquals(reported, ["quota", undefined, null, { message: 1 }]);
    await reader.return();
  },
});

Deno.test({
  name:
    "KvEventLog does not start watching if its last reader returns during a check",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    let watches = 0;
    let checks = 0;
    let finishCheck = () => {};
    const store = withMethods(kv, {
      async get(key) {
        if (++checks === 1) await new Promise<void>((run) => finishCheck = run);
        return await kv.get(key);
      },
      watch(keys) {
        watches++;
        return kv.watch([keys[0]]);
      },
    });
    const id = await new KvEventLog(kv, ["log"]).append({ data: "1" });
    const reader = new Reader(new KvEventLog(store, ["log"]).read(id));
    const end = reader.assertEnd();
    while (checks < 1) await new Promise((resolve) => setTimeout(resolve));
    await reader.return();
    await end;
    finishCheck();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(watches, 0);
  },
});

Deno.test({
  name: "KvEventLog detects messages of another object with watch()",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"], { pollInterval: Infinity });
    const reader = new Reader(log.read(""));
    for (const data of ["1", "2", "3"]) {
      const next = reader.data(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      await new KvEventLog(kv, ["log"]).append({ data });
      assertEquals(await next, [data]);
    }
    await reader.return();
  },
});

Deno.test({
  name:
    "KvEventLog.append() retries if the file is locked, and rejects with other errors",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const failures = ["database is locked", "database is locked", "disk full"];
    const store = withMethods(kv, {
      atomic() {
        if (failures.length > 0) throw new Error(failures.shift());
        return kv.atomic() as ReturnType<KvStore["atomic"]>;
      },
    });
    const log = new KvEventLog(store, ["log"]);
    await assertRejects(() => log.append({ data: "1" }), Error, "disk full");
    failures.push("database is locked");
    await log.append({ data: "2" });
    await log.end();
    const all = await readAll(log.read(""));
    assertEquals(all.map(({ data }) => data), ["2"]);
  },
});

Deno.test({
  name: "KvEventLog stores a message even if it fails to delete old ones",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const store = withMethods(kv, {
      list() {
        throw new Error("No list");
      },
    });
    const reported: string[] = [];
    const log = new KvEventLog(store, ["log"], {
      maxMessages: 1,
      onError(error) {
        reported.push((error as Error).message);
        if (reported.length === 2) throw new Error("Nowhere to log");
      },
    });
    await appendAll(log, ["1", "2", "3"]);
    await assertRejects(() => log.append({ data: "4" }), Error, "Nowhere");
    await appendAll(log, ["5"]);
    await log.end();
    assertEquals(reported, Array(3).fill("No list"));
    const all = await readAll(new KvEventLog(kv, ["log"]).read(""));
    assertEquals(all.map(({ data }) => data), numbers(1, 5));
  },
});

Deno.test({
  name:
    "KvEventLog sets expireIn on every key, even beyond the range of timers",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const expiries: unknown[] = [];
    const store = withMethods(kv, {
      atomic() {
        const changes = kv.atomic() as ReturnType<KvStore["atomic"]>;
        const set = changes.set.bind(changes);
        changes.set = (key, value, options) => {
          expiries.push(options?.expireIn);
          return set(key, value, options);
        };
        return changes;
      },
    });
    const month = 30 * 24 * 60 * 60 * 1000;
    for (
      const [expireIn, expected] of [
        [month, month],
        [month - 0.5, month],
        // Deno KV refuses longer times.
        [2 ** 52, 2 ** 52],
        [2 ** 53, undefined],
        [1e21, undefined],
        [Number.MAX_VALUE, undefined],
        [Infinity, undefined],
        [undefined, undefined],
      ]
    ) {
      const log = new KvEventLog(store, ["log", `${expireIn}`], { expireIn });
      await log.append({ data: "1" });
      // One for the message, one for the head.
      assertEquals(expiries.splice(0), [expected, expected]);
      assertEquals(await new Reader(log.read("")).data(1), ["1"]);
    }
  },
});

Deno.test("KvEventLog throws if an argument is invalid", async () => {
  const make = (...args: unknown[]) => () =>
    new KvEventLog(...args as ConstructorParameters<typeof KvEventLog>);
  assertThrows(make(undefined, ["log"]), TypeError, "kv");
  if (notRun !== undefined) return;
  using kv = await Deno.openKv(":memory:");
  assertThrows(make(kv, "log"), TypeError, "key");
  assertThrows(make(kv, [], { maxMessages: 0 }), RangeError, "maxMessages");
  assertThrows(make(kv, [], { pollInterval: 9 }), RangeError, "pollInterval");
  for (const expireIn of [-1, 0, 0.5, NaN, "1"]) {
    assertThrows(make(kv, [], { expireIn }), RangeError, "expireIn");
  }
  assertThrows(make(kv, [], { onError: 1 }), TypeError, "onError");
});

Deno.test({
  name:
    "KvEventLog has no gap after its newest message, also if that has expired",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"]);
    const ids = await appendAll(log, ["1", "2"]);
    for await (const { key } of kv.list({ prefix: ["log", "messages"] })) {
      await kv.delete(key);
    }
    await log.end();
    for (const after of ["", ids[1], undefined]) {
      assertEquals(await readAll(log.read(after)), []);
    }
  },
});

Deno.test({
  name:
    "record() on a KvEventLog stores more at once than an atomic change has",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const log = new KvEventLog(kv, ["log"]);
    const source = numbers(1, 150).map((n) => ({
      data: n.padEnd(20_000, "x"),
    }));
    assertEquals(await record(log, source), "complete");
    const all = await readAll(log.read(""));
    assertEquals(all.map(({ data }) => data), source.map(({ data }) => data));
  },
});

Deno.test({
  name:
    "record() on a KvEventLog stores a message once if its append seems to fail, and another process appends many",
  ignore: notRun !== undefined,
  async fn() {
    using kv = await Deno.openKv(":memory:");
    const others = numbers(1, 150).map((data) => ({ data }));
    const other = new KvEventLog(kv, ["log"]);
    let commits = 0;
    const failing: KvStore = {
      get: (key) => kv.get(key),
      list: (selector, options) => kv.list(selector, options),
      watch: (keys) => kv.watch(keys) as ReturnType<KvStore["watch"]>,
      atomic() {
        const operation = kv.atomic();
        return {
          check: (version) => operation.check(version),
          set: (key, value, options) => operation.set(key, value, options),
          delete: (key) => operation.delete(key),
          async commit() {
            const result = await operation.commit();
            if (++commits > 1) return result;
            for (const message of others) await other.append(message);
            throw new Error("The connection was lost");
          },
        };
      },
    };
    const log = new KvEventLog(failing, ["log"]);
    assertEquals(await record(log, [{ data: "once" }]), "complete");
    const all = await readAll(log.read(""));
    const data = all.map(({ data }) => data);
    assertEquals(data, ["once", ...numbers(1, 150)]);
  },
});
