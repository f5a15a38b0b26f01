import {
  EventSource,
  type EventSourceErrorEvent,
} from "../../../src/event_source.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { once, soon, withSource } from "../heard.ts";
import { ids, latin1OfUtf8 } from "../ids.ts";
import { Stream } from "../stream.ts";

const anywhere = "http://in.process/";

/** What keeps a source from coming back. */
const gone = { status: 204 } as const;

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
    name: "EventSource asks for events that no cache holds",
    async run(context) {
      const server = new Stream(context, [gone]);
      await withSource(server.url, undefined, async (_, heard) => {
        await heard.next();
      });
      const { requests: [{ method, headers }] } = await server.log();
      assertEquals(method, "GET");
      assertEquals(headers["accept"], "text/event-stream");
      assertEquals(
        headers["cache-control"],
        context.browser ? "no-cache" : "no-store",
      );
      assertEquals("last-event-id" in headers, false);
    },
  },
  {
    name: "EventSource sends method, headers and body, each time it connects",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n" },
        gone,
      ]);
      const init = {
        ...soon,
        method: "POST",
        headers: { Authorization: "Bearer secret", Accept: "*/*" },
        body: "☃",
      };
      await withSource(server.url, init, async (_, heard) => {
        await heard.take(4);
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
    name: `EventSource follows a redirect of ${status}, to another origin too`,
    async run(context) {
      const body = "data: there\n\n";
      for (const origin of [context.origin, context.crossOrigin]) {
        const target = new Stream(context, [{ body, then: "hang" }], origin);
        const server = new Stream(context, [{
          status,
          headers: { location: target.url },
        }]);
        await withSource(server.url, undefined, async (source, heard) => {
          let seen = "";
          source.onmessage = (event) => seen = event.origin;
          assertEquals(await heard.take(2), ["open", "message: there"]);
          assertEquals(seen, origin, "the origin");
          assertEquals(source.url, server.url);
        });
      }
    },
  })),
  ...statuses.map((status): Case => ({
    name: `EventSource fails for good at a status of ${status}`,
    async run(context) {
      const hasBody = status !== 204 && status !== 205;
      const server = new Stream(context, [
        { status, body: hasBody ? "data: no\n\n" : "" },
        {},
      ]);
      await withSource(server.url, soon, async (_, heard) => {
        assertEquals(await heard.next(), "error: status, closed");
        await quiet(context.origin);
        assertEquals(heard.rest, []);
        assertEquals((await server.log()).requests.length, 1);
      });
    },
  })),
  ...Object.entries(types).map(([type, isRight]): Case => ({
    name: `EventSource ${isRight ? "takes" : "refuses"} the type ${type}`,
    async run(context) {
      const server = new Stream(context, [{
        headers: { "content-type": type },
        body: "data: a\n\n",
        then: "hang",
      }]);
      await withSource(server.url, soon, async (_, heard) => {
        if (isRight) {
          assertEquals(await heard.take(2), ["open", "message: a"]);
        } else {
          assertEquals(await heard.next(), "error: content-type, closed");
          await server.log({ disconnects: 1 });
          assertEquals(heard.rest, []);
        }
      });
    },
  })),
  {
    name: "EventSource takes the last of several types that is one",
    async run() {
      const types = {
        "text/html, text/event-stream": true,
        "text/event-stream, text/html": false,
        "text/event-stream, */*": true,
        "text/event-stream, nonsense": true,
        'text/html;x=",", text/event-stream': true,
      };
      for (const [type, isRight] of Object.entries(types)) {
        const fetch = () =>
          new Response("data: a\n\n", { headers: { "content-type": type } });
        await withSource(anywhere, { fetch }, async (_, heard) => {
          const first = await heard.next();
          const expected = isRight ? "open" : "error: content-type, closed";
          assertEquals(first, expected, type);
        });
      }
    },
  },
  {
    name: "EventSource knows the id it is given from the start, and sends it",
    async run(context) {
      const inits = [
        { lastEventId: ids[0] },
        { headers: { "Last-Event-ID": latin1OfUtf8(ids[0]) } },
      ];
      // What it takes for a header's bytes there differs.
      if (context.runtime.startsWith("workerd")) inits.pop();
      for (const init of inits) {
        const server = new Stream(context, [
          { body: "data: a\n\nid: 2\ndata: b\n\n", then: "hang" },
        ]);
        await withSource(server.url, init, async (source, heard) => {
          assertEquals(source.lastEventId, ids[0]);
          assertEquals(
            await heard.take(3),
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
    name: "EventSource tells of comments in order with its events",
    async run() {
      const heard: string[] = [];
      const init = {
        fetch: () =>
          new Response("data: 1\n\n:c1\n\ndata: 2\n\n:c2\n\n", {
            headers: { "content-type": "text/event-stream" },
          }),
        onComment: (comment: string) => void heard.push(comment),
      };
      await withSource(anywhere, init, async (source) => {
        source.onmessage = ({ data }) => heard.push(data);
        await once(source, "error");
      });
      assertEquals(heard, ["1", "c1", "2", "c2"]);
    },
  },
  {
    name: "EventSource fails with whatever shouldReconnect throws",
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
        // Bun makes null of undefined.
        assert((error ?? null) === (thrown ?? null), `Got ${typeof error}`);
        assertEquals(source.readyState, EventSource.CLOSED);
      }
    },
  },
  {
    name: "EventSource fails at URLs that no server is behind",
    async run() {
      const urls = ["about:blank", "mailto:a@b.test", "javascript:alert(1)"];
      for (const url of urls) {
        await withSource(url, soon, async (source, heard) => {
          assertEquals(source.url, url);
          assertEquals(await heard.next(), "error: network, closed");
        });
      }
    },
  },
  {
    name: "EventSource keeps trying where nobody listens",
    async run(context) {
      await withSource(context.closedOrigin, soon, async (source, heard) => {
        const failed = "error: network, connecting";
        assertEquals(await heard.take(3), [failed, failed, failed]);
        source.close();
        await quiet(context.origin);
        assertEquals(heard.rest, []);
      });
    },
  },
  {
    name: "EventSource comes back after the end, with the last id",
    async run(context) {
      const server = new Stream(context, [
        { body: "retry: 1\ndata: a\n\n" },
        { body: "id: 1\ndata: b\n\ndata: c\n\nid: 2\ndata: cut o" },
        { body: "id: 3\n\n" },
        { body: "id\ndata: d\n\n" },
        { body: "data: e\n\n", then: "hang" },
      ]);
      await withSource(server.url, undefined, async (_, heard) => {
        const ended = "error: truncated, connecting";
        assertEquals(await heard.take(13), [
          ...["open", "message: a", ended],
          ...["open", "message: b #1", "message: c #1", ended],
          ...["open", ended],
          ...["open", "message: d", ended],
          "open",
        ]);
        assertEquals(await heard.next(), "message: e");
      });
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ headers }) => headers["last-event-id"]),
        [undefined, undefined, "1", "3", undefined],
      );
    },
  },
  {
    name: "EventSource comes back after a cut or a reset in the middle",
    async run(context) {
      for (const then of ["cut", "reset"] as const) {
        const server = new Stream(context, [
          { body: "id: 1\ndata: a\n\nid: 2\ndata: b", then },
          { body: "\ndata: c\n\n", then: "hang" },
        ]);
        await withSource(server.url, soon, async (_, heard) => {
          assertEquals(await heard.take(2), ["open", "message: a #1"]);
          await server.go();
          assertEquals(await heard.take(3), [
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
    name: "EventSource sends the UTF-8 bytes of any id",
    async run(context) {
      for (const id of ["é☃🎉", "ÿ", "a b:c"]) {
        const body = `id: ${id}\ndata: a\n\n`;
        const server = new Stream(context, [{ body }, gone]);
        await withSource(server.url, soon, async (_, heard) => {
          await heard.take(4);
        });
        const { requests: [, { headers }] } = await server.log();
        const bytes = new TextEncoder().encode(id);
        assertEquals(headers["last-event-id"], String.fromCharCode(...bytes));
      }
    },
  },
  {
    name: "EventSource is stopped by a status of 204 when it comes back",
    async run(context) {
      const server = new Stream(context, [{ body: "data: a\n\n" }, gone, {}]);
      await withSource(server.url, soon, async (_, heard) => {
        assertEquals(await heard.take(4), [
          "open",
          "message: a",
          "error: truncated, connecting",
          "error: status, closed",
        ]);
        await quiet(context.origin);
        assertEquals(heard.rest, []);
        assertEquals((await server.log()).requests.length, 2);
      });
    },
  },
  {
    name: "EventSource comes back after idleTimeout and connectTimeout",
    async run(context) {
      const server = new Stream(context, [
        { body: "id: 1\ndata: a\n\n", then: "hang" },
        { silent: true },
        gone,
      ]);
      const init = { ...soon, idleTimeout: 200, connectTimeout: 1000 };
      await withSource(server.url, init, async (_, heard) => {
        assertEquals(await heard.take(5), [
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
    name: "EventSource fails at an event above maxEventSize",
    async run(context) {
      const body = `data: a\n\ndata: ${"x".repeat(100)}`;
      const server = new Stream(context, [{ body, then: "hang" }]);
      const init = { ...soon, maxEventSize: 50 };
      await withSource(server.url, init, async (_, heard) => {
        assertEquals(await heard.take(3), [
          "open",
          "message: a",
          "error: event-too-large, closed",
        ]);
        await server.log({ disconnects: 1 });
      });
    },
  },
  {
    name: "EventSource asks shouldReconnect before it follows the standard",
    async run(context) {
      const server = new Stream(context, [
        { status: 503 },
        { body: "data: a\n\n" },
        {},
      ]);
      const asked: string[] = [];
      const init = {
        reconnect: {
          initialDelay: 1,
          shouldReconnect({ code }: { code: string }, attempt: number) {
            asked.push(`${code} ${attempt}`);
            return code === "status";
          },
        },
      };
      await withSource(server.url, init, async (_, heard) => {
        assertEquals(await heard.take(4), [
          "error: status, connecting",
          "open",
          "message: a",
          "error: truncated, closed",
        ]);
      });
      assertEquals(asked, ["status 1", "truncated 1"]);
    },
  },
  {
    name: "EventSource fails after maxAttempts",
    async run(context) {
      const init = { reconnect: { initialDelay: 1, maxAttempts: 2 } };
      await withSource(context.closedOrigin, init, async (_, heard) => {
        assertEquals(await heard.take(3), [
          "error: network, connecting",
          "error: network, connecting",
          "error: reconnect-failed, closed",
        ]);
      });
    },
  },
  {
    name: "EventSource calls onReconnect after its error event",
    async run(context) {
      const server = new Stream(context, [{}, gone]);
      const order: string[] = [];
      const init = {
        reconnect: {
          initialDelay: 1,
          onReconnect({ attempt, delay }: { attempt: number; delay: number }) {
            order.push(`onReconnect ${attempt} ${delay}`);
          },
        },
      };
      await withSource(server.url, init, async (source, heard) => {
        source.onerror = () => order.push(`error ${source.readyState}`);
        await heard.take(3);
      });
      assertEquals(order, ["error 0", "onReconnect 1 1", "error 2"]);
    },
  },
  {
    name: "EventSource reads another origin with no preflight",
    browserOnly: true,
    async run(context) {
      const replies = [{ body: "data: a\n\n", then: "hang" }] as const;
      const server = new Stream(context, [...replies], context.crossOrigin);
      await withSource(server.url, undefined, async (_, heard) => {
        assertEquals(await heard.take(2), ["open", "message: a"]);
      });
      const { requests: [{ headers }], preflights } = await server.log();
      assertEquals(headers["origin"], context.origin);
      assertEquals(preflights, []);
    },
  },
  {
    name: "EventSource sends cookies to another origin if withCredentials",
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
        await withSource(server.url, { withCredentials }, async (_, heard) => {
          assertEquals(await heard.next(), "error: status, closed");
        });
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

/** Long enough for what should not happen: a round trip, and then some. */
async function quiet(origin: string): Promise<void> {
  const response = await fetch(`${origin}/log/quiet?requests=0&disconnects=0`);
  await response.body?.cancel();
  await new Promise((resolve) => setTimeout(resolve, 20));
}
