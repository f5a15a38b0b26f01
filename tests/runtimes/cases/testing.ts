import { connectSse, type ConnectSseOptions } from "../../../mod.ts";
import {
  SseScript,
  type SseScriptConnection,
  type SseStep,
} from "../../../src/testing.ts";
import { assert, assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { read, readAll } from "../read.ts";

/** Connects to a server in the same process. */
function connect({ fetch }: SseScript, options: ConnectSseOptions = {}) {
  return connectSse("http://localhost/events", { ...options, fetch });
}

/** Options to reconnect without delay. */
const fast = { reconnect: { initialDelay: 1 } };

const outcomes = ({ requests }: SseScript) =>
  requests.map(({ outcome }) => outcome);

export const testing: Case[] = [
  {
    name: "SseScript stalls before the headers",
    async run() {
      const server = new SseScript(["stall"]);
      const options = { connectTimeout: 20 };
      await sseError(connect(server, options), "connect-timeout");
      assertEquals(outcomes(server), ["left"]);
    },
  },
  {
    name: "SseScript stalls after the headers",
    async run() {
      const server = new SseScript([{ status: 200 }, "stall"]);
      const sse = await connect(server, { idleTimeout: 20 });
      assertEquals(sse.response.status, 200);
      assertEquals(outcomes(server), ["open"]);
      await sseError(sse.next(), "idle-timeout");
      assertEquals(outcomes(server), ["left"]);
    },
  },
  {
    name: "SseScript refuses a connection",
    async run() {
      const server = new SseScript(["cut"], [{ data: "a" }]);
      const { message } = await sseError(connect(server), "network");
      assert(message.includes("The script cut the connection"), message);
      assertEquals(await readAll(await connect(server)), ["a"]);
      assertEquals(outcomes(server), ["cut", "ended"]);
    },
  },
  {
    name: "SseScript breaks a connection after the headers",
    async run() {
      const server = new SseScript([{ headers: { "x-name": "b" } }, "cut"]);
      const sse = await connect(server);
      assertEquals(sse.response.headers.get("x-name"), "b");
      await sseError(sse.next(), "network");
      assertEquals(outcomes(server), ["cut"]);
    },
  },
  {
    name: "SseScript breaks a connection within an event",
    async run() {
      const server = new SseScript([
        { data: "a" },
        { bytes: "data: b\nda" },
        "cut",
      ]);
      const sse = await connect(server);
      assertEquals(await read(sse), ["message", "a", ""]);
      await sseError(sse.next(), "network");
    },
  },
  {
    name: "SseScript is busy, with Retry-After",
    async run() {
      const headers = { "Retry-After": "20" };
      const busy = { status: 429, headers, body: "Slow down" };
      const server = new SseScript([busy], [busy]);
      const { response, body } = await sseError(
        connect(server).then((sse) => sse.next()),
        "status",
      );
      assertEquals([response?.status, body], [429, "Slow down"]);
      assertEquals(
        response?.headers.get("content-type"),
        "text/plain;charset=UTF-8",
      );
      const stop = new AbortController();
      const delay = await rejection(
        connect(server, {
          signal: stop.signal,
          reconnect: { onReconnect: ({ delay }) => stop.abort(delay) },
        }),
      );
      assertEquals(delay, 20_000);
      assertEquals(outcomes(server), ["ended", "ended"]);
    },
  },
  {
    name: "SseScript fails with status 503, and then answers",
    async run() {
      const server = new SseScript([{ status: 503 }], [{ data: "a" }]);
      const sse = await connect(server, fast);
      assertEquals(await read(sse), ["message", "a", ""]);
      await sse.close();
      assertEquals(outcomes(server), ["ended", "left"]);
    },
  },
  {
    name: "SseScript continues after the last event ID",
    async run() {
      const ids = ["é", "☃", "🎉"];
      const feed: SseScriptConnection = function* ({ lastEventId }) {
        for (const id of ids.slice(ids.indexOf(lastEventId) + 1)) {
          yield { id, data: id };
          yield "cut";
        }
        yield { data: "[DONE]" };
      };
      const server = new SseScript(feed, feed, feed, feed);
      const sse = await connect(server, { ...fast, until: "[DONE]" });
      assertEquals(await readAll(sse), ids);
      assertEquals(
        server.requests.map(({ lastEventId }) => lastEventId),
        ["", ...ids],
      );
    },
  },
  {
    name: "SseScript is slow to send the headers and an event",
    async run() {
      const slow: SseStep[] = [{ wait: 30 }, { data: "a" }, { wait: 30 }];
      const server = new SseScript(slow, slow, [...slow, { data: "b" }]);
      await sseError(
        connect(server, { connectTimeout: 10 }),
        "connect-timeout",
      );
      const sse = await connect(server, {
        connectTimeout: Infinity,
        idleTimeout: 10,
      });
      assertEquals(await read(sse), ["message", "a", ""]);
      await sseError(sse.next(), "idle-timeout");
      assertEquals(await readAll(await connect(server)), ["a", "b"]);
      assertEquals(outcomes(server), ["left", "left", "ended"]);
    },
  },
  {
    name: "SseScript sends heartbeats without an event",
    async run() {
      function* busy(): Generator<SseStep> {
        while (true) yield* [{ comment: "busy" }, { wait: 5 }];
      }
      const server = new SseScript(busy());
      let heartbeats = 0;
      const sse = await connect(server, {
        idleTimeout: 4000,
        eventTimeout: 50,
        onComment: () => heartbeats++,
      });
      await sseError(sse.next(), "event-timeout");
      assert(heartbeats > 0, `${heartbeats} heartbeats`);
      assertEquals(outcomes(server), ["left"]);
    },
  },
  {
    name: "SseScript ends too early",
    async run() {
      const server = new SseScript([{ data: "a" }]);
      const sse = await connect(server, { until: "[DONE]" });
      assertEquals(await read(sse), ["message", "a", ""]);
      await sseError(sse.next(), "truncated");
      assertEquals(outcomes(server), ["ended"]);
    },
  },
  {
    name: "SseScript notices an abort, before and after the headers",
    async run() {
      const script: SseStep[] = [{ wait: 1000 }, { data: "a" }, "stall"];
      const server = new SseScript(script, script.slice(1), script, script);
      const reason = new Error("enough");
      for (const start of [0, 1]) {
        const stop = new AbortController();
        const connecting = connect(server, { signal: stop.signal });
        const failing = start === 0
          ? connecting
          : connecting.then(async (sse) => {
            await sse.next();
            return sse.next();
          });
        if (start === 1) await connecting;
        setTimeout(() => stop.abort(reason), 10);
        assertEquals(await rejection(failing) === reason, true);
      }
      assertEquals(outcomes(server), ["left", "left"]);
      // The same for a client that uses nothing but `fetch`.
      const stop = new AbortController();
      const { signal } = stop;
      const fetching = server.fetch(
        new Request("http://localhost/", { signal }),
      );
      stop.abort(reason);
      assertEquals(await rejection(fetching) === reason, true);
      assertEquals(outcomes(server), ["left", "left", "left"]);
      // An aborted request is not sent.
      await rejection(server.fetch("http://localhost/", { signal }));
      assertEquals(server.requests.length, 3);
    },
  },
  {
    name: "SseScript fails the body of an aborted request",
    async run() {
      const server = new SseScript([{ data: "a" }, { wait: 60_000 }]);
      const stop = new AbortController();
      const { signal } = stop;
      const { body } = await server.fetch("http://localhost/", { signal });
      const reader = body!.getReader();
      await reader.read();
      const failing = rejection(reader.read());
      const reason = new Error("enough");
      stop.abort(reason);
      assertEquals(await failing === reason, true);
      assertEquals(outcomes(server), ["left"]);
    },
  },
  {
    name: "SseScript notices a client that leaves, and closes its steps",
    async run() {
      let isClosed = false;
      async function* steps(): AsyncGenerator<SseStep> {
        try {
          yield* [{ data: "a" }, { data: "b" }, "stall"] as SseStep[];
        } finally {
          isClosed = true;
        }
      }
      const server = new SseScript(steps);
      for await (const _ of await connect(server)) break;
      assertEquals(outcomes(server), ["left"]);
      assertEquals(isClosed, true);
    },
  },
  {
    name: "SseScript answers one request too many with status 410",
    async run() {
      const server = new SseScript([{ data: "a" }]);
      const sse = await connect(server, fast);
      assertEquals(await read(sse), ["message", "a", ""]);
      const { response, message } = await sseError(sse.next(), "status");
      assertEquals(response?.status, 410);
      assert(message.includes("Expected 1 requests, got 2"), message);
      assertEquals(outcomes(server), ["ended", "ended"]);
    },
  },
  {
    name: "SseScript cuts bytes anywhere",
    async run() {
      const all = new TextEncoder().encode("id: 🎉\r\ndata: é\r\n\r\n");
      const cuts = Array.from(all.keys());
      const server = new SseScript(
        ...cuts.map((i) => [
          { bytes: all.slice(0, i) },
          { bytes: all.slice(i) },
        ]),
      );
      for (const _ of cuts) {
        const sse = await connect(server);
        assertEquals(await read(sse), ["message", "é", "🎉"]);
        assertEquals((await sse.next()).done, true);
      }
    },
  },
  {
    name: "SseScript reads an endless generator on demand",
    async run() {
      let yielded = 0;
      function* endless(): Generator<SseStep> {
        while (true) yield { json: yielded++ };
      }
      const server = new SseScript(endless());
      const sse = await connect(server);
      for (let n = 0; n < 100; n++) {
        assertEquals((await sse.next()).value?.json(), n);
      }
      await sse.close();
      assertEquals(yielded, 100);
      assertEquals(outcomes(server), ["left"]);
    },
  },
  {
    name: "SseScript keeps the requests: method, URL, headers, body and time",
    async run() {
      const before = Date.now();
      const server = new SseScript(
        ({ body }) => [{ json: body }],
        [{ status: 204 }],
      );
      const sse = await connect(server, {
        method: "POST",
        headers: { "x-name": "a" },
        body: "☃",
      });
      assertEquals(await readAll(sse), ['"☃"']);
      const gone = await server.fetch(new URL("http://localhost/gone"));
      assertEquals([gone.status, gone.body], [204, null]);
      const [first, second] = server.requests;
      assertEquals(
        [first.method, first.url, first.headers.get("x-name"), first.body],
        ["POST", "http://localhost/events", "a", "☃"],
      );
      assertEquals(
        [second.method, second.url, second.body, second.outcome],
        ["GET", "http://localhost/gone", "", "ended"],
      );
      assert(
        first.time >= before && second.time >= first.time,
        `${before} ${first.time} ${second.time}`,
      );
    },
  },
];
