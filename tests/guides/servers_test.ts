/** Runs the programs of the guide on servers, with the packages they import. */
import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { serve } from "npm:@hono/node-server@2.1.9";
// @ts-types="npm:@types/express@5.0.3"
import express from "npm:express@5.1.0";
import { fastify } from "npm:fastify@5.12.8";
import { Hono } from "npm:hono@4.13.19";
import { connectSse, type SseMessage, sseResponse } from "../../mod.ts";
import { allData, dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { OpenResponse } from "../support/open_response.ts";
import { program } from "./programs.ts";

/** The modules that listen on a Node server. Each exports its `server`. */
const nodeServers = ["createServer(", "npm:express", "npm:koa", "npm:fastify"];

/** Closes a Node server and its program's listener when it is disposed. */
// deno-lint-ignore no-explicit-any
async function listening(server: any) {
  if (!server.listening) {
    await new Promise((resolve) => server.once("listening", resolve));
  }
  return {
    url: `http://127.0.0.1:${server.address().port}/news`,
    async [Symbol.asyncDispose]() {
      process.removeAllListeners("SIGTERM");
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Starts a program of the guide whose handler is `news`. */
async function start(
  text: string,
  news?: (request: Request) => Response | Promise<Response>,
) {
  const { server } = await import(await program("servers", text, { news }));
  return await listening(server);
}

/** Records what is printed with `console.error`, until disposed. */
function errors() {
  const { error } = console;
  const printed = Promise.withResolvers<unknown>();
  const all: unknown[] = [];
  console.error = (value) => {
    all.push(value);
    printed.resolve(value);
  };
  return {
    all,
    first: () => deadline(printed.promise, "an error to be printed"),
    [Symbol.dispose]() {
      console.error = error;
    },
  };
}

/** A stream that is silent until it is canceled. */
function silentStream() {
  const closed = Promise.withResolvers<void>();
  const pulled = Promise.withResolvers<void>();
  const stream = new ReadableStream<SseMessage>({
    pull: () => pulled.resolve(),
    cancel: () => closed.resolve(),
  }, { highWaterMark: 0 });
  return {
    stream,
    pulled: () => deadline(pulled.promise, "the source to be read"),
    closed: () => deadline(closed.promise, "the source to be closed"),
  };
}

for (const text of nodeServers) {
  Deno.test(`servers: the program with ${text} appends on POST, and resumes after the last event ID`, async () => {
    await using server = await start(text);
    for (const body of ["1", "2"]) {
      const response = await fetch(server.url, { method: "POST", body });
      assertEquals([response.status, await response.text()], [204, ""]);
    }
    const first = await connectSse(server.url);
    assertEquals(await dataOf(first, 1), ["1"]);
    const { lastEventId } = first;
    await first.close();
    await using again = await connectSse(server.url, { lastEventId });
    assertEquals(await dataOf(again, 1), ["2"]);
  });

  Deno.test(`servers: the program with ${text} sends the headers before the first message, and closes the source when the client leaves`, async () => {
    const source = silentStream();
    await using server = await start(text, () => sseResponse(source.stream));
    const sse = await deadline(connectSse(server.url), "the headers");
    assertEquals(sse.response.headers.get("content-type"), "text/event-stream");
    await source.pulled();
    await sse.close();
    await source.closed();
  });

  Deno.test(`servers: the program with ${text} closes the source if the client leaves before the handler returns`, async () => {
    const source = silentStream();
    const called = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    await using server = await start(text, async () => {
      called.resolve();
      await left.promise;
      return sseResponse(source.stream);
    });
    const { port, hostname } = new URL(server.url);
    const socket = await Deno.connect({ hostname, port: Number(port) });
    const head = "GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    await socket.write(new TextEncoder().encode(head));
    await deadline(called.promise, "the handler to be called");
    socket.close();
    left.resolve();
    await source.closed();
  });

  Deno.test(`servers: the program with ${text} answers HEAD without reading the source`, async () => {
    let started = false;
    const closed = Promise.withResolvers<void>();
    const source: AsyncIterableIterator<SseMessage> = {
      next() {
        started = true;
        return new Promise(() => {});
      },
      return() {
        closed.resolve();
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]: () => source,
    };
    await using server = await start(text, () => sseResponse(source));
    const head = fetch(server.url, { method: "HEAD" });
    const response = await deadline(head, "the answer to HEAD");
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    await deadline(closed.promise, "the source to be closed");
    assertEquals(started, false);
  });

  Deno.test(`servers: the program with ${text} prints an error of the source, and breaks the connection`, async () => {
    using printed = errors();
    const down = new Error("my database is down");
    async function* failing() {
      yield { data: "1" };
      await Promise.reject(down);
    }
    await using server = await start(text, () => sseResponse(failing()));
    const sse = await connectSse(server.url);
    assertEquals(await dataOf(sse, 1), ["1"]);
    const error = await deadline(
      sse.next().then(() => undefined, (error) => error),
      "the connection to break",
    );
    assertEquals(error?.code, "network");
    assertEquals(await printed.first(), down);
  });

  Deno.test(`servers: the program with ${text} answers with status 500 if the handler fails`, async () => {
    using printed = errors();
    await using server = await start(text, () => {
      throw new Error("no such feed");
    });
    const response = await fetch(server.url);
    assertEquals([response.status, await response.text()], [500, ""]);
    assertEquals(String(await printed.first()), "Error: no such feed");
  });
}

Deno.test("servers: the adapter makes a request of any path, also of //", async () => {
  const { toNode } = await import(
    await program("servers", "export function toNode")
  );
  const { createServer } = await import("node:http");
  await using server = await listening(
    createServer(
      toNode(({ method, url, headers }: Request) =>
        Response.json([method, url, headers.get("x")])
      ),
    ).listen(0),
  );
  const { port, hostname } = new URL(server.url);
  async function get(target: string): Promise<unknown> {
    using socket = await Deno.connect({ hostname, port: Number(port) });
    await socket.write(new TextEncoder().encode(
      `GET ${target} HTTP/1.1\r\nHost: x\r\nX: 1\r\nX: 2\r\n` +
        "Connection: close\r\n\r\n",
    ));
    const text = await new Response(socket.readable).text();
    return JSON.parse(text.match(/\[.*\]/)?.[0] ?? `"${text}"`);
  }
  for (
    const [target, url] of [
      ["//", "http://localhost//"],
      ["//evil:99999/?a=1", "http://localhost//evil:99999/?a=1"],
      ["/%zz", "http://localhost/%zz"],
    ]
  ) {
    assertEquals(await get(target), ["GET", url, "1, 2"]);
  }
});

Deno.test("servers: the adapter prints nothing if a client leaves", async () => {
  using printed = errors();
  const source = silentStream();
  await using server = await start(
    "createServer(",
    ({ method }) =>
      method === "GET"
        ? sseResponse(source.stream)
        : new Response(null, { status: 204 }),
  );
  const sse = await connectSse(server.url);
  await source.pulled();
  await sse.close();
  await source.closed();
  // By the time of another answer, the error would have been printed.
  await fetch(server.url, { method: "POST" });
  assertEquals(printed.all, []);
});

Deno.test("servers: the Hono app appends on POST, and sends the messages on GET", async () => {
  const { app } = await runBlock("servers", "npm:hono");
  await using sse = await connectSse("http://localhost/news", {
    fetch: app.fetch,
  });
  const posted = await app.request("/news", { method: "POST", body: "Hello" });
  assertEquals(posted.status, 204);
  assertEquals(await dataOf(sse, 1), ["Hello"]);
});

Deno.test("servers: @hono/node-server runs the Hono app, and closes the source when the client leaves", async () => {
  const source = silentStream();
  const app = new Hono();
  app.get("*", () => sseResponse(source.stream));
  await using server = await listening(
    serve({
      fetch: app.fetch,
      hostname: "127.0.0.1",
      // Other tests use the global `Response` of Deno.
      overrideGlobalObjects: false,
      port: 0,
    }),
  );
  const sse = await deadline(connectSse(server.url), "the headers");
  await source.pulled();
  await sse.close();
  await source.closed();
});

Deno.test("servers: behind a body parser of Express, the adapter makes a request without a body", async () => {
  const { toNode } = await import(
    await program("servers", "export function toNode")
  );
  const app = express();
  app.use(express.text());
  app.post(
    "/news",
    (request, response) =>
      toNode(async (it: Request) =>
        Response.json([request.body, await it.text()])
      )(request, response),
  );
  await using server = await listening(app.listen(0, "127.0.0.1"));
  const response = await fetch(server.url, { method: "POST", body: "Hello" });
  assertEquals(await response.json(), ["Hello", ""]);
});

Deno.test("servers: in a plugin of Fastify, the other routes keep their body parsers", async () => {
  const { toNode } = await import(
    await program("servers", "export function toNode")
  );
  const app = fastify();
  app.register(async (plugin) => {
    plugin.removeAllContentTypeParsers();
    plugin.addContentTypeParser("*", (_request, _body, done) => done(null));
    plugin.all("/news", async (request, reply) => {
      reply.hijack();
      await toNode(async (it: Request) => new Response(await it.text()))(
        request.raw,
        reply.raw,
      );
    });
    await Promise.resolve();
  });
  app.post("/other", (request) => request.body);
  await app.listen({ port: 0, host: "127.0.0.1" });
  await using server = await listening(app.server);
  for (const path of ["/news", "/other"]) {
    const response = await fetch(new URL(path, server.url), {
      method: "POST",
      body: "Hello",
    });
    assertEquals(await response.text(), "Hello", path);
  }
});

Deno.test("servers: `export default { fetch: news }` is a program for `deno serve`", async () => {
  const { default: app } = await import(
    await program("servers", "export default { fetch: news }")
  );
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    app.fetch,
  );
  const url = `http://127.0.0.1:${server.addr.port}/news`;
  const posted = await fetch(url, { method: "POST", body: "Hello" });
  assertEquals(posted.status, 204);
  const sse = await connectSse(url);
  assertEquals(await dataOf(sse, 1), ["Hello"]);
  await sse.close();
  await server.shutdown();
});

Deno.test("servers: a generator is closed when the client leaves", async () => {
  const guide = await runBlock("servers", "clients++");
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    guide.handler,
  );
  const sse = await connectSse(`http://127.0.0.1:${server.addr.port}`);
  await dataOf(sse, 2);
  assertEquals(guide.clients, 1);
  await sse.close();
  const closed = async () => {
    while (guide.clients > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await deadline(closed(), "the generator to be closed");
  await server.shutdown();
});

Deno.test("servers: a generator that waits is closed when the client leaves", async () => {
  const upstream = new OpenResponse('data: {"price":1}\n\n');
  const { fetch } = globalThis;
  // Only the request of the guide's program.
  globalThis.fetch = (input, init) =>
    new Request(input).url === "https://example.com/trades"
      ? Promise.resolve(upstream.response)
      : fetch(input, init);
  try {
    const guide = await runBlock("servers", "following++");
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      guide.handler,
    );
    const sse = await connectSse(`http://127.0.0.1:${server.addr.port}`);
    assertEquals(await dataOf(sse, 1), ["1"]);
    assertEquals(guide.following, 1);
    await sse.close();
    await upstream.cancelled;
    await server.shutdown();
    assertEquals(guide.following, 0);
  } finally {
    globalThis.fetch = fetch;
  }
});

for (const text of ["Deno.addSignalListener", "createServer("]) {
  Deno.test({
    name:
      `servers: the program with ${text} ends its streams at SIGTERM and exits`,
    ignore: Deno.build.os === "windows",
    async fn() {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-config", "-A", "-"],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
        env: { NO_COLOR: "1" },
      }).spawn();
      const stdin = child.stdin.getWriter();
      const listen = text === "createServer("
        ? "console.log(server.address().port);\n"
        : "console.log(server.addr.port);\n";
      await stdin.write(
        new TextEncoder().encode(
          `import { server } from ${
            JSON.stringify(
              await program("servers", text, { exportServer: true }),
            )
          };\nif (server.once && !server.listening) ` +
            "await new Promise((resolve) => server.once('listening', resolve));\n" +
            listen,
        ),
      );
      await stdin.close();
      const stdout = child.stdout.pipeThrough(new TextDecoderStream())
        .getReader();
      let printed = "";
      while (!/\d+\n/.test(printed)) {
        const { value, done } = await deadline(stdout.read(), "the port", 20);
        assert(!done, "The program has ended");
        printed += value;
      }
      const port = printed.match(/(\d+)\n/)![1];
      const url = `http://127.0.0.1:${port}/news`;
      await fetch(url, { method: "POST", body: "1" });
      const sse = await connectSse(url);
      assertEquals(await dataOf(sse, 1), ["1"]);
      const rest = allData(sse);
      child.kill("SIGTERM");
      assertEquals(await deadline(rest, "the end of the stream"), []);
      const [stderr, { code }] = await deadline(
        Promise.all([new Response(child.stderr).text(), child.status]),
        "the program to exit",
      );
      await stdout.cancel();
      assertEquals(stderr, "");
      assertEquals(code, 0);
    },
  });
}
