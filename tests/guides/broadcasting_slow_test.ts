/** Runs the programs of the guide on broadcasting, with the real clients. */
import { assert, assertEquals } from "@std/assert";
import { createClient } from "npm:redis@6.3.1";
import { connectSse, sseResponse } from "../../mod.ts";
import { type EventLog, resume } from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { RawRedis } from "../event_log/raw_redis.ts";
import { RedisServer, whyNoRedis } from "../event_log/redis_server.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { logged, runBlock } from "../support/guide.ts";
import { slowTestsNotRun } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

const test = slowTestsNotRun === undefined ? Deno.test : Deno.test.ignore;

type Handler = (request: Request) => Response | Promise<Response>;

/** Serves on a port of its own, so that clients can leave. */
function serve(handler: Handler) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    handler,
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function post(url: string, body: string): Promise<void> {
  const response = await fetch(url, { method: "POST", body });
  assertEquals([response.status, await response.text()], [204, ""]);
}

test("broadcasting: each client gets each message, and continues after its last one", async () => {
  const { default: app } = await runBlock("broadcasting", "maxBytes");
  await using server = serve(app.fetch);
  await post(server.url, "1");
  const first = await connectSse(server.url);
  await using second = await connectSse(server.url);
  assertEquals(await dataOf(first, 1), ["1"]);
  await first.close();
  await post(server.url, "2");
  assertEquals(await dataOf(second, 2), ["1", "2"]);
  await using again = await connectSse(server.url, {
    lastEventId: first.lastEventId,
  });
  assertEquals(await dataOf(again, 1), ["2"]);
});

test("broadcasting: after a restart, a client gets a gap event and the new messages", async () => {
  const before = await runBlock("broadcasting", "maxBytes");
  const after = await runBlock("broadcasting", "maxBytes");
  let app = before.default;
  const url = "http://localhost/";
  const append = (body: string) =>
    app.fetch(new Request(url, { method: "POST", body }));
  await append("1");
  const sse = await connectSse(url, { fetch: app.fetch });
  assertEquals(await dataOf(sse, 1), ["1"]);
  await sse.close();
  app = after.default;
  await append("2");
  await using again = await connectSse(url, {
    fetch: app.fetch,
    lastEventId: sse.lastEventId,
  });
  assertEquals((await again.next()).value?.event, "gap");
  assertEquals(await dataOf(again, 1), ["2"]);
});

test("broadcasting: a message reaches the clients of its room only", async () => {
  const { default: app } = await runBlock("broadcasting", "const rooms");
  await using server = serve(app.fetch);
  await using kitchen = await connectSse(`${server.url}kitchen`);
  await using garden = await connectSse(`${server.url}garden`);
  await post(`${server.url}garden`, "Rain");
  await post(`${server.url}kitchen`, "Soup");
  assertEquals(await dataOf(kitchen, 1), ["Soup"]);
  assertEquals(await dataOf(garden, 1), ["Rain"]);
});

test("broadcasting: the count of clients falls while the log is silent", async () => {
  const guide = await runBlock("broadcasting", "clients++");
  await using server = serve(guide.handler);
  const count = async (expected: number) => {
    while (guide.clients !== expected) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const sse = await connectSse(server.url);
  await using other = await connectSse(server.url);
  await deadline(count(2), "two clients");
  // Nothing is appended before the client has left the count.
  await sse.close();
  await deadline(count(1), "one client");
  await guide.log.append({ data: "1" });
  assertEquals(await dataOf(other, 1), ["1"]);
  await guide.log.end();
  assertEquals((await other.next()).done, true);
  await deadline(count(0), "no client");
});

test("broadcasting: a generator over a silent log is closed only after the next message", async () => {
  const guide = await runBlock("broadcasting", "clients++");
  let clients = 0;
  const closed = Promise.withResolvers<void>();
  async function* counted(request: Request) {
    clients++;
    try {
      for await (const message of resume(guide.log, request)) yield message;
    } finally {
      clients--;
      closed.resolve();
    }
  }
  const body = sseResponse(counted(new Request("http://localhost/"))).body!;
  const reader = body.getReader();
  reader.read().catch(() => {});
  while (clients === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  const canceled = reader.cancel();
  for (let turn = 0; turn < 20; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(clients, 1);
  await guide.log.append({ data: "1" });
  await deadline(closed.promise, "the generator to be closed");
  await canceled;
  assertEquals(clients, 0);
});

test("broadcasting: processes that open the log in Deno KV at one path share it", async () => {
  await using directory = await temporaryDirectory();
  const guide = await runBlock("broadcasting", "Deno.openKv(path)");
  const [first, second] = [
    await guide.openLog(`${directory.path}/kv`),
    await guide.openLog(`${directory.path}/kv`),
  ];
  await first.log.append({ data: "1" });
  const sse = await connectSse("http://localhost/", {
    fetch: (request) => sseResponse(resume(second.log, request)),
  });
  assertEquals(await dataOf(sse, 1), ["1"]);
  await sse.close();
  for (const { kv } of [first, second]) kv.close();
});

test("broadcasting: without --unstable-kv, Deno.openKv is not a function", async () => {
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "await Deno.openKv()"],
    env: { NO_COLOR: "1" },
  }).output();
  const printed = new TextDecoder().decode(stderr);
  assert(printed.includes("Deno.openKv is not a function"), printed);
});

const noRedis = whyNoRedis();

/** Stops the clients of the guide's `openLog`. */
// deno-lint-ignore no-explicit-any
async function close(clients: any[]): Promise<void> {
  for (const it of clients) await (it.destroy?.() ?? it.disconnect());
}

for (const name of ["redis", "ioredis"]) {
  test({
    name:
      `broadcasting: the log on the package ${name} sends stored and new messages`,
    ignore: noRedis !== undefined,
    async fn() {
      const { openLog } = await runBlock("broadcasting", `npm:${name}@`);
      await using redis = await RedisServer.start("everysec");
      const { log, clients } = await openLog(`redis://127.0.0.1:${redis.port}`);
      await log.append({ data: "1" });
      const sse = await connectSse("http://localhost/", {
        fetch: (request) => sseResponse(resume(log, request)),
      });
      assertEquals(await dataOf(sse, 1), ["1"]);
      const next = dataOf(sse, 1);
      await log.append({ data: "2" });
      assertEquals(await next, ["2"]);
      await sse.close();
      await close(clients);
    },
  });

  test({
    name:
      `broadcasting: with the package ${name}, lost connections hang no reader, and no message is stored twice or lost`,
    ignore: noRedis !== undefined,
    // The clients leave timers behind when they reconnect.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      // The guide's clients print errors about lost connections.
      using _ = logged("error");
      const { openLog } = await runBlock("broadcasting", `npm:${name}@`);
      await using redis = await RedisServer.start("everysec");
      await using admin = await RawRedis.connect(redis.port);
      const { log, clients } = await openLog(`redis://127.0.0.1:${redis.port}`);

      const readers = [1, 2].map(async () => {
        const read: string[] = [];
        for await (const { data } of log.read("")) {
          if (data === "end") break;
          read.push(data);
        }
        return read;
      });
      const stored: string[] = [];
      let rejected = 0;
      // More batches if no append was in flight when a connection was killed.
      for (let batch = 0; batch < 20 || rejected === 0; batch++) {
        const numbers = Array.from({ length: 20 }, (_, i) => `${batch}.${i}`);
        const appended = Promise.all(numbers.map(async (data) => {
          try {
            await log.append({ data });
            stored.push(data);
          } catch {
            rejected++;
          }
        }));
        // Kills all connections but this one, while appends are in flight.
        if (batch % 4 === 1) {
          await admin.send(["CLIENT", "KILL", "TYPE", "normal"]);
        }
        await deadline(appended, "each append to settle");
      }
      for (let ended = false; !ended;) {
        ended = await deadline(
          log.append({ data: "end" }).then(() => true, () => false),
          "the last append",
        );
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      for (const reader of readers) {
        const read = await deadline(reader, "a reader to get the last message");
        assertEquals(new Set(read).size, read.length, "doubled messages");
        const lost = new Set(stored).difference(new Set(read));
        assertEquals([...lost], [], "lost messages");
      }
      await close(clients);
    },
  });
}

test({
  name:
    "broadcasting: all logs of a connection get messages of other processes without polling",
  ignore: noRedis !== undefined,
  async fn() {
    const { openLog } = await runBlock("broadcasting", "npm:redis@");
    await using server = await RedisServer.start("everysec");
    const url = `redis://127.0.0.1:${server.port}`;
    const other = createClient({ url });
    await other.connect();
    const writer = new RedisConnection({
      send: (command) => other.sendCommand(command),
    });
    const { log, redis, clients } = await openLog(url, "a");
    const logs: EventLog[] = [log, new RedisEventLog(redis, "b")];
    const readers = logs.map((log) => log.read("")[Symbol.asyncIterator]());
    for (const data of ["1", "2"]) {
      for (const [index, key] of ["a", "b"].entries()) {
        const next = readers[index].next();
        await new RedisEventLog(writer, key).append({ data });
        // Less than the second after which a poll would come.
        await deadline(next, `a message of ${key}`, 0.9);
        assertEquals((await next).value.data, data);
      }
    }
    for (const reader of readers) await reader.return!();
    await close(clients);
    other.destroy();
  },
});
