// A server that replays after `Last-Event-ID` and dies in every way at random
// bytes. `SSE_CHAOS_EVENTS` and `SSE_CHAOS_SEED` make it longer, or another.

import { assert, assertEquals } from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
} from "../../mod.ts";
import { ChaosServer, loggedEvent } from "../support/chaos_server.ts";
import { Random } from "../support/random.ts";

const length = Number(Deno.env.get("SSE_CHAOS_EVENTS") ?? 20_000);
const seed = Number(Deno.env.get("SSE_CHAOS_SEED") ?? 1);

/** Small delays, and all that is needed to get through. */
function options(server: ChaosServer, length: number): ConnectSseOptions {
  const last = loggedEvent(length - 1).id;
  return {
    until: ({ id }) => id === last,
    idleTimeout: 30,
    connectTimeout: 60,
    reconnect: {
      initialDelay: 0,
      maxDelay: 1,
      onReconnect: async ({ error }) => {
        // No response: it may have been refused.
        if (error.response === undefined) await server.comeBack();
      },
    },
  };
}

function assertLogged(event: ServerSentEvent, number: number): void {
  const { event: type, data, id } = event;
  // Not assertEquals on each, which is slow.
  const expected = loggedEvent(number);
  if (
    id !== expected.id || data !== expected.data || type !== expected.event
  ) assertEquals({ event: type, data, id }, expected, `event ${number}`);
}

Deno.test(`SseConnection gets each of ${length} events once and in order from a server that dies in all ways`, async () => {
  await using server = await ChaosServer.listen(length, seed);
  await using sse = await connectSse(server.url, options(server, length));
  let count = 0;
  for await (const event of sse) assertLogged(event, count++);
  assertEquals(count, length);
  for (const [death, times] of server.deaths) {
    assert(times > 0 || length < 20_000, `No connection died by ${death}`);
  }
});

Deno.test("SseConnection gets each event once and in order also where the client reconnects, restarts and asks for many at once", async () => {
  const most = Math.ceil(length / 4);
  await using server = await ChaosServer.listen(most, seed + 1);
  const random = new Random(seed);
  let count = 0;
  let lastEventId = "";
  while (count < most) {
    await using sse = await connectSse(server.url, {
      ...options(server, most),
      lastEventId,
      onComment: () => {
        if (random.chance(0.05)) sse.reconnect();
      },
    });
    while (count < most && !random.chance(0.002)) {
      const asked = Array.from({ length: random.below(4) }, () => sse.next());
      if (random.chance(0.01)) sse.reconnect();
      for (const { value } of await Promise.all(asked)) {
        if (value !== undefined) assertLogged(value, count++);
      }
    }
    // All that was asked for was got: the rest is asked for again.
    lastEventId = sse.lastEventId;
    assertEquals(lastEventId, count > 0 ? loggedEvent(count - 1).id : "");
  }
  assertEquals(count, most);
});
