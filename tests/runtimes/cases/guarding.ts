import { connectSse, sseFetch } from "../../../mod.ts";
import { assert, assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, read, readAll } from "../read.ts";
import { Stream } from "../stream.ts";

const isEnd = ({ event }: { event: string }) => event === "end";

export const guarding: Case[] = [
  {
    name: "sseFetch passes a complete stream on, and closes it at the end",
    async run(context) {
      const text = "data: a\n\n: c\n\nevent: end\ndata: b\n\n";
      const server = new Stream(context, [{ body: text, then: "hang" }]);
      const response = await sseFetch({ until: isEnd })(server.url);
      assertEquals(response.url, server.url);
      assertEquals(response.headers.get("content-type"), "text/event-stream");
      assertEquals(await response.text(), text);
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "sseFetch fails if a stream is cut off, stalls or is none",
    async run(context) {
      const cut = new Stream(context, [{ body: "data: a\n\ndata: half" }]);
      const guarded = sseFetch({ until: isEnd, idleTimeout: 300 });
      // Not `text()`, whose error in Chromium is always a `TypeError`.
      const read = async ({ url }: Stream) => {
        const { body } = await guarded(url);
        return await drain(body!);
      };
      await sseError(read(cut), "truncated");
      const silent = new Stream(context, [{
        body: "data: a\n\n",
        then: "hang",
      }]);
      await sseError(read(silent), "idle-timeout");
      await silent.log({ disconnects: 1 });
      const json = new Stream(context, [{ body: '{"error":"No"}' }]);
      await sseError(read(json), "malformed");
    },
  },
  {
    name: "sseFetch sends the request as it is, and returns JSON unchanged",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": "application/json" },
        body: '{"a":1}',
      }]);
      const response = await sseFetch()(server.url, {
        method: "POST",
        headers: { "x-key": "k", "content-type": "text/plain" },
        body: "ask",
      });
      assertEquals(await response.json(), { a: 1 });
      const { requests: [{ method, headers, body }] } = await server.log();
      assertEquals([method, headers["x-key"], body], ["POST", "k", "ask"]);
      assertEquals("last-event-id" in headers, false);
    },
  },
  {
    name:
      "sseFetch sends a given Request, with and without a fetch of the caller",
    async run(context) {
      const ownFetch = (request: Request) => fetch(request);
      for (const options of [{}, { fetch: ownFetch }]) {
        const server = new Stream(context, [{}]);
        const request = new Request(server.url, {
          method: "PUT",
          headers: { "x-key": "k" },
          body: "ask",
        });
        await (await sseFetch(options)(request)).text();
        const { requests: [{ method, headers, body }] } = await server.log();
        assertEquals([method, headers["x-key"], body], ["PUT", "k", "ask"]);
      }
    },
  },
  {
    name: "sseFetch passes an abort on, before and after the headers",
    async run(context) {
      const silent = new Stream(context, [{ silent: true }]);
      const abort = new AbortController();
      const sent = sseFetch()(silent.url, { signal: abort.signal });
      const rejected = rejection(sent);
      await silent.log({ requests: 1 });
      abort.abort();
      assertEquals((await rejected as Error).name, "AbortError");
      await silent.log({ disconnects: 1 });

      const open = new Stream(context, [{ body: "data: a\n\n", then: "hang" }]);
      const other = new AbortController();
      const { signal } = other;
      const response = await sseFetch()(open.url, { signal });
      const reader = response.body!.getReader();
      await reader.read();
      const failed = rejection(reader.read());
      other.abort();
      assertEquals((await failed as Error).name, "AbortError");
      await open.log({ disconnects: 1 });
    },
  },
  {
    name: "connectSse takes a Request as its options, as fetch does",
    async run(context) {
      // A browser sends a stream as the body only over HTTP/2. With `reconnect`,
      // the body is read first.
      for (const reconnect of context.browser ? [true] : [false, true]) {
        const server = new Stream(context, [{ body: "data: a\n\n" }]);
        const request = new Request(server.url, {
          method: "POST",
          headers: { "x-key": "k", "content-type": "text/plain" },
          body: "ask",
        });
        const options = Object.defineProperty(request, "reconnect", {
          value: reconnect,
        });
        const sse = await connectSse(server.url, options);
        assertEquals(await read(sse), ["message", "a", ""]);
        await sse.close();
        const { requests: [{ method, headers, body }] } = await server.log();
        assertEquals([method, headers["x-key"], body], ["POST", "k", "ask"]);
        assertEquals(headers["cache-control"], "no-cache");
      }
    },
  },
  {
    name: "connectSse takes getters of a class as its options",
    async run(context) {
      class Options {
        readonly #method = "POST";
        get method() {
          return this.#method;
        }
        get body() {
          return "ask";
        }
      }
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const sse = await connectSse(server.url, new Options());
      assertEquals(await readAll(sse), ["a"]);
      const { requests: [{ method, body }] } = await server.log();
      assertEquals([method, body], ["POST", "ask"]);
    },
  },
  {
    name: "SseConnection returns an unfinished last event that meets `until`",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\nevent: end\ndata: b",
      }]);
      const sse = await connectSse(server.url, { until: isEnd });
      assertEquals(await readAll(sse), ["a", "b"]);
      assertEquals(sse.state, "closed");
    },
  },
  {
    name: "SseConnection.reconnect(error) reconnects, and state shows it",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\n", then: "hang" },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, {
        reconnect: { initialDelay: 0 },
      });
      assertEquals((await read(sse))?.[1], "a");
      assertEquals(sse.state, "open");
      sse.reconnect(new Error("overloaded"));
      assertEquals(sse.state, "connecting");
      assertEquals((await read(sse))?.[1], "b");
      await sse.close();
      assert(sse.state === "closed", "Expected it to be closed");
    },
  },
  {
    name: "a failed request tells its reason, also of several addresses",
    async run(context) {
      const error = await sseError(
        connectSse(context.closedOrigin.replace("127.0.0.1", "localhost")),
        "network",
      );
      assert(!/: $/.test(error.message), error.message);
      assert(/arrived: ./.test(error.message), error.message);
    },
  },
];
