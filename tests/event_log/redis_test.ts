import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  EventLogEndedError,
  EventLogGapError,
  record,
  resume,
} from "../../src/event_log/mod.ts";
import {
  RedisConnection,
  type RedisConnectionOptions,
  RedisEventLog,
  type RedisEventLogOptions,
  type SendRedisCommand,
} from "../../src/event_log/redis.ts";
import { deadline } from "../support/deadline.ts";
import {
  appendAll,
  numbers,
  readAll,
  Reader,
  testContract,
} from "./contract.ts";
import { assertInterleaved, LogProcess } from "./processes.ts";
import { RawRedis } from "./raw_redis.ts";
import { redisKind, sharedRedisServer } from "./redis_kind.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";

const notRun = whyNoRedis();

// `redis_clients_slow_test.ts` tests RESP3 and the npm clients.
const contractServer = notRun ?? await sharedRedisServer();
testContract(redisKind("a raw socket", 1500, contractServer));

function testRedis(
  behavior: string,
  run: (server: RedisServer, stack: AsyncDisposableStack) => Promise<void>,
): void {
  Deno.test({
    name: `RedisEventLog ${behavior}`,
    ignore: notRun !== undefined,
    async fn() {
      await using stack = new AsyncDisposableStack();
      const server = stack.use(await RedisServer.start());
      await run(server, stack);
    },
  });
}

type Options = RedisConnectionOptions & RedisEventLogOptions & { key?: string };

/** Makes a log with a connection of its own. */
function makeLog({ key = "log", ...options }: Options): RedisEventLog {
  return new RedisEventLog(new RedisConnection(options), key, options);
}

/** Opens a log with its own connections. */
async function open(
  { port }: RedisServer,
  stack: AsyncDisposableStack,
  options: Partial<Options> = {},
) {
  const commands = stack.use(await RawRedis.connect(port));
  const blocking = stack.use(await RawRedis.connect(port));
  const { send } = commands;
  const sendBlocking = blocking.send;
  const log = makeLog({ send, sendBlocking, ...options });
  return { log, commands, blocking };
}

testRedis(
  "continues if Redis is killed and restarted",
  async (server, stack) => {
    const errors: unknown[] = [];
    const { log } = await open(server, stack, {
      onError: (error) => errors.push(error),
    });
    const readers = Array.from({ length: 10 }, () => new Reader(log.read("")));
    const ids: string[] = [];
    for (let round = 0; round < 3; round++) {
      ids.push(...await appendAll(log, ["a", "b", "c"]));
      // The first five readers have read everything, the others nothing.
      for (const reader of readers.slice(0, 5)) await reader.data(3);
      const waiting = readers[0].take(1);
      await server.kill();
      const late = new Reader(log.read(ids.at(-1)));
      const first = late.take(1);
      await assertRejects(() => log.append({ data: "lost" }));
      await server.start();
      ids.push(await log.append({ data: "after" }));
      assertEquals((await waiting)[0].id, ids.at(-1));
      assertEquals((await first)[0].id, ids.at(-1));
      await late.return();
      for (const reader of readers.slice(1, 5)) await reader.take(1);
    }
    await log.end();
    for (const reader of readers.slice(0, 5)) await reader.assertEnd();
    for (const reader of readers.slice(5)) {
      assertEquals((await reader.take(12)).map(({ id }) => id), ids);
      await reader.assertEnd();
    }
    assert(errors.length > 0);
  },
);

testRedis(
  "continues if either connection or both are lost",
  async (server, stack) => {
    const { log, commands, blocking } = await open(server, stack);
    const writer = await open(server, stack);
    const reader = new Reader(log.read(""));
    for (let n = 0; n < 20; n++) {
      const message = reader.data(1);
      if (n % 3 !== 1) await blocking.drop();
      if (n % 3 !== 0) await commands.drop();
      await writer.log.append({ data: `${n}` });
      assertEquals(await message, [`${n}`]);
    }
    assert(blocking.connections > 5);
    await reader.return();
  },
);

testRedis(
  "stores several messages with one command, or none of them",
  async (server, stack) => {
    const names: string[] = [];
    const { log, commands } = await open(server, stack);
    const counting = makeLog({
      send(command) {
        names.push(command[0]);
        return commands.send(command);
      },
      maxMessages: 1000,
      expireIn: 60_000,
    });
    const messages = numbers(1, 3).map((data) => ({ data }));
    const id = await counting.append({ data: "0" }, ...messages);
    assertEquals(names, ["EVAL", "PEXPIRE"]);
    assertEquals((await log.status()).lastId, id);
    await log.end();
    await assertRejects(
      () => counting.append({ data: "4" }, { data: "5" }),
      EventLogEndedError,
    );
    const stored = await readAll(log.read(""));
    assertEquals(stored.map(({ data }) => data), ["0", ...numbers(1, 3)]);
  },
);

testRedis(
  "reports a gap if the stream is deleted or Redis is flushed, even if Redis reuses IDs",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    for (const command of [["DEL", "log"], ["FLUSHALL"]]) {
      // Redis would reuse an ID in the same millisecond.
      const add = (tag: string) =>
        commands.send(["XADD", "log", "1-1", "m", '{"data":"x"}', "t", tag]);
      await add("old");
      const reader = new Reader(log.read(""));
      assertEquals((await reader.take(1))[0].id, "1-1-old");
      const waiting = assertRejects(() => reader.next(), EventLogGapError);
      await commands.send(command);
      await add("new");
      await log.append({ data: "y" });
      await waiting;
      const again = new Reader(log.read("1-1-old"));
      await assertRejects(() => again.next(), EventLogGapError);
      assertEquals(await new Reader(log.read("")).data(2), ["x", "y"]);
      await commands.send(command);
    }
  },
);

testRedis(
  "reports a gap if another client trims the stream",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    const ids = await appendAll(log, ["1", "2", "3", "4"]);
    const reader = new Reader(log.read(""));
    const replaying = new Reader(log.read(ids[0]));
    await reader.take(4);
    const waiting = assertRejects(() => reader.next(), EventLogGapError);
    await commands.send(["XTRIM", "log", "MAXLEN", "0"]);
    await appendAll(log, ["5", "6"]);
    await waiting;
    await assertRejects(() => replaying.next(), EventLogGapError);
  },
);

testRedis(
  "keeps maxMessages messages besides its entry for the end",
  async (server, stack) => {
    const { log } = await open(server, stack, { maxMessages: 10 });
    // Redis trims ten entries at a time. The end is the twentieth entry, so
    // that the last ten entries contain only nine messages.
    await appendAll(log, numbers(1, 19));
    await log.end();
    const kept = await readAll(log.read(""));
    assertEquals(kept.slice(-10).map(({ data }) => data), numbers(10, 19));

    const { log: all } = await open(server, stack, {
      key: "all",
      maxMessages: Infinity,
    });
    await appendAll(all, numbers(1, 50));
    await all.end();
    assertEquals((await readAll(all.read(""))).length, 50);
  },
);

testRedis(
  "reports a gap at the start of a log as soon as its first message is trimmed",
  async (server, stack) => {
    // Redis trims ten entries at a time.
    for (const maxMessages of [8, 9, 10, 19]) {
      const { log } = await open(server, stack, {
        key: `log of ${maxMessages}`,
        maxMessages,
      });
      const { lastId: start } = await log.status();
      let gaps = 0;
      for (const data of numbers(1, 45)) {
        await log.append({ data });
        try {
          const [first] = await readAll(log.read(start, { follow: false }));
          assertEquals(first.data, "1");
        } catch (error) {
          assert(error instanceof EventLogGapError, String(error));
          gaps++;
        }
      }
      // No gap while no more than `maxMessages` messages were appended.
      assert(gaps > 0 && gaps <= 45 - maxMessages, `${gaps} gaps`);
    }
  },
);

testRedis(
  "rejects with the error of Redis if a retry cannot help",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    await commands.send(["SET", "log", "a string"]);
    await assertRejects(() => log.append({ data: "x" }), Error, "WRONGTYPE");
    await assertRejects(() => log.status(), Error, "WRONGTYPE");
    const reader = new Reader(log.read(""));
    await assertRejects(() => reader.next(), Error, "WRONGTYPE");
    await reader.assertEnd();

    // Without permission to block, or if a cluster has the keys elsewhere, it polls.
    for (const message of ["NOPERM no XREAD for you", "CROSSSLOT Keys"]) {
      const errors: unknown[] = [];
      const { log: unblocked } = await open(server, stack, {
        key: message,
        sendBlocking: () => Promise.reject(new Error(message)),
        pollInterval: 10,
        onError: (error) => errors.push((error as Error).message),
      });
      const reader = new Reader(unblocked.read(""));
      const first = reader.data(1);
      const writer = await open(server, stack, { key: message });
      await writer.log.append({ data: "1" });
      assertEquals(await first, ["1"]);
      const second = reader.data(1);
      await writer.log.append({ data: "2" });
      assertEquals(await second, ["2"]);
      assertEquals(errors, [message]);
      await reader.return();
    }
  },
);

testRedis(
  "serves 200 readers through one blocking command at a time",
  async (server, stack) => {
    const { commands, blocking } = await open(server, stack);
    const writer = await open(server, stack);
    let [active, maxActive] = [0, 0];
    const blocked = Promise.withResolvers<void>();
    const log = makeLog({
      key: "log",
      send: commands.send,
      async sendBlocking(command) {
        maxActive = Math.max(maxActive, ++active);
        blocked.resolve();
        try {
          return await blocking.send(command);
        } finally {
          active--;
        }
      },
    });
    const readers = Array.from(
      { length: 200 },
      () => Array.fromAsync(log.read("")),
    );
    await deadline(blocked.promise, "a blocking command");
    await appendAll(writer.log, numbers(1, 100));
    // Also its own messages, which it knows before Redis reports them.
    await appendAll(log, numbers(101, 200));
    await writer.log.end();
    for (const data of await deadline(Promise.all(readers), "all readers")) {
      assertEquals(data.map(({ data }) => data), numbers(1, 200));
    }
    assertEquals(maxActive, 1);
    assertEquals(blocking.connections, 1);
  },
);

testRedis(
  "sends no command while no message arrives",
  async (server, stack) => {
    const { commands, blocking } = await open(server, stack);
    let sent = 0;
    const counting =
      (send: SendRedisCommand): SendRedisCommand => (command) => {
        sent++;
        return send(command);
      };
    const log = makeLog({
      key: "log",
      send: counting(commands.send),
      sendBlocking: counting(blocking.send),
    });
    const reader = new Reader(log.read(""));
    for (const data of numbers(1, 3)) {
      const message = reader.data(1);
      await log.append({ data });
      assertEquals(await message, [data]);
    }
    const next = reader.take(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assertEquals(sent, before);
    await log.append({ data: "4" });
    await next;
    await reader.return();
  },
);

testRedis(
  "polls Redis if sendBlocking is not set",
  async (server, stack) => {
    const { log } = await open(server, stack, {
      sendBlocking: undefined,
      pollInterval: 10,
    });
    const writer = await open(server, stack);
    const reader = new Reader(log.read());
    await log.status();
    for (const data of numbers(1, 5)) {
      const message = reader.data(1);
      await writer.log.append({ data });
      assertEquals(await message, [data]);
    }
    await reader.return();
  },
);

testRedis(
  "skips foreign entries in its stream",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    const add = (...fields: string[]) =>
      commands.send(["XADD", "log", "*", ...fields]);
    await add("a", "b");
    const first = await log.append({ data: "1" });
    await add("m", "no JSON");
    const reader = new Reader(log.read(""));
    assertEquals((await reader.take(1))[0].id, first);
    const next = reader.take(1);
    await add("c", "d");
    await add("c", "d");
    const second = await log.append({ data: "2" });
    assertEquals((await next)[0].id, second);
    const { lastId } = await log.status();
    await add("e", "f");
    assert((await log.status()).lastId !== lastId);
    const after = new Reader(log.read((await log.status()).lastId));
    const third = after.data(1);
    await log.append({ data: "3" });
    assertEquals(await third, ["3"]);
    await after.return();
    await reader.return();
  },
);

testRedis(
  "does not use the tag of a foreign entry",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    for (const tag of ["21.5", "", "a\nevent: forged\ndata: x", "-before"]) {
      await commands.send(["DEL", "log"]);
      await commands.send(["XADD", "log", "*", "m", "7", "t", tag]);
      const now = new Reader(
        resume(log, new Request("http://localhost/"), { from: "now" }),
      );
      const [{ id }] = await now.take(1);
      assertMatch(id!, /^\d+-\d+-$/);
      const reader = new Reader(log.read(""));
      const read = reader.take(1);
      const first = { data: "1", id: await log.append({ data: "1" }) };
      assertEquals(await read, [first]);
      assertEquals(await now.take(1), [first]);
      assertEquals(await new Reader(log.read(id)).take(1), [first]);
      assertEquals(await new Reader(log.read("")).take(1), [first]);
      await reader.return();
      await now.return();
    }
  },
);

testRedis(
  "finds a message behind more foreign entries than it requests at once",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    for (let i = 0; i < 250; i++) {
      await commands.send(["XADD", "log", "*", "a", "b"]);
    }
    const id = await log.append({ data: "1" });
    // Another reader follows the log from a position after all of them.
    const ahead = new Reader(log.read(id));
    const next = ahead.data(1);
    const reader = new Reader(log.read(""));
    assertEquals(await reader.data(1), ["1"]);
    await log.append({ data: "2" });
    assertEquals([await next, await reader.data(1)], [["2"], ["2"]]);
    await ahead.return();
    await reader.return();
  },
);

testRedis(
  "wakes a reader that started after a foreign entry while another one follows",
  async (server, stack) => {
    const { log, commands } = await open(server, stack);
    await log.append({ data: "1" });
    const ahead = new Reader(log.read(""));
    await ahead.take(1);
    const second = ahead.data(1);
    await commands.send(["XADD", "log", "*", "a", "b"]);
    const late = new Reader(log.read());
    await log.status();
    await new Promise((resolve) => setTimeout(resolve, 10));
    await log.append({ data: "2" });
    assertEquals(await second, ["2"]);
    const third = ahead.data(1);
    assertEquals(await late.data(1), ["2"]);
    await log.append({ data: "3" });
    assertEquals([await third, await late.data(1)], [["3"], ["3"]]);
    await ahead.return();
    await late.return();
  },
);

testRedis(
  "lets several processes append and read concurrently",
  async (server, stack) => {
    const start = async (...args: string[]) =>
      stack.use(
        await LogProcess.start("redis", String(server.port), "log", ...args),
      );
    const readers = [await start("read"), await start("read")];
    const appenders = [
      await start("append", "a", "1000"),
      await start("append", "b", "1000"),
    ];
    for (const appender of appenders) {
      assertEquals(await appender.remainingLines(), []);
    }
    const { log } = await open(server, stack);
    await log.end();
    for (const reader of readers) {
      assertInterleaved(await reader.remainingLines(), ["a", "b"], 1000);
    }
  },
);

Deno.test("RedisEventLog throws if an option is invalid", () => {
  const send = () => Promise.resolve();
  const connect = (options: unknown) => () =>
    new RedisConnection(options as RedisConnectionOptions);
  assertThrows(connect(undefined), TypeError, "options");
  assertThrows(connect({}), TypeError, "send");
  assertThrows(connect({ send, sendBlocking: 1 }), TypeError, "sendBlocking");
  assertThrows(connect({ send, pollInterval: 9 }), RangeError, "pollInterval");
  assertThrows(connect({ send, commandTimeout: 0 }), RangeError, "command");
  assertThrows(connect({ send, onError: 0 }), TypeError, "onError");
  const redis = new RedisConnection({ send });
  const make = (redis: unknown, key: unknown, options?: unknown) => () =>
    new RedisEventLog(
      redis as RedisConnection,
      key as string,
      options as RedisEventLogOptions,
    );
  assertThrows(make({ send }, "a"), TypeError, "a RedisConnection");
  assertThrows(make(redis, 1), TypeError, "key");
  for (const value of [0, 0.5, NaN, "1"]) {
    for (const name of ["maxMessages", "expireIn"]) {
      assertThrows(make(redis, "a", { [name]: value }), RangeError, name);
    }
  }
});

/** Returns an in-process fake of the Redis commands that a log needs. */
function fakeRedis() {
  const entries: [id: string, fields: string[]][] = [];
  const send: SendRedisCommand = ([name, key, ...args]) => {
    if (key?.includes(":wake:")) return Promise.resolve("1-0");
    if (name === "XADD") {
      const id = `${entries.length + 1}-0`;
      entries.push([id, args.slice(args.indexOf("*") + 1)]);
      return Promise.resolve(id);
    }
    const from = Math.max(0, entries.findIndex(([id]) => id === args[0]));
    return Promise.resolve(
      name === "XRANGE" ? entries.slice(from) : entries.toReversed(),
    );
  };
  return send;
}

Deno.test("RedisEventLog polls if a blocking command gets no reply", async () => {
  using time = new FakeTime();
  const send = fakeRedis();
  let blocked = 0;
  const sendBlocking = () => {
    blocked++;
    return new Promise<never>(() => {});
  };
  const log = makeLog({ key: "a", send, sendBlocking });
  const writer = makeLog({ key: "a", send });
  const iterator = log.read("")[Symbol.asyncIterator]();
  const next = async () => (await iterator.next()).value?.data;
  await writer.append({ data: "1" });
  assertEquals(await next(), "1");
  for (const [data, ms] of [["2", 6000], ["3", 1000], ["4", 1000]] as const) {
    const message = next();
    await time.tickAsync(0);
    await writer.append({ data });
    await time.tickAsync(ms);
    assertEquals(await message, data);
  }
  assertEquals(blocked, 1);
  await iterator.return!();
});

Deno.test("RedisEventLog does not poll early if pollInterval is beyond the range of timers", async () => {
  using time = new FakeTime();
  for (const pollInterval of [Infinity, 2 ** 31]) {
    const send = fakeRedis();
    let sent = 0;
    const log = makeLog({
      key: "a",
      pollInterval,
      send(command) {
        sent++;
        return send(command);
      },
    });
    await log.append({ data: "1" });
    const iterator = log.read("")[Symbol.asyncIterator]();
    await iterator.next();
    const end = iterator.next();
    await time.tickAsync(0);
    const before = sent;
    await time.tickAsync(60 * 60 * 1000);
    assertEquals(sent, before);
    await iterator.return!();
    await end;
  }
});

Deno.test("RedisEventLog rejects its readers with an error that onError throws", async () => {
  const lost = () => Promise.reject(new Error("The connection was lost"));
  const entry = ["1-1", ["m", '{"data":"1"}', "t", "a"]];
  const onError = () => {
    throw new Error("Nowhere to log");
  };
  const unreachable = makeLog({ key: "a", send: lost, onError });
  const fetching = new Reader(unreachable.read(""));
  await assertRejects(() => fetching.next(), Error, "Nowhere to log");
  await fetching.assertEnd();
  const log = makeLog({
    key: "a",
    send: () => Promise.resolve([entry]),
    sendBlocking: lost,
    onError,
  });
  const readers = [new Reader(log.read("")), new Reader(log.read(""))];
  for (const reader of readers) await reader.data(1);
  await Promise.all(readers.map(async (waiting) => {
    await assertRejects(() => waiting.next(), Error, "Nowhere to log");
    await waiting.assertEnd();
  }));
});

Deno.test("resume() waits until the Redis of a RedisEventLog is reachable", async () => {
  const send = fakeRedis();
  for (const from of ["oldest", "now"] as const) {
    let failures = 3;
    const log = makeLog({
      key: "a",
      send: (command) =>
        --failures < 0
          ? send(command)
          : Promise.reject(new Error("The connection was lost")),
    });
    const writer = makeLog({ key: "a", send });
    const lastId = await writer.append({ data: from });
    const request = new Request("http://localhost/");
    const reader = new Reader(resume(log, request, { from }));
    const [{ id }] = await reader.take(1);
    // With `from: "now"`, the first message has only an ID.
    if (from === "now") assertEquals(id, lastId);
    const next = reader.data(1);
    await log.append({ data: "next" });
    assertEquals(await next, ["next"]);
    await reader.return();
  }
});

Deno.test("RedisEventLog stops its attempts when the reader's signal aborts", async () => {
  using time = new FakeTime();
  let sent = 0;
  const log = makeLog({
    key: "a",
    send() {
      sent++;
      return Promise.reject(new Error("The connection was lost"));
    },
  });
  const stop = new AbortController();
  // `read` without an ID requests its position before the first `next` call.
  const reader = log.read(undefined, { signal: stop.signal });
  await time.tickAsync(10_000);
  assert(sent > 1);
  const before = sent;
  stop.abort(new Error("enough"));
  await time.tickAsync(10_000);
  assertEquals(sent, before);
  const iterator = reader[Symbol.asyncIterator]();
  await assertRejects(async () => await iterator.next(), Error, "enough");
});

Deno.test("RedisEventLog delivers its own messages without waiting for a poll", async () => {
  const never = () => new Promise<never>(() => {});
  for (const sendBlocking of [undefined, never]) {
    const log = makeLog({
      key: "a",
      send: fakeRedis(),
      sendBlocking,
      pollInterval: Infinity,
    });
    const reader = new Reader(log.read(""));
    for (const data of ["1", "2", "3"]) {
      const next = reader.data(1);
      await new Promise((resolve) => setTimeout(resolve));
      await log.append({ data });
      assertEquals(await next, [data]);
    }
    await reader.return();
  }
});

Deno.test("RedisEventLog.end() rejects with the error of Redis", async () => {
  const send = fakeRedis();
  const log = makeLog({
    key: "a",
    send: (command) =>
      command[0] === "XADD"
        ? Promise.reject(new Error("OOM command not allowed"))
        : send(command),
  });
  await assertRejects(() => log.end(), Error, "OOM");
});

Deno.test("RedisEventLog accepts the fields of an entry as a Map", async () => {
  const inner = fakeRedis();
  const log = makeLog({
    key: "a",
    async send(command) {
      const reply = await inner(command);
      if (!Array.isArray(reply)) return reply;
      return reply.map(([id, fields]) => [
        id,
        new Map([fields.slice(0, 2), fields.slice(2)]),
      ]);
    },
  });
  const id = await log.append({ data: "1" });
  assertEquals(await new Reader(log.read("")).take(1), [{ data: "1", id }]);
});

Deno.test("RedisEventLog rejects with a TypeError if a reply is malformed", async () => {
  for (const reply of [undefined, null, "QUEUED", 1, [], ["1-0"]]) {
    const send = () => Promise.resolve(reply);
    const log = makeLog({ key: "a", send });
    await assertRejects(
      () => log.append({ data: "1" }),
      TypeError,
      "Expected send to give an entry's id, got ",
    );
  }
  const fields = ["m", '{"data":"1"}', "t", "a"];
  for (
    const entry of [
      "1-0",
      null,
      ["1-0"],
      ["1-0", null],
      [null, fields],
      ["1-0", { m: '{"data":"1"}', t: "a" }],
      ["1-0", [fields.slice(0, 2), fields.slice(2)]],
      { id: "1-0", message: {} },
    ]
  ) {
    const send = () => Promise.resolve([entry]);
    const log = makeLog({ key: "a", send });
    await assertRejects(
      () => new Reader(log.read("")).next(),
      TypeError,
      "Expected send to give entries as [id, [name, value, ...]], got ",
    );
  }
  for (const reply of [undefined, "QUEUED"]) {
    const log = makeLog({
      key: "a",
      send: fakeRedis(),
      sendBlocking: () => Promise.resolve(reply),
    });
    await log.append({ data: "1" });
    const reader = new Reader(log.read(""));
    await reader.take(1);
    await assertRejects(
      () => reader.next(),
      TypeError,
      "Expected sendBlocking to give entries or null, got ",
    );
  }
});

Deno.test("RedisEventLog.status() rejects with a TypeError if send does not return a list", async () => {
  const send = () => Promise.resolve("OK");
  const log = makeLog({ key: "a", send });
  await assertRejects(
    () => log.status(),
    TypeError,
    'Expected send to give a list of entries, got "OK"',
  );
});

testRedis(
  "stores nothing twice if record() repeats an append after 100 messages of another writer",
  async (server, stack) => {
    const { log: other, commands } = await open(server, stack);
    let isLost = false;
    const send: SendRedisCommand = async (command) => {
      const reply = await commands.send(command);
      if (command[0] !== "XADD" || isLost) return reply;
      isLost = true;
      await appendAll(other, numbers(1, 100));
      throw new Error("The connection was lost");
    };
    assertEquals(await record(makeLog({ send }), [{ data: "a" }]), "complete");
    const kept = await readAll(other.read(""));
    assertEquals(kept.filter(({ data }) => data === "a").length, 1);
  },
);

testRedis(
  "stores nothing twice if record() repeats an append of more messages than are kept",
  async (server, stack) => {
    const { log, commands } = await open(server, stack, { maxMessages: 40 });
    await commands.send(["CONFIG", "SET", "stream-node-max-entries", "5"]);
    let expirations = 0;
    const send: SendRedisCommand = async (command) => {
      const reply = await commands.send(command);
      // It follows the messages of an append.
      if (command[0] === "PEXPIRE" && ++expirations === 2) {
        throw new Error("The connection was lost");
      }
      return reply;
    };
    const writer = makeLog({ send, maxMessages: 40, expireIn: 60_000 });
    const messages = numbers(1, 60).map((data) => ({ data }));
    assertEquals(await record(writer, messages), "complete");
    const kept = (await readAll(log.read(""))).map(({ data }) => Number(data));
    assertEquals(kept.map(String), numbers(kept[0], 60));
  },
);
