// Tries `close()`, `return()`, an abort and `reconnect()` at every microtask of a
// reconnect.

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
  type SseConnection,
} from "../../mod.ts";
import { events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

const reason = new Error("enough");

/** Numbers of microtasks to wait: more than any step of a reconnect takes. */
const moments = Array.from({ length: 40 }, (_, i) => i);

/** Runs all pending microtasks and timers of 0 ms. */
async function settle(time: FakeTime): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await microtasks(moments.length);
    time.tick();
  }
  await microtasks(moments.length);
}

/**
 * An in-process server. Sends each connection one event, with the connection's
 * number as its data, and keeps the connection open.
 */
class Server {
  /** Connections that were not ended, canceled or aborted, by number. */
  readonly open = new Map<number, ReadableStreamDefaultController>();
  connections = 0;
  readonly #supportsSignals: boolean;

  constructor(supportsSignals: boolean) {
    this.#supportsSignals = supportsSignals;
  }

  fetch = async ({ signal }: Request): Promise<Response> => {
    await microtasks(3);
    const number = this.connections++;
    const body = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(`data: ${number}\n\n`));
        this.open.set(number, controller);
        if (!this.#supportsSignals) return;
        const fail = () => {
          this.open.delete(number);
          controller.error(signal.reason);
        };
        if (signal.aborted) fail();
        else signal.addEventListener("abort", fail);
      },
      cancel: () => void this.open.delete(number),
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream" },
    });
  };

  /** Ends the body of the connection with this number. */
  end(number: number): void {
    this.open.get(number)!.close();
    this.open.delete(number);
  }
}

interface Outcome {
  value?: IteratorResult<ServerSentEvent>;
  reason?: unknown;
}

/**
 * Calls `next()`, and turns a rejection into an outcome, so that it is never an
 * unhandled rejection.
 */
function next(sse: SseConnection): Promise<Outcome> {
  return sse.next().then((value) => ({ value }), (reason) => ({ reason }));
}

/** Ways to start another connection. */
const starts: Record<
  string,
  (sse: SseConnection, server: Server, time: FakeTime) => void | Promise<void>
> = {
  "reconnect()": (sse) => sse.reconnect(),
  "the end of the body": (_, server) => server.end(0),
  "the end of the delay": async (_, server, time) => {
    server.end(0);
    await microtasks(moments.length);
    time.tick();
  },
};

const ends: Record<
  string,
  (sse: SseConnection, controller: AbortController) => unknown
> = {
  "close()": (sse) => sse.close(),
  "return()": (sse) => sse.return(),
  "an abort": (_, controller) => controller.abort(reason),
};

for (const supportsSignals of [true, false]) {
  const kind = supportsSignals ? "supports" : "ignores";

  for (const [how, start] of Object.entries(starts)) {
    for (const [name, end] of Object.entries(ends)) {
      Deno.test(`${name} leaves no connection open at any moment after ${how} if fetch ${kind} signals`, async () => {
        using time = new FakeTime();
        for (const moment of moments) {
          const server = new Server(supportsSignals);
          const controller = new AbortController();
          const sse = await connectSse(url, {
            fetch: server.fetch,
            signal: controller.signal,
            reconnect: { initialDelay: 0, maxDelay: 0 },
          });
          await sse.next();
          const pending = next(sse);
          await start(sse, server, time);
          await microtasks(moment);
          await end(sse, controller);
          await settle(time);

          const where = `at moment ${moment}`;
          assertEquals([...server.open.keys()], [], where);
          assert(server.connections <= 2, where);
          assertEquals(time.next(), false, where);
          await pending;
          await next(sse);
          assertEquals((await sse.next()).done, true, where);
        }
      });
    }

    Deno.test(`reconnect() leaves only the newest connection open at any moment after ${how} if fetch ${kind} signals`, async () => {
      using time = new FakeTime();
      for (const moment of moments) {
        const server = new Server(supportsSignals);
        const sse = await connectSse(url, {
          fetch: server.fetch,
          reconnect: { initialDelay: 0, maxDelay: 0 },
        });
        await sse.next();
        const pending = [next(sse)];
        await start(sse, server, time);
        await microtasks(moment);
        const { connections } = server;
        sse.reconnect();
        pending.push(next(sse));
        await settle(time);

        const where = `at moment ${moment}`;
        assert(server.connections > connections, where);
        assertEquals([...server.open.keys()], [server.connections - 1], where);
        await sse.close();
        for (const { reason } of await Promise.all(pending)) {
          assertEquals(reason, undefined, where);
        }
      }
    });

    Deno.test(`SseConnection reconnects after the next failure if reconnect() is called at any moment after ${how} and fetch ${kind} signals`, async () => {
      using time = new FakeTime();
      for (const moment of moments) {
        const server = new Server(supportsSignals);
        const infos: ReconnectInfo[] = [];
        await using sse = await connectSse(url, {
          fetch: server.fetch,
          reconnect: {
            initialDelay: 0,
            maxDelay: 0,
            onReconnect: (info) => void infos.push(info),
          },
        });
        await sse.next();
        const pending = next(sse);
        await start(sse, server, time);
        await microtasks(moment);
        sse.reconnect();
        await settle(time);

        const where = `at moment ${moment}`;
        let outcome = await pending;
        const newest = server.connections - 1;
        // The event of the previous connection may have arrived before `reconnect()`.
        if (outcome.value?.value?.data !== String(newest)) {
          assertEquals(outcome.reason, undefined, where);
          outcome = await next(sse);
        }
        assertEquals(outcome.reason, undefined, where);
        assertEquals(outcome.value?.value?.data, String(newest), where);

        infos.length = 0;
        server.end(newest);
        const last = next(sse);
        await settle(time);
        assertEquals(
          infos.map(({ error }) => error.code),
          ["truncated"],
          where,
        );
        const { value } = await last;
        assertEquals(value?.value?.data, String(newest + 1), where);
      }
    });
  }

  Deno.test(`an abort leaves no connection open at any moment of connectSse and next() if fetch ${kind} signals`, async () => {
    using time = new FakeTime();
    for (const moment of moments) {
      const server = new Server(supportsSignals);
      const controller = new AbortController();
      const rejection = connectSse(url, {
        fetch: server.fetch,
        signal: controller.signal,
        reconnect: true,
      }).then(async (sse) => {
        await sse.next();
        await sse.next();
      }).catch((error) => error);
      await microtasks(moment);
      controller.abort(reason);
      await settle(time);
      const where = `at moment ${moment}`;
      assertEquals([...server.open.keys()], [], where);
      assertEquals(await rejection, reason, where);
    }
  });
}

const failures: Record<string, ConnectSseOptions> = {
  "a truncated body": {
    fetch: () => eventResponse(""),
    until: "[DONE]",
  },
  "a truncated body, with reconnect": {
    fetch: () => eventResponse(""),
    until: "[DONE]",
    reconnect: { shouldReconnect: () => false },
  },
  "an error response, with reconnect": {
    fetch: () => new Response(null, { status: 401 }),
    reconnect: true,
  },
};

for (const [what, options] of Object.entries(failures)) {
  Deno.test(`connectSse or next() rejects with the reason of an abort at any moment before it fails because of ${what}`, async () => {
    const isAborted: boolean[] = [];
    for (let moment = 0; moment < 100; moment++) {
      const controller = new AbortController();
      const { signal } = controller;
      const failure = connectSse(url, { ...options, signal })
        .then((sse) => sse.next())
        .catch((error) => error);
      await microtasks(moment);
      controller.abort(reason);
      isAborted.push(await failure === reason);
    }
    const last = isAborted.lastIndexOf(true);
    assert(last >= 0 && last < 99);
    assertEquals(isAborted.indexOf(false), last + 1, `${isAborted}`);
  });
}

Deno.test("close(), an abort and reconnect() drop a chunk that has arrived and was not read yet", async () => {
  const controller = new AbortController();
  const calls: Record<string, (sse: SseConnection) => void> = {
    undefined: (sse) => void sse.close(),
    b: (sse) => sse.reconnect(),
    enough: () => controller.abort(reason),
  };
  for (const [expected, call] of Object.entries(calls)) {
    const stream = new OpenResponse();
    const { fetch } = inTurn(() => stream.response, events("data: b\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      signal: controller.signal,
      reconnect: true,
    });
    const next = sse.next();
    await microtasks(moments.length);
    stream.send("data: a\n\n");
    call(sse);
    const result = next.then(({ value }) => value?.data, (it) => it.message);
    assertEquals(`${await result}`, expected);
  }
});

const endings: Record<string, [(sse: SseConnection) => void, unknown]> = {
  "close()": [(sse) => void sse.close(), undefined],
  "reconnect()": [(sse) => sse.reconnect(), "b"],
};
for (const [how, [call, expected]] of Object.entries(endings)) {
  Deno.test(`${how} is not undone at any moment after shouldReconnect has returned false`, async () => {
    for (const moment of moments) {
      const { fetch } = inTurn(
        events("data: a\n\n"),
        () => new Response("No", { status: 503 }),
        events("data: b\n\n"),
      );
      let state: SseConnection["state"] | undefined;
      await using sse: SseConnection = await connectSse(url, {
        fetch,
        reconnect: {
          initialDelay: 0,
          shouldReconnect({ code }) {
            if (code !== "status") return true;
            microtasks(moment).then(() => {
              state = sse.state;
              call(sse);
            });
            return false;
          },
        },
      });
      await sse.next();
      const next = sse.next();
      const result = await next.then(({ value }) => value?.data, (it) => it);
      if (moment === 0) assertEquals(state, "connecting");
      if (state !== "connecting") break;
      assertEquals(result, expected, `after ${moment} microtasks`);
    }
  });
}
