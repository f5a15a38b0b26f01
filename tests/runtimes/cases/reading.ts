import { connectSse, readSse, SseEventStream } from "../../../mod.ts";
import { assert, assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import { Stream } from "../stream.ts";
import { read, readAll } from "../read.ts";

export const reading: Case[] = [
  {
    name: "events are read as they come",
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
    name: "the end of the body is the end",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\ndata: b\n\ndata: cut o",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["a", "b"]);
    },
  },
  {
    name: "the body of fetch goes through SseEventStream",
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
    name: "a gzipped stream is read",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-encoding": "gzip" },
        body: "data: zipped\n\n",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["zipped"]);
    },
  },
  {
    name: "the request asks for events that no cache holds",
    async run(context) {
      const server = new Stream(context, [{}]);
      await connectSse(server.url).then(readAll);
      const { requests: [{ method, headers }] } = await server.log();
      assertEquals(method, "GET");
      assertEquals(headers["accept"], "text/event-stream");
      assertEquals(
        headers["cache-control"],
        // The one is sent for the cache mode, the other costs no preflight.
        context.browser ? "no-cache" : "no-store",
      );
      assertEquals("last-event-id" in headers, false);
    },
  },
  {
    name: "a POST carries the caller's headers and body",
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
    name: "a Request is taken as it is, and options on top of it",
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
    name: "Last-Event-ID carries the id's UTF-8 bytes",
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
    name: "a redirect is followed",
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
    name:
      "a status outside 2xx is an error that quotes the body, and is let go of",
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
      "another content type is an error that quotes the body, unless any will do",
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
    name: "a refused response can be read before the first event is asked for",
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
    name: "readSse reads a response and a stream that fetch gave",
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
    name: "comments come in order with the events of their chunk",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: 1\n\n:c1\n\ndata: 2\n\n:c2\n\n" },
      ]);
      const heard: string[] = [];
      const sse = await connectSse(server.url, {
        onComment: (comment) => void heard.push(comment),
      });
      for await (const { data } of sse) heard.push(data);
      assertEquals(heard, ["1", "c1", "2", "c2"]);
    },
  },
  {
    name: "eventTimeout ends the wait for events while comments go on",
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
    name: "a last event without a blank line meets `until`",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\ndata: [DONE]" },
      ]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      assertEquals(await readAll(sse), ["a"]);
    },
  },
  {
    name: "a user and a password in the URL reach the server as a header",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const url = server.url.replace("//", "//user:p%40ss@");
      assertEquals(await readAll(await connectSse(url)), ["a"]);
      const { requests: [{ headers }] } = await server.log();
      assertEquals(headers["authorization"], `Basic ${btoa("user:p@ss")}`);
    },
  },
  {
    name: "the content type may have a charset and any case",
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": "Text/Event-Stream; Charset=ISO-8859-1" },
        body: "data: é☃\n\n",
      }]);
      assertEquals(await readAll(await connectSse(server.url)), ["é☃"]);
    },
  },
  {
    name: "204 is an end without events",
    async run(context) {
      const server = new Stream(context, [{ status: 204 }]);
      assertEquals(await readAll(await connectSse(server.url)), []);
    },
  },
  {
    name: "a server that cannot be reached is an SseError with its cause",
    async run(context) {
      const { cause } = await sseError(
        connectSse(context.closedOrigin),
        "network",
      );
      assert(cause !== undefined, "Expected a cause");
    },
  },
  {
    name: "`break` is seen by the server",
    async run(context) {
      const server = new Stream(context, [open]);
      for await (const event of await connectSse(server.url)) {
        assertEquals(event.data, "a");
        break;
      }
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "close() is seen by the server and ends a pending next()",
    async run(context) {
      const server = new Stream(context, [open]);
      const sse = await connectSse(server.url);
      await read(sse);
      const pending = sse.next();
      await sse.close();
      assertEquals(await pending, { done: true, value: undefined });
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "`await using` closes, also before the first event",
    async run(context) {
      const server = new Stream(context, [open]);
      const sse = await connectSse(server.url);
      // What the syntax calls, which not every runtime here can parse.
      await sse[Symbol.asyncDispose]();
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "abort before the headers rejects with its reason",
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
    name: "abort in mid-stream rejects with its reason",
    async run(context) {
      const server = new Stream(context, [open]);
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
    name: "connectTimeout ends the wait for headers",
    async run(context) {
      const server = new Stream(context, [{ silent: true }]);
      const options = { connectTimeout: 100 };
      await sseError(connectSse(server.url, options), "connect-timeout");
      await server.log({ disconnects: 1 });
    },
  },
  {
    name: "idleTimeout ends the wait for events",
    async run(context) {
      const server = new Stream(context, [open]);
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
    name: "an end before `until` is an error",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      await read(sse);
      await sseError(sse.next(), "truncated");
    },
  },
  {
    name: "a body cut or reset in the middle is an error with its cause",
    async run(context) {
      for (const then of ["cut", "reset"] as const) {
        const server = new Stream(context, [{
          body: "data: a\n\ndata: b",
          then,
        }]);
        const sse = await connectSse(server.url);
        await read(sse);
        await server.go();
        const { cause } = await sseError(sse.next(), "network");
        assert(cause !== undefined, `Expected a cause after a ${then}`);
      }
    },
  },
  {
    name: "a reset of a body without framing is an error given `until`",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: a\n\n",
        bare: true,
        then: "reset",
      }]);
      const sse = await connectSse(server.url, { until: "[DONE]" });
      await read(sse);
      await server.go();
      // Some runtimes take the reset for the body's end.
      await sseError(sse.next(), "network", "truncated");
    },
  },
  {
    name: "maxEventSize ends an endless event and its connection",
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
    name: "a handler is read in process through `fetch`",
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
    name: "a plain GET to another origin needs no preflight",
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
    name: "an id sent to another origin asks for Last-Event-ID alone",
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
const open = { body: "data: a\n\n", then: "hang" } as const;
