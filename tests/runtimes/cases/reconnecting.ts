import { connectSse } from "../../../mod.ts";
import { assertEquals, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import type { Reply } from "../protocol.ts";
import { read, readAll, streamOf } from "../read.ts";
import { Stream } from "../stream.ts";

const [id] = ids;
const afterId = latin1OfUtf8(id);

/** Options of a client that does not wait. */
const soon = { reconnect: { initialDelay: 1, jitter: 0 } };

/** Options of a client that waits until the case is over. */
const never = { initialDelay: 60_000 };

export const reconnecting: Case[] = [
  {
    name: "after the end of the body the next connection has the id's bytes",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\nid: 2\ndata: cut o` },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, soon);
      assertEquals(await read(sse), ["message", "a", id]);
      assertEquals(await read(sse), ["message", "b", id]);
      await sse.close();
      const { requests } = await server.log({ disconnects: 1 });
      assertEquals(
        requests.map(({ headers }) => headers["last-event-id"]),
        [undefined, afterId],
      );
    },
  },
  {
    name: "after a cut or a reset the next connection has the id's bytes",
    async run(context) {
      const ends: Reply[] = [
        { then: "cut" },
        { then: "reset" },
        { then: "reset", bare: true },
      ];
      for (const end of ends) {
        const server = new Stream(context, [
          { body: `id: ${id}\ndata: a\n\nid: 2\ndata: cut o`, ...end },
          { body: "data: b\n\ndata: [DONE]\n\n", then: "hang" },
        ]);
        const sse = await connectSse(server.url, { ...soon, until: "[DONE]" });
        assertEquals(await read(sse), ["message", "a", id]);
        await server.go();
        assertEquals(await readAll(sse), ["b"]);
        const { requests } = await server.log({ disconnects: 1 });
        assertEquals(
          requests.map(({ headers }) => headers["last-event-id"]),
          [undefined, afterId],
        );
      }
    },
  },
  {
    name: "idleTimeout and connectTimeout reconnect",
    async run(context) {
      const server = new Stream(context, [
        { silent: true },
        { body: "data: a\n\n", then: "hang" },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, {
        ...soon,
        connectTimeout: 500,
        idleTimeout: 500,
      });
      assertEquals(await read(sse), ["message", "a", ""]);
      assertEquals(await read(sse), ["message", "b", ""]);
      await sse.close();
      await server.log({ disconnects: 3 });
    },
  },
  {
    name: "503 reconnects, and 204 ends it",
    async run(context) {
      const server = new Stream(context, [
        { status: 503, headers: { "retry-after": "0" } },
        { body: "data: a\n\n" },
        { status: 204 },
      ]);
      assertEquals(await readAll(await connectSse(server.url, soon)), ["a"]);
      const { requests } = await server.log();
      assertEquals(requests.length, 3);
    },
  },
  {
    name: "401 does not reconnect",
    async run(context) {
      const server = new Stream(context, [{ status: 401 }]);
      const sse = await connectSse(server.url, soon);
      await sseError(sse.next(), "status");
      const { requests } = await server.log();
      assertEquals(requests.length, 1);
    },
  },
  {
    name: "a POST is sent whole again",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n` },
        { status: 204 },
      ]);
      const sse = await connectSse(server.url, {
        ...soon,
        method: "POST",
        headers: { "Authorization": "Bearer secret" },
        body: streamOfBytes("☃", "🎉"),
      });
      assertEquals(await readAll(sse), ["a"]);
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ method, headers, body }) => [
          method,
          headers["authorization"],
          headers["last-event-id"],
          body,
        ]),
        [
          ["POST", "Bearer secret", undefined, "☃🎉"],
          ["POST", "Bearer secret", afterId, "☃🎉"],
        ],
      );
    },
  },
  {
    name: "the server's `retry:` is the delay",
    async run(context) {
      const server = new Stream(context, [
        { body: "retry: 7\n\n" },
        { status: 204 },
      ]);
      const delays: number[] = [];
      const sse = await connectSse(server.url, {
        reconnect: {
          ...never,
          jitter: 0,
          onReconnect: ({ delay }) => void delays.push(delay),
        },
      });
      assertEquals(await readAll(sse), []);
      assertEquals(sse.reconnectionTime, 7);
      assertEquals(delays, [7]);
    },
  },
  {
    name: "attempts that nobody answers are used up",
    async run(context) {
      const { cause } = await sseError(
        connectSse(context.closedOrigin, {
          reconnect: { ...soon.reconnect, maxAttempts: 2 },
        }),
        "reconnect-failed",
      );
      await sseError(Promise.reject(cause), "network");
    },
  },
  {
    name: "close() and abort end the wait, and leave no timer",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      for (const by of ["close", "abort"]) {
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = Promise.withResolvers<void>();
        const reconnect = { ...never, onReconnect: () => waiting.resolve() };
        const sse = await connectSse(server.url, { reconnect, signal });
        await read(sse);
        const ended = sse.next().catch((reason) => ({ reason }));
        await waiting.promise;
        // The wait begins after that call: a round trip later it is under way.
        await server.log();
        if (by === "close") {
          await sse.close();
          assertEquals(await ended, { done: true, value: undefined });
        } else {
          controller.abort("enough");
          assertEquals(await ended, { reason: "enough" });
        }
      }
      const { requests } = await server.log();
      assertEquals(requests.length, 2);
    },
  },
  {
    name: "reconnect() opens another connection at once",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n`, then: "hang" },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, { reconnect: never });
      await read(sse);
      sse.reconnect();
      assertEquals(await read(sse), ["message", "b", id]);
      await sse.close();
      const { requests } = await server.log({ disconnects: 2 });
      assertEquals(requests[1].headers["last-event-id"], afterId);
    },
  },
  {
    name: "a reconnect to another origin has the id's bytes",
    browserOnly: true,
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n` },
        { body: "data: b\n\n", then: "hang" },
      ], context.crossOrigin);
      const sse = await connectSse(server.url, soon);
      await read(sse);
      await read(sse);
      await sse.close();
      const { requests, preflights } = await server.log({ disconnects: 1 });
      assertEquals(requests[1].headers["last-event-id"], afterId);
      assertEquals(preflights, ["last-event-id"]);
    },
  },
];

function streamOfBytes(...texts: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return streamOf(texts.map((text) => encoder.encode(text)));
}
