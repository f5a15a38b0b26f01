/** Tests what the logs of a `RedisConnection` share. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { resume } from "../../src/event_log/mod.ts";
import {
  RedisConnection,
  RedisEventLog,
  type SendRedisCommand,
} from "../../src/event_log/redis.ts";
import { deadline } from "../support/deadline.ts";
import { numbers, Reader } from "./contract.ts";
import { RawRedis } from "./raw_redis.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";

const notRun = whyNoRedis();

/** What the tests with a Redis use. */
interface Setup {
  redis: RedisConnection;
  /** The connection of another process. */
  writer: RedisConnection;
  send: SendRedisCommand;
  /** The commands that were sent, blocking ones included. */
  commands: string[][];
  errors: unknown[];
}

function test(behavior: string, run: (setup: Setup) => Promise<void>): void {
  Deno.test({
    name: `RedisConnection ${behavior}`,
    ignore: notRun !== undefined,
    async fn() {
      await using stack = new AsyncDisposableStack();
      const { port } = stack.use(await RedisServer.start());
      const connect = async () => stack.use(await RawRedis.connect(port));
      const [own, blocking, other] = [
        await connect(),
        await connect(),
        await connect(),
      ];
      const commands: string[][] = [];
      const errors: unknown[] = [];
      const recorded =
        (send: SendRedisCommand): SendRedisCommand => (command) => {
          commands.push(command);
          return send(command);
        };
      const redis = new RedisConnection({
        send: recorded(own.send),
        sendBlocking: recorded(blocking.send),
        onError: (error) => errors.push(error),
      });
      const writer = new RedisConnection({ send: other.send });
      await run({ redis, writer, send: other.send, commands, errors });
    },
  });
}

test("waits for all logs with one command at a time, also for those that join", async ({ redis, writer, commands, errors }) => {
  const keys = numbers(1, 30);
  const readers: Reader[] = [];
  for (const key of keys) {
    const reader = new Reader(new RedisEventLog(redis, key).read(""));
    const first = reader.data(1);
    await new RedisEventLog(writer, key).append({ data: "1" });
    assertEquals(await first, ["1"]);
    readers.push(reader);
  }
  for (const data of ["2", "3"]) {
    const waiting = readers.map((reader) => reader.data(1));
    const start = Date.now();
    for (const key of keys) {
      await new RedisEventLog(writer, key).append({ data });
    }
    for (const it of await Promise.all(waiting)) assertEquals(it, [data]);
    // A command that is not interrupted returns after a second.
    assert(Date.now() - start < 900, "the messages were late");
  }
  const reads = commands.filter(([name]) => name === "XREAD");
  assert(reads.some((command) => command.length > 60), "one for all");
  assertEquals(errors, []);
  for (const reader of readers) await reader.return();
});

test("stores nothing when logs are read, except the stream that wakes it", async ({ redis, send, commands }) => {
  const log = new RedisEventLog(redis, "made-up");
  await log.status();
  const readers = ["", undefined].map((after) => new Reader(log.read(after)));
  const request = new Request("http://x/?lastEventId=123-0-abc");
  readers.push(new Reader(resume(log, request)));
  const waiting = readers.slice(0, 2).map((reader) => reader.assertEnd());
  await readers[2].next();
  while (!commands.some(([name]) => name === "XREAD")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const keys = await send(["KEYS", "*"]) as unknown[];
  const names = keys.map((key) => new TextDecoder().decode(key as Uint8Array));
  assertEquals(names.filter((name) => !name.includes(":wake:")), []);
  for (const reader of readers) await reader.return();
  await Promise.all(waiting);
});

test("does not spin after a log that has ended was trimmed", async ({ redis, send, commands }) => {
  const log = new RedisEventLog(redis, "log");
  await log.append({ data: "1" });
  const reader = new Reader(resume(log, new Request("http://localhost/")));
  await reader.take(1);
  await log.end();
  await send(["XTRIM", "log", "MAXLEN", "0"]);
  const late = log.read("")[Symbol.asyncIterator]();
  const end = late.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = commands.length;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert(commands.length - before < 30, `${commands.length - before} commands`);
  await late.return!();
  await end;
  await reader.return();
});

test("deletes a log after expireIn, which appends renew", async ({ redis, send }) => {
  const log = new RedisEventLog(redis, "log", { expireIn: 60_000 });
  await log.append({ data: "1" });
  await send(["PEXPIRE", "log", "10000"]);
  await log.append({ data: "2" });
  const left = Number(await send(["PTTL", "log"]));
  assert(left > 50_000 && left <= 60_000, `${left}`);
  await log.end();
  assert(Number(await send(["PTTL", "log"])) > 0);
});

for (const huge of [2 ** 52, 2 ** 53, 1e21, Number.MAX_VALUE]) {
  test(`keeps all messages for ever if maxMessages and expireIn are ${huge}`, async ({ redis, send }) => {
    const options = { maxMessages: huge, expireIn: huge };
    const log = new RedisEventLog(redis, "log", options);
    await log.append({ data: "1" });
    await log.append({ data: "2" });
    await log.end();
    assertEquals(await new Reader(log.read("")).data(2), ["1", "2"]);
    const left = Number(await send(["PTTL", "log"]));
    assert(left === -1 || left > 1e15, `${left}`);
  });
}

test("rounds expireIn up to a whole number", async ({ redis, send }) => {
  const log = new RedisEventLog(redis, "log", { expireIn: 59_999.5 });
  await log.append({ data: "1" });
  const left = Number(await send(["PTTL", "log"]));
  assert(left > 50_000 && left <= 60_000, `${left}`);
});

test("skips entries that are no message, and reports them", async ({ redis, send, errors }) => {
  const log = new RedisEventLog(redis, "log");
  const add = (...fields: string[]) => send(["XADD", "log", "*", ...fields]);
  await add("m", "no JSON", "t", "abc");
  await add("m", '{"data":5}', "t", "abd");
  await add("t", "abe");
  await log.append({ data: "1" });
  const reader = new Reader(log.read(""));
  assertEquals(await reader.data(1), ["1"]);
  assertEquals(errors.length, 2);
  await reader.return();
});

Deno.test("RedisConnection gives up a command after commandTimeout", async () => {
  using time = new FakeTime();
  const errors: Error[] = [];
  const redis = new RedisConnection({
    send: () => new Promise(() => {}),
    commandTimeout: 3000,
    onError: (error) => errors.push(error as Error),
  });
  const log = new RedisEventLog(redis, "log");
  const appended = assertRejects(
    () => log.append({ data: "1" }),
    Error,
    "Expected Redis to answer XADD in 3000 ms (commandTimeout)",
  );
  await time.tickAsync(3000);
  await appended;
  // A reader tries again.
  const reader = log.read("")[Symbol.asyncIterator]();
  const end = reader.next();
  for (let i = 0; i < 4; i++) await time.tickAsync(3000);
  assert(errors.length >= 2, `${errors.length} errors`);
  await reader.return!();
  await end;
  await time.tickAsync(3000);
});

Deno.test("RedisConnection does not spin if sendBlocking fails or answers at once", async () => {
  using time = new FakeTime();
  for (
    const sendBlocking of [
      () => Promise.resolve(null),
      () => Promise.resolve([]),
      () => Promise.reject(new Error("The connection was lost")),
    ]
  ) {
    let commands = 0;
    const redis = new RedisConnection({
      send: () => {
        commands++;
        return Promise.resolve([]);
      },
      sendBlocking: () => {
        commands++;
        return sendBlocking();
      },
    });
    const readers = numbers(1, 5).map((key) =>
      new RedisEventLog(redis, key).read("")[Symbol.asyncIterator]()
    );
    const ends = readers.map((reader) => reader.next());
    for (let i = 0; i < 1000; i++) await time.tickAsync(10);
    assert(commands < 250, `${commands} commands in 10 s`);
    for (const reader of readers) await reader.return!();
    await Promise.all(ends);
    await time.tickAsync(5000);
  }
});

Deno.test("RedisConnection sends no blocking command after the last reader has left", async () => {
  using time = new FakeTime();
  let blocking = 0;
  const redis = new RedisConnection({
    send: () => Promise.resolve([]),
    sendBlocking() {
      blocking++;
      return Promise.reject(new Error("Connection lost"));
    },
  });
  const reader = new Reader(new RedisEventLog(redis, "log").read("0-0-"));
  const pending = reader.next();
  while (blocking === 0) await time.tickAsync(1);
  await time.tickAsync(5); // The reader waits again.
  await reader.return();
  await pending;
  await time.tickAsync(5000);
  assertEquals(blocking, 1);
});

Deno.test("RedisConnection throws to readers what another try cannot change", async () => {
  for (
    const message of ["MOVED 1 127.0.0.1:9", "WRONGTYPE a string", "NOAUTH no"]
  ) {
    const redis = new RedisConnection({
      send: () => Promise.reject(new Error(message)),
    });
    const reader = new Reader(new RedisEventLog(redis, "log").read(""));
    await assertRejects(
      () => deadline(reader.next(), "an error"),
      Error,
      message,
    );
  }
});

test("fails only the readers of the key that is no stream", async ({ redis, writer, send }) => {
  const [a, b] = ["a", "b"].map((key) =>
    new Reader(new RedisEventLog(redis, key).read(""))
  );
  for (const key of ["a", "b"]) {
    await new RedisEventLog(writer, key).append({ data: "1" });
  }
  await a.data(1);
  await b.data(1);
  const failed = assertRejects(() => a.next(), Error, "WRONGTYPE");
  const next = b.data(1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await send(["DEL", "a"]);
  await send(["SET", "a", "no stream"]);
  await new RedisEventLog(writer, "b").append({ data: "2" });
  assertEquals(await next, ["2"]);
  await failed;
  await b.return();
});

test("finds no gap at the start of a log of maxMessages messages that has ended", async ({ redis }) => {
  const log = new RedisEventLog(redis, "log", { maxMessages: 5 });
  const { lastId } = await log.status();
  for (const data of numbers(1, 5)) await log.append({ data });
  await log.end();
  const all = await Array.fromAsync(log.read(lastId), ({ data }) => data);
  assertEquals(all, numbers(1, 5));
});

test("ends with follow: false at the newest entry, also if that is no message", async ({ redis, send }) => {
  const log = new RedisEventLog(redis, "log");
  await log.append({ data: "1" });
  for (const fields of [["a", "b"], ["m", "no JSON", "t", "abc"]]) {
    await send(["XADD", "log", "*", ...fields]);
    const reader = log.read("", { follow: false });
    await log.status();
    await log.append({ data: "later" });
    const all = await Array.fromAsync(reader, ({ data }) => data);
    assertEquals(all[0], "1");
    assertEquals(all.length, fields[0] === "a" ? 1 : 2);
  }
});
