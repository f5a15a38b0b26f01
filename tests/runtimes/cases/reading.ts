import { connectSse, readSse, SseEventStream } from "../../../mod.ts";
import { assert, assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import { Stream } from "../stream.ts";
import { read, readAll } from "../read.ts";

export const reading: Case[] = [
  {
    name: "SseConnection reads events of a stream that stays open",
    async run(context) {
      const server = new Stream(context, [{
        body: "id: 1\ndata: a\n\nevent: b\ndata: b\n\n",
        then: "hang",
      }]);
      const sse = await connectSse(server.url);
      assertEquals(sse.response.status, 200);
      assertEquals(await read(sse), ["message", "a", "1"]);
      assertEquals(await read(sse), ["b", "b", "1"]);
      assertEquals(sse.lastEventId, "1");
      await sse.close();
    },
  },
  {
    name:
      "SseConnection ends at the end of the body and drops an unfinished event",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\ndata: b\n\ndata: cut o",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["a", "b"]);
    },
  },
  {
    name: "SseEventStream reads the body of a fetch response",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\ndata: b\n\n" }]);
      const { body } = await fetch(server.url);
      const reader = body!.pipeThrough(new SseEventStream()).getReader();
      assertEquals((await reader.read()).value?.data, "a");
      assertEquals((await reader.read()).value?.data, "b");
      assertEquals((await reader.read()).done, true);
    },
  },
  {
    name: "connectSse reads a gzip-encoded stream",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-encoding": "gzip" },
        body: "data: zipped\n\n",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["zipped"]);
    },
  },
  {
    name:
      "connectSse sends a GET request for an event stream that bypasses caches",
    async run(context) {
      const server = new Stream(context, [{}]);
      await connectSse(server.url).then(readAll);
      const { requests: [{ method, headers }] } = await server.log();
      assertEquals(method, "GET");
      assertEquals(headers["accept"], "text/event-stream");
      assertEquals(
        headers["cache-control"],
        // In a browser, the option `cache` sends "no-cache" and needs no preflight.
        "no-cache",
      );
      assertEquals("last-event-id" in headers, false);
    },
  },
  {
    name: "connectSse sends the caller's headers and body with a POST",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const sse = await connectSse(server.url, {
        method: "POST",
        headers: {
          "Accept": "application/json, text/event-stream",
          "Authorization": "Bearer secret",
          "Content-Type": "application/json",
        },
        body: '{"prompt":"☃"}',
      });
      assertEquals(await readAll(sse), ["a"]);
      const { requests: [{ method, headers, body }] } = await server.log();
      assertEquals(method, "POST");
      assertEquals(headers["accept"], "application/json, text/event-stream");
      assertEquals(headers["authorization"], "Bearer secret");
      assertEquals(headers["content-type"], "application/json");
      assertEquals(body, '{"prompt":"☃"}');
    },
  },
  {
    name:
      "connectSse sends the given Request, and options override its headers",
    async run(context) {
      const server = new Stream(context, [{}]);
      const request = new Request(server.url, {
        method: "PUT",
        headers: { "X-One": "1", "X-Two": "1" },
        body: "whole",
      });
      const headers = { "X-Two": "2" };
      await connectSse(request, { headers }).then(readAll);
      const { requests: [seen] } = await server.log();
      assertEquals([seen.method, seen.body], ["PUT", "whole"]);
      assertEquals(seen.headers["x-two"], "2");
    },
  },
  {
    name: "connectSse sends lastEventId as UTF-8 bytes in Last-Event-ID",
    async run(context) {
      for (const id of ids) {
        const server = new Stream(context, [{ body: "data: a\n\n" }]);
        const sse = await connectSse(server.url, { lastEventId: id });
        assertEquals(await read(sse), ["message", "a", id]);
        await sse.close();
        const { requests: [{ headers }] } = await server.log();
        assertEquals(headers["last-event-id"], latin1OfUtf8(id), `of ${id}`);
      }
    },
  },
  {
    name: "connectSse follows a redirect",
    async run(context) {
      const target = new Stream(context, [{ body: "data: there\n\n" }]);
      const server = new Stream(context, [{
        status: 302,
        headers: { location: target.url },
      }]);
      const sse = await connectSse(server.url);
      assertEquals(sse.response.redirected, true);
      assertEquals(await readAll(sse), ["there"]);
    },
  },
  {
    name: "SseConnection.next() rejects with the body if the status is not 2xx",
    async run(context) {
      const server = new Stream(context, [{
        status: 401,
        body: "Who are you?",
        then: "hang",
      }]);
      const sse = await connectSse(server.url);
      assertEquals(sse.response.status, 401);
      const { message, body } = await sseError(sse.next(), "status");
      assertEquals(body, "Who are you?");
      assert(message.endsWith(": Who are you?"), message);
      await server.log({ disconnects: 1 });
      assertEquals(await sse.next(), { done: true, value: undefined });
    },
  },
  {
    name:
      "SseConnection.next() rejects a wrong content type without anyContentType",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": "text/html" },
        body: "data: <h1>Log in</h1>\n\n",
      }]);
      const sse = await connectSse(server.url);
      const { body } = await sseError(sse.next(), "content-type");
      assertEquals(body, "data: <h1>Log in</h1>\n\n");
      const any = await connectSse(server.url, { anyContentType: true });
      assertEquals(await readAll(any), ["<h1>Log in</h1>"]);
    },
  },
  {
    name: "SseConnection.response has a readable body before next() rejects",
    async run(context) {
      const server = new Stream(context, [{ status: 401, body: "Who?" }]);
      for (const reconnect of [false, true]) {
        const sse = await connectSse(server.url, { reconnect });
        assertEquals(await sse.response.text(), "Who?");
        await sseError(sse.next(), "status");
      }
    },
  },
  {
    name: "readSse reads a fetch response and its body stream",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\ndata: [DONE]\n\n", then: "hang" },
      ]);
      const response = await fetch(server.url);
      const sse = readSse(response, { until: "[DONE]" });
      assertEquals(await readAll(sse), ["a"]);
      await server.log({ disconnects: 1 });
      const { body } = await fetch(server.url);
      const stream = readSse(body!, { until: "[DONE]" });
      assertEquals(await readAll(stream), ["a"]);
      await server.log({ disconnects: 2 });
    },
  },
  {
    name: "connectSse calls onComment in order with the events of a chunk",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: 1\n\n:c1\n\ndata: 2\n\n:c2\n\n" },
      ]);
      const order: string[] = [];
      const sse = await connectSse(server.url, {
        onComment: (comment) => void order.push(comment),
      });
      for await (const { data } of sse) order.push(data);
      assertEquals(order, ["1", "c1", "2", "c2"]);
    },
  },
  {
    name: "SseConnection.next() rejects after eventTimeout if no event arrives",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\n: alive\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, { eventTimeout: 500 });
      await read(sse);
      await sseError(sse.next(), "event-timeout");
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "`until` matches a last event without a blank line",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\ndata: [DONE]" },
      ]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      assertEquals(await readAll(sse), ["a"]);
    },
  },
  {
    name: "connectSse leaves the user and the password of a URL to fetch",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const url = server.url.replace("//", "//user:s3cr3t@");
      const message = await connectSse(url).then(readAll).then(
        () => "",
        ({ message }) => message,
      );
      const { requests } = await server.log();
      const sent = requests.map(({ headers }) => headers["authorization"]);
      // workerd ignores them, Deno and Bun send them, and all others refuse them.
      const header = context.runtime.startsWith("workerd")
        ? undefined
        : `Basic ${btoa("user:s3cr3t")}`;
      assertEquals(sent, message ? [] : [header]);
      assertEquals(message.includes("s3cr3t"), false, message);
    },
  },
  {
    name: "connectSse accepts a content type with a charset and in any case",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": "Text/Event-Stream; Charset=ISO-8859-1" },
        body: "data: é☃\n\n",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["é☃"]);
    },
  },
  {
    name: "SseConnection ends without events after status 204",
    async run(context) {
      const server = new Stream(context, [{ status: 204 }]);
      assertEquals(await readAll(await connectSse(server.url)), []);
    },
  },
  {
    name:
      "connectSse rejects with an SseError and its cause if no server listens",
    async run(context) {
      const { cause } = await sseError(
        connectSse(context.closedOrigin),
        "network",
      );
      assert(cause !== undefined, "Expected a cause");
    },
  },
  {
    name: "SseConnection disconnects if the loop is left",
    async run(context) {
      const server = new Stream(context, [openReply]);
      for await (const event of await connectSse(server.url)) {
        assertEquals(event.data, "a");
        break;
      }
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "SseConnection.close() disconnects and ends a pending next()",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const sse = await connectSse(server.url);
      await read(sse);
      const pending = sse.next();
      await sse.close();
      assertEquals(await pending, { done: true, value: undefined });
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "SseConnection disconnects if it is disposed before the first event",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const sse = await connectSse(server.url);
      // `await using` calls this method, but some of these runtimes cannot parse it.
      await sse[Symbol.asyncDispose]();
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "connectSse rejects with the signal's reason after an abort",
    async run(context) {
      const server = new Stream(context, [{ silent: true }]);
      const controller = new AbortController();
      const connecting = connectSse(server.url, { signal: controller.signal });
      const rejected = rejection(connecting);
      await server.log({ requests: 1 });
      const reason = new Error("enough");
      controller.abort(reason);
      assert(await rejected === reason, `Expected ${reason}`);
      await server.log({ disconnects: 1 });
    },
  },
  {
    name:
      "SseConnection.next() rejects with the signal's reason after an abort",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const controller = new AbortController();
      const { signal } = controller;
      const sse = await connectSse(server.url, { signal });
      await read(sse);
      const rejected = rejection(sse.next());
      const reason = new Error("enough");
      controller.abort(reason);
      assert(await rejected === reason, `Expected ${reason}`);
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "connectSse rejects after connectTimeout if no headers arrive",
    async run(context) {
      const server = new Stream(context, [{ silent: true }]);
      const options = { connectTimeout: 100 };
      await sseError(connectSse(server.url, options), "connect-timeout");
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "SseConnection.next() rejects after idleTimeout if no data arrives",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const sse = await connectSse(server.url, { idleTimeout: 500 });
      await read(sse);
      await sseError(sse.next(), "idle-timeout");
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "`until` ends the stream and closes the connection",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\ndata: [DONE]\n\n",
        then: "hang",
      }]);
      const byData = await connectSse(server.url, { until: "[DONE]" });
      assertEquals(await readAll(byData), ["a"]);
      await server.log({ disconnects: 1 });
      const byEvent = await connectSse(server.url, {
        until: ({ data }) => data === "[DONE]",
      });
      assertEquals(await readAll(byEvent), ["a", "[DONE]"]);
      await server.log({ disconnects: 2 });
    },
  },
  {
    name:
      "SseConnection.next() rejects if the stream ends before `until` matches",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      await read(sse);
      await sseError(sse.next(), "truncated");
    },
  },
  {
    name: "SseConnection.next() rejects with a cause after a connection breaks",
    async run(context) {
      for (const then of ["cut", "reset"] as const) {
        const server = new Stream(context, [{
          body: "data: a\n\ndata: b",
          then,
        }]);
        const sse = await connectSse(server.url);
        await read(sse);
        await server.breakConnections();
        const { cause } = await sseError(sse.next(), "network");
        assert(cause !== undefined, `Expected a cause after a ${then}`);
      }
    },
  },
  {
    name:
      "SseConnection.next() rejects if an unframed body is reset before `until`",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\n",
        bare: true,
        then: "reset",
      }]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      await read(sse);
      await server.breakConnections();
      // Some runtimes treat the reset as the end of the body.
      await sseError(sse.next(), "network", "truncated");
    },
  },
  {
    name: "SseConnection.next() rejects and disconnects above maxEventSize",
    async run(context) {
      const server = new Stream(context, [{
        body: `data: a\n\ndata: ${"x".repeat(1000)}`,
        then: "hang",
      }]);
      const sse = await connectSse(server.url, { maxEventSize: 100 });
      await read(sse);
      await sseError(sse.next(), "event-too-large");
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "connectSse reads the response of an in-process `fetch`",
    async run() {
      const handler = async (request: Request) =>
        new Response(`id: 1\ndata: ${await request.text()}\n\n`, {
          headers: { "content-type": "text/event-stream" },
        });
      const sse = await connectSse("http://localhost/", {
        fetch: handler,
        method: "POST",
        body: "in process",
      });
      assertEquals(await readAll(sse), ["in process"]);
    },
  },
  {
    name: "connectSse sends a GET to another origin without a preflight",
    browserOnly: true,
    async run(context) {
      const server = new Stream(
        context,
        [{ body: "data: a\n\n" }],
        context.crossOrigin,
      );
      assertEquals(await readAll(await connectSse(server.url)), ["a"]);
      const { requests, preflights } = await server.log();
      assertEquals(requests.length, 1);
      assertEquals(requests[0].headers["origin"], context.origin);
      assertEquals(preflights, []);
    },
  },
  {
    name:
      "connectSse needs a preflight only for Last-Event-ID at another origin",
    browserOnly: true,
    async run(context) {
      const server = new Stream(context, [{}], context.crossOrigin);
      const options = { lastEventId: ids[0] };
      await connectSse(server.url, options).then(readAll);
      const { requests: [{ headers }], preflights } = await server.log();
      assertEquals(headers["last-event-id"], latin1OfUtf8(ids[0]));
      assertEquals(preflights, ["last-event-id"]);
    },
  },
];

/** A stream of one event that stays open. */
const openReply = { body: "data: a\n\n", then: "hang" } as const;
