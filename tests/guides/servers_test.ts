/** Tests the guides' server code with the packages that it imports. */
import { assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { resume } from "../../src/event_log/mod.ts";
import { sseResponse } from "../../mod.ts";
import { RedisServer, whyNoRedis } from "../event_log/redis_server.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";

/** Starts a Node.js server, which is closed when it is disposed. */
// deno-lint-ignore no-explicit-any
async function listen(app: any) {
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

Deno.test("servers: the Hono app appends posted messages to a log and serves it", async () => {
  const { app } = await runBlock("servers", "npm:hono");
  await using sse = await connectSse("http://localhost/news", {
    fetch: app.fetch,
  });
  await app.request("/news", { method: "POST", body: "Hello" });
  assertEquals(await dataOf(sse, 1), ["Hello"]);
});

Deno.test("servers: the node:http server serves a log after the last event ID", async () => {
  const { server, log } = await runBlock("servers", "createServer(");
  await using node = await listen(server);
  await log.append({ data: "1" });
  await log.append({ data: "2" });
  const first = await connectSse(node.url);
  assertEquals(await dataOf(first, 1), ["1"]);
  const { lastEventId } = first;
  await first.close();
  await using again = await connectSse(node.url, { lastEventId });
  assertEquals(await dataOf(again, 1), ["2"]);
});

Deno.test("servers: the Express app stops the source when the client disconnects", async () => {
  const { app } = await runBlock("servers", "npm:express");
  await using express = await listen(app);
  const listeners = async (count: number) => {
    const url = `${express.url}/listeners`;
    while (await (await fetch(url)).text() !== `${count}`) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const sse = await connectSse(`${express.url}/ticks`);
  assertEquals(await dataOf(sse, 2), ['{"n":0}', '{"n":1}']);
  await deadline(listeners(1), "the source to run");
  await sse.close();
  await deadline(listeners(0), "the source to stop");
});

for (const client of ["redis", "ioredis"]) {
  Deno.test({
    name: `broadcasting: the log works with the package ${client}`,
    ignore: whyNoRedis() !== undefined,
    async fn() {
      const { openLog } = await runBlock("broadcasting", `npm:${client}@`);
      await using redis = await RedisServer.start("everysec");
      const { log, clients } = await openLog(
        `redis://127.0.0.1:${redis.port}`,
      );
      await log.append({ data: "1" });
      const sse = await connectSse("http://localhost/", {
        fetch: (request) => sseResponse(resume(log, request)),
      });
      assertEquals(await dataOf(sse, 1), ["1"]);
      const next = dataOf(sse, 1);
      await log.append({ data: "2" });
      assertEquals(await next, ["2"]);
      await sse.close();
      for (const it of clients) await (it.destroy?.() ?? it.disconnect());
    },
  });
}
