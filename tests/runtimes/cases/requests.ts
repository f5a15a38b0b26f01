/** The requests of each attempt, and failures that are not retried. */
import { connectSse, type ConnectSseOptions, SseError } from "../../../mod.ts";
import { assert, assertEquals, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import { read, readAll } from "../read.ts";
import { Stream } from "../stream.ts";

const [id] = ids;

/** Options to reconnect without delay. */
const fastReconnect = { initialDelay: 1, jitter: 0, maxDelay: 1 };

export const requests: Case[] = [
  {
    name:
      "connectSse reconnects with a new token and the last event ID after 401",
    async run(context) {
      const server = new Stream(context, [
        { body: `id: ${id}\ndata: a\n\n` },
        { status: 401, body: "expired" },
        { body: "data: b\n\ndata: [DONE]\n\n" },
      ]);
      let token = 1;
      const sse = await connectSse(({ error }) => {
        if (error?.response?.status === 401) token++;
        return new Request(server.url, {
          headers: { Authorization: `Bearer ${token}` },
        });
      }, {
        until: "[DONE]",
        reconnect: {
          ...fastReconnect,
          shouldReconnect: ({ response }) =>
            response?.status === 401 || undefined,
        },
      });
      assertEquals(await readAll(sse), ["a", "b"]);
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ headers }) => [
          headers["authorization"],
          headers["last-event-id"],
        ]),
        [
          ["Bearer 1", undefined],
          ["Bearer 1", latin1OfUtf8(id)],
          ["Bearer 2", latin1OfUtf8(id)],
        ],
      );
    },
  },
  {
    name: "connectSse accepts another URL for each attempt",
    async run(context) {
      const first = new Stream(context, [{ body: "id: 1\ndata: a\n\n" }]);
      const second = new Stream(context, [
        { body: "data: b\n\ndata: [DONE]\n\n" },
      ]);
      const sse = await connectSse(
        ({ attempt }) => attempt === 0 ? first.url : new URL(second.url),
        { until: "[DONE]", reconnect: fastReconnect },
      );
      assertEquals(await readAll(sse), ["a", "b"]);
      const { requests: [{ headers }] } = await second.log();
      assertEquals(headers["last-event-id"], "1");
    },
  },
  {
    name:
      "connectSse continues a POST with GET requests and does not repeat it",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n" },
        { body: "id: 2\ndata: b\n\n" },
        { body: "data: [DONE]\n\n" },
      ]);
      const sse = await connectSse(
        ({ attempt }) =>
          attempt === 0
            ? new Request(server.url, { method: "POST", body: "ask" })
            : server.url,
        { until: "[DONE]", reconnect: fastReconnect },
      );
      assertEquals(await readAll(sse), ["a", "b"]);
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ method, headers, body }) => [
          method,
          headers["last-event-id"],
          body,
        ]),
        [
          ["POST", undefined, "ask"],
          ["GET", "1", ""],
          ["GET", "2", ""],
        ],
      );
    },
  },
  {
    name: "connectSse resolves with the first response that is not retried",
    async run(context) {
      const server = new Stream(context, [
        { status: 503, headers: { "retry-after": "0" } },
        { status: 429, headers: { "retry-after": "0" } },
        { body: "data: a\n\n", then: "hang" },
      ]);
      const sse = await connectSse(server.url, { reconnect: fastReconnect });
      assertEquals(sse.response.status, 200);
      assertEquals(await read(sse), ["message", "a", ""]);
      await sse.close();
      const { requests } = await server.log({ disconnects: 1 });
      assertEquals(requests.length, 3);
    },
  },
  {
    name: "connectSse calls onOpen for each response that is an event stream",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\n" },
        { status: 503 },
        { body: "data: b\n\n" },
        { status: 204 },
      ]);
      const opened: number[] = [];
      const sse = await connectSse(server.url, {
        reconnect: fastReconnect,
        onOpen: ({ status }) => void opened.push(status),
      });
      assertEquals(await readAll(sse), ["a", "b"]);
      assertEquals(opened, [200, 200]);
    },
  },
  {
    name: "connectSse does not retry a redirect loop forever",
    async run(context) {
      let attempts = 0;
      const connecting = connectSse(`${context.origin}/loop`, {
        fetch: (request) => (attempts++, fetch(request)),
        reconnect: { ...fastReconnect, maxAttempts: 3 },
      });
      // In browsers, it cannot be distinguished from a network error.
      const code = context.browser ? "reconnect-failed" : "network";
      await sseError(connecting, code);
      assertEquals(attempts, context.browser ? 4 : 1);
    },
  },
  {
    name: "connectSse does not retry if `fetch` does not support a Request",
    async run(context) {
      let attempts = 0;
      const error = await sseError(
        connectSse(context.origin, {
          fetch(request) {
            attempts++;
            // A fetch that does not support a Request converts it to a string.
            return fetch(new URL(String(request)));
          },
          reconnect: { ...fastReconnect, maxAttempts: 3 },
        }),
        "network",
      );
      assert(error.cause !== undefined, "Expected a cause");
      assertEquals(attempts, 1);
    },
  },
  {
    name: "connectSse passes `dispatcher` to Node's fetch",
    nodeOnly: true,
    async run(context) {
      const dispatcher = {
        dispatch() {
          throw new Error("It is asked");
        },
      };
      const { message } = await sseError(
        connectSse(context.origin, { dispatcher }),
        "network",
      );
      assert(message.endsWith("It is asked"), message);
    },
  },
  {
    name: "connectSse stops reconnecting if the last event ID cannot be sent",
    async run(context) {
      for (const id of ["x".repeat(9000), "\u2603".repeat(3000), "a\x01b"]) {
        const body = `id: ${id}\ndata: a\n\n`;
        const sse = await connectSse(context.origin, {
          reconnect: fastReconnect,
          fetch: () =>
            new Response(body, {
              headers: { "content-type": "text/event-stream" },
            }),
        });
        await read(sse);
        const { cause } = await sseError(sse.next(), "reconnect-failed");
        assert(cause instanceof SseError, `Expected an SseError, got ${cause}`);
      }
    },
  },
  {
    name: "connectSse accepts an undefined duplex beside a stream as the body",
    async run(context) {
      const body = new Response("hello").body!;
      const options = { method: "POST", body, duplex: undefined };
      const sse = await connectSse(context.origin, {
        ...options,
        fetch: async (request) =>
          new Response(`data: ${await request.text()}\n\n`, {
            headers: { "content-type": "text/event-stream" },
          }),
      } as ConnectSseOptions);
      assertEquals(await readAll(sse), ["hello"]);
    },
  },
];
