/** Tests the guide's programs and statements about middlewares and proxies. */
import { assertEquals } from "@std/assert";
// @ts-types="npm:@types/express@5.0.3"
import express from "npm:express@5.1.0";
import compression from "npm:compression@1.8.2";
import { Hono, type MiddlewareHandler } from "npm:hono@4.13.19";
import { compress } from "npm:hono@4.13.19/compress";
import { etag } from "npm:hono@4.13.19/etag";
import type { AddressInfo } from "node:net";
import { connectSse, sseResponse } from "../../mod.ts";
import { allData, dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { blockOf, program, withPackage } from "./programs.ts";

/** A response with one message, and a second one after `release` is called. */
function steppedResponse() {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  async function* messages() {
    yield { data: "1" };
    await promise;
    yield { data: "2" };
  }
  return { response: sseResponse(messages()), release };
}

/** Asserts that the first event arrives before the second one is sent. */
async function assertPassesAtOnce(
  fetch: (request: Request, response: Response) => Promise<Response> | Response,
): Promise<void> {
  const { response, release } = steppedResponse();
  const sse = await deadline(
    connectSse("http://localhost/", {
      headers: { "Accept-Encoding": "gzip, br" },
      fetch: (request) => fetch(request, response),
    }),
    "the headers",
  );
  assertEquals(sse.response.headers.get("content-encoding"), null);
  assertEquals(await dataOf(sse, 1), ["1"]);
  release();
  assertEquals(await allData(sse), ["2"]);
}

function hono(
  middleware: MiddlewareHandler,
  handler: () => Response | Promise<Response>,
): Hono {
  const app = new Hono();
  app.use("*", middleware);
  app.get("*", handler);
  return app;
}

Deno.test("behind proxies: Hono's compress() leaves an event stream alone", async () => {
  await assertPassesAtOnce((request, response) =>
    hono(compress(), () => response).fetch(request)
  );
});

Deno.test("behind proxies: Hono's etag() waits for the end of an event stream", async () => {
  const { response, release } = steppedResponse();
  let answered = false;
  const answer = Promise.resolve(
    hono(etag(), () => response).request("/"),
  ).then((response) => {
    answered = true;
    return response;
  });
  // The middleware has read the first message and waits for the second one.
  for (let turn = 0; turn < 20; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(answered, false);
  release();
  const { headers, body } = await deadline(answer, "the response");
  assertEquals(headers.has("etag"), true);
  await body?.cancel();
});

Deno.test("behind proxies: the Hono app sends events at once, and pages with an ETag", async () => {
  const { app, log } = await runBlock("behind_proxies", "npm:hono");
  const sse = await deadline(
    connectSse("http://localhost/events", { fetch: app.fetch }),
    "the headers",
  );
  await log.append({ data: "1" });
  assertEquals(await dataOf(sse, 1), ["1"]);
  await sse.close();
  const page = await app.request("/pages/about");
  assertEquals(page.headers.has("etag"), true);
  assertEquals(await page.text(), "About us");
});

/** Serves with Express and `compression`. */
async function withCompression(response: Response) {
  const { toNode } = await import(
    await program("servers", "export function toNode")
  );
  const app = express();
  app.use(compression({ threshold: 0 }));
  app.use(toNode(() => response));
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

Deno.test("behind proxies: Express's compression leaves an event stream alone", async () => {
  await assertPassesAtOnce(async (_, response) => {
    const server = await withCompression(response);
    const answer = await fetch(server.url);
    return new Response(
      answer.body!.pipeThrough(
        new TransformStream({ flush: () => server[Symbol.asyncDispose]() }),
      ),
      answer,
    );
  });
});

Deno.test("behind proxies: without no-transform, Express's compression compresses an event stream", async () => {
  const { response, release } = steppedResponse();
  response.headers.set("Cache-Control", "no-cache");
  await using server = await withCompression(response);
  release();
  const { hostname, port } = new URL(server.url);
  using socket = await Deno.connect({ hostname, port: Number(port) });
  await socket.write(new TextEncoder().encode(
    "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n" +
      "Connection: close\r\n\r\n",
  ));
  const text = await new Response(socket.readable).text();
  assertEquals(/^content-encoding: gzip\r$/mi.test(text), true);
});

Deno.test("behind proxies: Deno.serve does not compress an event stream", async () => {
  const { response, release } = steppedResponse();
  await using server = new HttpServer(() => response);
  const { hostname, port } = new URL(server.url);
  using socket = await Deno.connect({ hostname, port: Number(port) });
  await socket.write(new TextEncoder().encode(
    "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br\r\n" +
      "Connection: close\r\n\r\n",
  ));
  release();
  const text = await new Response(socket.readable).text();
  assertEquals(/^content-encoding/mi.test(text), false);
  assertEquals(text.match(/data: ./g), ["data: 1", "data: 2"]);
});

Deno.test("behind proxies: the signal ends the stream without an error", async () => {
  const { default: app } = await runBlock(
    "behind_proxies",
    "AbortSignal.timeout",
  );
  const time = new AbortController();
  const { timeout } = AbortSignal;
  AbortSignal.timeout = (ms) => ms === 240_000 ? time.signal : timeout(ms);
  try {
    // Servers pass a second argument, such as information on the client.
    const sse = await connectSse("http://localhost/", {
      fetch: (request) => app.fetch(request, {}),
    });
    const rest = allData(sse);
    time.abort();
    assertEquals(await deadline(rest, "the end"), []);
  } finally {
    AbortSignal.timeout = timeout;
  }
});

Deno.test("behind proxies: the program appends on POST, and sends the messages on GET", async () => {
  const { default: app } = await runBlock(
    "behind_proxies",
    'request.method === "POST"',
  );
  const posted = await app.fetch(
    new Request("http://localhost/", { method: "POST", body: "1" }),
  );
  assertEquals(posted.status, 204);
  await using sse = await connectSse("http://localhost/", { fetch: app.fetch });
  assertEquals(await dataOf(sse, 1), ["1"]);
});

Deno.test("behind proxies: the proxy drops events, continues after the browser's id, and closes the silent upstream connection when the browser leaves", async () => {
  const stream = new OpenResponse(
    "event: internal\ndata: secret\n\nid: 2\ndata: two\n\n",
  );
  await using upstream = new HttpServer(() => stream.response);
  await using server = await serveProxy(upstream.url);
  const browser = await connectSse(server.url, { lastEventId: "1" });
  assertEquals(await dataOf(browser, 1), ["two"]);
  assertEquals(browser.lastEventId, "2");
  const { headers } = await upstream.request();
  assertEquals(headers.get("authorization"), "Bearer secret");
  assertEquals(headers.get("last-event-id"), "1");
  await browser.close();
  await stream.cancelled;
});

Deno.test("behind proxies: the proxy passes on a compressed error as readable text, without cookies", async () => {
  const compressed = new Response("Try again later ☃").body!
    .pipeThrough(new CompressionStream("gzip"));
  const body = await new Response(compressed).arrayBuffer();
  await using upstream = new HttpServer(() =>
    new Response(body, {
      status: 503,
      headers: {
        "Content-Encoding": "gzip",
        "Content-Type": "text/plain;charset=UTF-8",
        "Retry-After": "7",
        "Set-Cookie": "session=upstream",
      },
    })
  );
  await using server = await serveProxy(upstream.url);
  const response = await fetch(server.url);
  assertEquals(response.status, 503);
  assertEquals(await response.text(), "Try again later ☃");
  assertEquals(response.headers.get("retry-after"), "7");
  assertEquals(response.headers.get("set-cookie"), null);
});

/** Serves the guide's proxy, with another upstream server. */
async function serveProxy(upstreamUrl: string) {
  const code = withPackage(await blockOf("behind_proxies", "const UPSTREAM"))
    .replace("https://example.com/events", upstreamUrl);
  const { default: app } = await import(
    `data:text/typescript,${encodeURIComponent(code)}`
  );
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    app.fetch,
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("behind proxies: a client with `reconnect` tries again if a proxy says that its server is down", async () => {
  const statuses = [502, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530];
  for (const status of statuses) {
    let requests = 0;
    const sse = await connectSse("http://localhost/", {
      fetch: () =>
        requests++ === 0
          ? new Response("<html>Down</html>", { status })
          : eventResponse("data: a\n\n"),
      reconnect: { initialDelay: 0 },
    });
    assertEquals(await dataOf(sse, 1), ["a"]);
    await sse.close();
  }
});
