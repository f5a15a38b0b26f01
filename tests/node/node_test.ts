/** Tests servers on Node.js: `node:http` and Express. */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { isInstalled, notRunFor } from "../support/not_run.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

const notRun = notRunFor(
  "Tests of servers on Node",
  isInstalled("node") ? undefined : "node is not installed",
);

/** Bundles a server and runs it on Node.js until it is disposed. */
async function start(path: string, env: Record<string, string> = {}) {
  await using directory = await temporaryDirectory();
  const bundle = `${directory.path}/server.mjs`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", "--no-check", `--output=${bundle}`],
      new URL(path, import.meta.url).pathname,
    ],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const process = new Deno.Command("node", {
    args: [bundle],
    env: { PORT: "0", ...env },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = process.stdout.getReader();
  const { value } = await deadline(reader.read(), "the server to listen", 60);
  await reader.cancel();
  const url = `http://127.0.0.1:${Number(new TextDecoder().decode(value))}`;
  return {
    url,
    /** Waits until the server has this number of listeners. */
    async listeners(count: number): Promise<void> {
      const wait = async () => {
        while (await (await fetch(`${url}/listeners`)).text() !== `${count}`) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      };
      await deadline(wait(), `${count} listeners`);
    },
    async [Symbol.asyncDispose]() {
      process.kill();
      await process.status;
    },
  };
}

function test(name: string, run: () => Promise<void>): void {
  Deno.test({ name, ignore: notRun !== undefined, fn: run });
}

test("node.ts serves an event stream on Node.js and stops its source when the client disconnects", async () => {
  await using server = await start("../../examples/node.ts");
  const sse = await connectSse(server.url);
  assertEquals(sse.response.headers.get("content-type"), "text/event-stream");
  assertEquals((await dataOf(sse, 2)).length, 2);
  await server.listeners(1);
  await sse.close();
  await server.listeners(0);
});

test("an Express app serves a log and a push source and stops them when the client disconnects", async () => {
  await using server = await start("express_server.ts");
  await fetch(`${server.url}/?n=1`, { method: "POST" });
  await fetch(`${server.url}/?n=2`, { method: "POST" });
  const sse = await connectSse(`${server.url}/log`);
  assertEquals(await dataOf(sse, 1), ['{"n":"1"}']);
  const { lastEventId } = sse;
  const next = dataOf(sse, 2);
  await fetch(`${server.url}/?n=3`, { method: "POST" });
  assertEquals(await next, ['{"n":"2"}', '{"n":"3"}']);
  await server.listeners(1);
  await sse.close();
  await server.listeners(0);

  const again = await connectSse(`${server.url}/log`, { lastEventId });
  assertEquals(await dataOf(again, 2), ['{"n":"2"}', '{"n":"3"}']);
  await again.close();
  await server.listeners(0);

  const pushed = await connectSse(`${server.url}/push`);
  assertEquals(await dataOf(pushed, 3), ["push", "push", "push"]);
  await pushed.close();
  await server.listeners(0);
});

test("the proxy of worker.ts sends a compressed error of the upstream as readable text on Node.js", async () => {
  const compressed = new Response("Try again later ☃").body!
    .pipeThrough(new CompressionStream("gzip"));
  const body = await new Response(compressed).arrayBuffer();
  await using upstream = new HttpServer(() =>
    new Response(body, {
      status: 503,
      headers: { "Content-Encoding": "gzip", "Content-Type": "text/plain" },
    })
  );
  await using server = await start("proxy_server.ts", {
    UPSTREAM_URL: upstream.url,
  });
  const response = await fetch(server.url);
  assertEquals(response.status, 503);
  assertEquals(await response.text(), "Try again later ☃");
});
