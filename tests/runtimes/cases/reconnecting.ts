import { connectSse } from "../../../mod.ts";
import { assertEquals, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import type { Reply } from "../protocol.ts";
import { read, readAll, streamOf } from "../read.ts";
import { Stream } from "../stream.ts";

const [id] = ids;
const afterId = latin1OfUtf8(id);

/** Options to reconnect without delay. */
const fastReconnect = { reconnect: { initialDelay: 1, jitter: 0 } };

/** Options to reconnect with a delay longer than the case. */
const slowReconnect = { initialDelay: 60_000 };

export const reconnecting: Case[] = [
  {
    name: "connectSse reconnects with the last event ID after the body ends",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\nid: 2\ndata: cut o` },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, fastReconnect);
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
    name:
      "connectSse reconnects with the last event ID after a connection breaks",
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
        const sse = await connectSse(server.url, {
          ...fastReconnect,
          until: "[DONE]",
        });
        assertEquals(await read(sse), ["message", "a", id]);
        await server.breakConnections();
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
    name: "connectSse reconnects after idleTimeout and connectTimeout",
    async run(context) {
      const server = new Stream(context, [
        { silent: true },
        { body: "data: a\n\n", then: "hang" },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, {
        ...fastReconnect,
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
    name: "connectSse reconnects after status 503 and ends after status 204",
    async run(context) {
      const server = new Stream(context, [
        { status: 503, headers: { "retry-after": "0" } },
        { body: "data: a\n\n" },
        { status: 204 },
      ]);
      assertEquals(await readAll(await connectSse(server.url, fastReconnect)), [
        "a",
      ]);
      const { requests } = await server.log();
      assertEquals(requests.length, 3);
    },
  },
  {
    name: "connectSse does not reconnect after status 401",
    async run(context) {
      const server = new Stream(context, [{ status: 401 }]);
      const sse = await connectSse(server.url, fastReconnect);
      await sseError(sse.next(), "status");
      const { requests } = await server.log();
      assertEquals(requests.length, 1);
    },
  },
  {
    name: "connectSse repeats a POST with its whole body",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n` },
        { status: 204 },
      ]);
      const sse = await connectSse(server.url, {
        ...fastReconnect,
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
    name: "connectSse uses the server's `retry` as the reconnect delay",
    async run(context) {
      const server = new Stream(context, [
        { body: "retry: 7\n\n" },
        { status: 204 },
      ]);
      const delays: number[] = [];
      const sse = await connectSse(server.url, {
        reconnect: {
          ...slowReconnect,
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
    name: "connectSse rejects after maxAttempts if no server listens",
    async run(context) {
      const { cause } = await sseError(
        connectSse(context.closedOrigin, {
          reconnect: { ...fastReconnect.reconnect, maxAttempts: 2 },
        }),
        "reconnect-failed",
      );
      await sseError(Promise.reject(cause), "network");
    },
  },
  {
    name:
      "SseConnection.close() and abort end the reconnect delay and its timer",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }]);
      for (const by of ["close", "abort"]) {
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = Promise.withResolvers<void>();
        const reconnect = {
          ...slowReconnect,
          onReconnect: () => waiting.resolve(),
        };
        const sse = await connectSse(server.url, { reconnect, signal });
        await read(sse);
        const ended = sse.next().catch((reason) => ({ reason }));
        await waiting.promise;
        // The delay begins after `onReconnect`, and so during this round trip.
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
    name: "SseConnection.reconnect() opens another connection immediately",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n`, then: "hang" },
        { body: "data: b\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, { reconnect: slowReconnect });
      await read(sse);
      sse.reconnect();
      assertEquals(await read(sse), ["message", "b", id]);
      await sse.close();
      const { requests } = await server.log({ disconnects: 2 });
      assertEquals(requests[1].headers["last-event-id"], afterId);
    },
  },
  {
    name: "connectSse reconnects to another origin with the last event ID",
    browserOnly: true,
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n` },
        { body: "data: b\n\n", then: "hang" },
      ], context.crossOrigin);
      const sse = await connectSse(server.url, fastReconnect);
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
