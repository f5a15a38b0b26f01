import {
  EventSource,
  type EventSourceErrorEvent,
} from "../../../src/event_source.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { fastReconnect, once, withSource } from "../heard.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import { Stream } from "../stream.ts";

const anywhere = "http://in.process/";

/** A reply after which a source does not reconnect. */
const noContent = { status: 204 } as const;

const redirects = [301, 302, 303, 307, 308];

const statuses = [201, 204, 205, 210, 299, 400, 401, 404, 410, 429, 500, 503];

const types = {
  "text/event-stream": true,
  "text/event-stream;": true,
  "TEXT/Event-Stream": true,
  "text/event-stream; charset=utf-8": true,
  "text/event-stream;charset=UTF-16;x": true,
  'text/event-stream; x=", text/html"': true,
  "text/event-streams": false,
  "text/x-bogus": false,
  "text/plain": false,
  "application/json; x=text/event-stream": false,
};

export const eventSourceConnection: Case[] = [
  {
    name:
      "EventSource sends a GET request for an event stream that bypasses caches",
    async run(context) {
      const server = new Stream(context, [noContent]);
      await withSource(server.url, undefined, async (_, recorder) => {
        await recorder.next();
      });
      const { requests: [{ method, headers }] } = await server.log();
      assertEquals(method, "GET");
      assertEquals(headers["accept"], "text/event-stream");
      assertEquals(
        headers["cache-control"],
        "no-cache",
      );
      assertEquals("last-event-id" in headers, false);
    },
  },
  {
    name: "EventSource sends the user and the password of the URL",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n" },
        noContent,
      ]);
      const url = server.url.replace("//", "//user:p%40ss@");
      await withSource(url, fastReconnect, async (_, recorder) => {
        await recorder.nextLines(4);
      });
      const { requests } = await server.log();
      const expected = `Basic ${btoa("user:p@ss")}`;
      assertEquals(
        requests.map(({ headers }) => headers["authorization"]),
        [expected, expected],
      );
    },
  },
  {
    name: "EventSource sends method, headers and body with each attempt",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n" },
        noContent,
      ]);
      const init = {
        ...fastReconnect,
        method: "POST",
        headers: { Authorization: "Bearer secret", Accept: "*/*" },
        body: "☃",
      };
      await withSource(server.url, init, async (_, recorder) => {
        await recorder.nextLines(4);
      });
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ method, headers, body }) => [
          method,
          headers["authorization"],
          headers["accept"],
          body,
          headers["last-event-id"],
        ]),
        [
          ["POST", "Bearer secret", "*/*", "☃", undefined],
          ["POST", "Bearer secret", "*/*", "☃", "1"],
        ],
      );
    },
  },
  ...redirects.map((status): Case => ({
    name:
      `EventSource follows a redirect with status ${status}, also cross-origin`,
    async run(context) {
      const body = "data: there\n\n";
      for (const origin of [context.origin, context.crossOrigin]) {
        const target = new Stream(context, [{ body, then: "hang" }], origin);
        const server = new Stream(context, [{
          status,
          headers: { location: target.url },
        }]);
        await withSource(server.url, undefined, async (source, recorder) => {
          let seen = "";
          source.onmessage = (event) => seen = event.origin;
          assertEquals(await recorder.nextLines(2), ["open", "message: there"]);
          assertEquals(seen, origin, "the origin");
          assertEquals(source.url, server.url);
        });
      }
    },
  })),
  ...statuses.map((status): Case => ({
    name: `EventSource does not reconnect after status ${status}`,
    async run(context) {
      const hasBody = status !== 204 && status !== 205;
      const server = new Stream(context, [
        { status, body: hasBody ? "data: no\n\n" : "" },
        {},
      ]);
      await withSource(server.url, fastReconnect, async (_, recorder) => {
        assertEquals(await recorder.next(), "error: status, closed");
        await pause(context.origin);
        assertEquals(recorder.unread, []);
        assertEquals((await server.log()).requests.length, 1);
      });
    },
  })),
  ...Object.entries(types).map(([type, isAccepted]): Case => ({
    name: `EventSource ${isAccepted ? "accepts" : "rejects"} the type ${type}`,
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": type },
        body: "data: a\n\n",
        then: "hang",
      }]);
      await withSource(server.url, fastReconnect, async (_, recorder) => {
        if (isAccepted) {
          assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
        } else {
          assertEquals(await recorder.next(), "error: content-type, closed");
          await server.log({ disconnects: 1 });
          assertEquals(recorder.unread, []);
        }
      });
    },
  })),
  {
    name: "EventSource uses the last valid type if Content-Type has several",
    async run() {
      const types = {
        "text/html, text/event-stream": true,
        "text/event-stream, text/html": false,
        "text/event-stream, */*": true,
        "text/event-stream, nonsense": true,
        'text/html;x=",", text/event-stream': true,
      };
      for (const [type, isAccepted] of Object.entries(types)) {
        const fetch = () =>
          new Response("data: a\n\n", { headers: { "content-type": type } });
        await withSource(anywhere, { fetch }, async (_, recorder) => {
          const first = await recorder.next();
          const expected = isAccepted ? "open" : "error: content-type, closed";
          assertEquals(first, expected, type);
        });
      }
    },
  },
  {
    name:
      "EventSource starts with the last event ID of its options and sends it",
    async run(context) {
      const inits = [
        { lastEventId: ids[0] },
        { headers: { "Last-Event-ID": latin1OfUtf8(ids[0]) } },
      ];
      // In workerd, the characters of this header become other bytes.
      if (context.runtime.startsWith("workerd")) inits.pop();
      for (const init of inits) {
        const server = new Stream(context, [
          { body: "data: a\n\nid: 2\ndata: b\n\n", then: "hang" },
        ]);
        await withSource(server.url, init, async (source, recorder) => {
          assertEquals(source.lastEventId, ids[0]);
          assertEquals(
            await recorder.nextLines(3),
            ["open", `message: a #${ids[0]}`, "message: b #2"],
          );
          assertEquals(source.lastEventId, "2");
        });
        const { requests: [{ headers }] } = await server.log();
        assertEquals(headers["last-event-id"], latin1OfUtf8(ids[0]));
      }
    },
  },
  {
    name: "EventSource calls onComment in order with its events",
    async run() {
      const order: string[] = [];
      const init = {
        fetch: () =>
          new Response("data: 1\n\n:c1\n\ndata: 2\n\n:c2\n\n", {
            headers: { "content-type": "text/event-stream" },
          }),
        onComment: (comment: string) => void order.push(comment),
      };
      await withSource(anywhere, init, async (source) => {
        source.onmessage = ({ data }) => order.push(data);
        await once(source, "error");
      });
      assertEquals(order, ["1", "c1", "2", "c2"]);
    },
  },
  {
    name: "EventSource closes with the value that shouldReconnect throws",
    async run() {
      for (const thrown of [undefined, null, "no", Object.create(null)]) {
        const init = {
          fetch: () => Promise.reject(new Error("cable cut")),
          reconnect: {
            shouldReconnect() {
              throw thrown;
            },
          },
        };
        const source = new EventSource(anywhere, init);
        const { error } = await once(source, "error") as EventSourceErrorEvent;
        // Bun converts undefined to null.
        assert((error ?? null) === (thrown ?? null), `Got ${typeof error}`);
        assertEquals(source.readyState, EventSource.CLOSED);
      }
    },
  },
  {
    name: "EventSource does not reconnect if its URL scheme has no server",
    async run() {
      const urls = ["about:blank", "mailto:a@b.test", "javascript:alert(1)"];
      for (const url of urls) {
        await withSource(url, fastReconnect, async (source, recorder) => {
          assertEquals(source.url, url);
          assertEquals(await recorder.next(), "error: network, closed");
        });
      }
    },
  },
  {
    name: "EventSource keeps reconnecting if no server listens",
    async run(context) {
      await withSource(
        context.closedOrigin,
        fastReconnect,
        async (source, recorder) => {
          const failed = "error: network, connecting";
          assertEquals(await recorder.nextLines(3), [failed, failed, failed]);
          source.close();
          await pause(context.origin);
          assertEquals(recorder.unread, []);
        },
      );
    },
  },
  {
    name: "EventSource reconnects with the last event ID after the stream ends",
    async run(context) {
      const server = new Stream(context, [
        { body: "retry: 1\ndata: a\n\n" },
        { body: "id: 1\ndata: b\n\ndata: c\n\nid: 2\ndata: cut o" },
        { body: "id: 3\n\n" },
        { body: "id\ndata: d\n\n" },
        { body: "data: e\n\n", then: "hang" },
      ]);
      await withSource(server.url, undefined, async (_, recorder) => {
        const ended = "error: truncated, connecting";
        assertEquals(await recorder.nextLines(13), [
          ...["open", "message: a", ended],
          ...["open", "message: b #1", "message: c #1", ended],
          ...["open", ended],
          ...["open", "message: d", ended],
          "open",
        ]);
        assertEquals(await recorder.next(), "message: e");
      });
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ headers }) => headers["last-event-id"]),
        [undefined, undefined, "1", "3", undefined],
      );
    },
  },
  {
    name:
      "EventSource reconnects after a connection breaks in an unfinished event",
    async run(context) {
      for (const then of ["cut", "reset"] as const) {
        const server = new Stream(context, [
          { body: "id: 1\ndata: a\n\nid: 2\ndata: b", then },
          { body: "\ndata: c\n\n", then: "hang" },
        ]);
        await withSource(server.url, fastReconnect, async (_, recorder) => {
          assertEquals(await recorder.nextLines(2), ["open", "message: a #1"]);
          await server.breakConnections();
          assertEquals(await recorder.nextLines(3), [
            "error: network, connecting",
            "open",
            "message: c #1",
          ]);
        });
        const { requests: [, { headers }] } = await server.log();
        assertEquals(headers["last-event-id"], "1");
      }
    },
  },
  {
    name: "EventSource sends any last event ID as UTF-8 bytes",
    async run(context) {
      for (const id of ["é☃🎉", "ÿ", "a b:c"]) {
        const body = `id: ${id}\ndata: a\n\n`;
        const server = new Stream(context, [{ body }, noContent]);
        await withSource(server.url, fastReconnect, async (_, recorder) => {
          await recorder.nextLines(4);
        });
        const { requests: [, { headers }] } = await server.log();
        const bytes = new TextEncoder().encode(id);
        assertEquals(headers["last-event-id"], String.fromCharCode(...bytes));
      }
    },
  },
  {
    name: "EventSource closes if a reconnect gets status 204",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\n" },
        noContent,
        {},
      ]);
      await withSource(server.url, fastReconnect, async (_, recorder) => {
        assertEquals(await recorder.nextLines(4), [
          "open",
          "message: a",
          "error: truncated, connecting",
          "error: status, closed",
        ]);
        await pause(context.origin);
        assertEquals(recorder.unread, []);
        assertEquals((await server.log()).requests.length, 2);
      });
    },
  },
  {
    name: "EventSource reconnects after idleTimeout and connectTimeout",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n", then: "hang" },
        { silent: true },
        noContent,
      ]);
      const init = { ...fastReconnect, idleTimeout: 200, connectTimeout: 1000 };
      await withSource(server.url, init, async (_, recorder) => {
        assertEquals(await recorder.nextLines(5), [
          "open",
          "message: a #1",
          "error: idle-timeout, connecting",
          "error: connect-timeout, connecting",
          "error: status, closed",
        ]);
      });
      await server.log({ disconnects: 2 });
    },
  },
  {
    name: "EventSource closes if an event exceeds maxEventSize",
    async run(context) {
      const body = `data: a\n\ndata: ${"x".repeat(100)}`;
      const server = new Stream(context, [{ body, then: "hang" }]);
      const init = { ...fastReconnect, maxEventSize: 50 };
      await withSource(server.url, init, async (_, recorder) => {
        assertEquals(await recorder.nextLines(3), [
          "open",
          "message: a",
          "error: event-too-large, closed",
        ]);
        await server.log({ disconnects: 1 });
      });
    },
  },
  {
    name: "EventSource lets shouldReconnect override the standard's rules",
    async run(context) {
      const server = new Stream(context, [
        { status: 503 },
        { body: "data: a\n\n" },
        {},
      ]);
      const calls: string[] = [];
      const init = {
        reconnect: {
          initialDelay: 1,
          shouldReconnect({ code }: { code: string }, attempt: number) {
            calls.push(`${code} ${attempt}`);
            return code === "status";
          },
        },
      };
      await withSource(server.url, init, async (_, recorder) => {
        assertEquals(await recorder.nextLines(4), [
          "error: status, connecting",
          "open",
          "message: a",
          "error: truncated, closed",
        ]);
      });
      assertEquals(calls, ["status 1", "truncated 1"]);
    },
  },
  {
    name: "EventSource closes after maxAttempts failed attempts to reconnect",
    async run(context) {
      const init = { reconnect: { initialDelay: 1, maxAttempts: 2 } };
      await withSource(context.closedOrigin, init, async (_, recorder) => {
        assertEquals(await recorder.nextLines(3), [
          "error: network, connecting",
          "error: network, connecting",
          "error: reconnect-failed, closed",
        ]);
      });
    },
  },
  {
    name: "EventSource calls onReconnect after the error event",
    async run(context) {
      const server = new Stream(context, [{}, noContent]);
      const order: string[] = [];
      const init = {
        reconnect: {
          initialDelay: 1,
          onReconnect({ attempt, delay }: { attempt: number; delay: number }) {
            order.push(`onReconnect ${attempt} ${delay}`);
          },
        },
      };
      await withSource(server.url, init, async (source, recorder) => {
        source.onerror = () => order.push(`error ${source.readyState}`);
        await recorder.nextLines(3);
      });
      assertEquals(order, ["error 0", "onReconnect 1 1", "error 2"]);
    },
  },
  {
    name: "EventSource reads a stream of another origin without a preflight",
    browserOnly: true,
    async run(context) {
      const replies = [{ body: "data: a\n\n", then: "hang" }] as const;
      const server = new Stream(context, [...replies], context.crossOrigin);
      await withSource(server.url, undefined, async (_, recorder) => {
        assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
      });
      const { requests: [{ headers }], preflights } = await server.log();
      assertEquals(headers["origin"], context.origin);
      assertEquals(preflights, []);
    },
  },
  {
    name:
      "EventSource sends cookies to another origin only with withCredentials",
    browserOnly: true,
    async run(context) {
      const page = (globalThis as unknown as { document: { cookie: string } })
        .document;
      page.cookie = "flavour=plain";
      for (const withCredentials of [false, true]) {
        const server = new Stream(context, [{
          status: 404,
          headers: {
            "access-control-allow-origin": context.origin,
            "access-control-allow-credentials": "true",
          },
        }], context.crossOrigin);
        await withSource(
          server.url,
          { withCredentials },
          async (_, recorder) => {
            assertEquals(await recorder.next(), "error: status, closed");
          },
        );
        const { requests: [{ headers }] } = await server.log();
        assertEquals(
          headers["cookie"],
          withCredentials ? "flavour=plain" : undefined,
        );
      }
      page.cookie = "flavour=; max-age=0";
    },
  },
];

/**
 * Waits long enough for an unexpected request or event: a round trip and 20 ms.
 */
async function pause(origin: string): Promise<void> {
  const response = await fetch(`${origin}/log/quiet?requests=0&disconnects=0`);
  await response.body?.cancel();
  await new Promise((resolve) => setTimeout(resolve, 20));
}
