/** A server that replays after `Last-Event-ID` and dies at random bytes. */

import { assert, assertEquals } from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
} from "../../mod.ts";
import { ChaosServer, loggedEvent } from "../support/chaos_server.ts";
import { Random } from "../support/random.ts";

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
      onReconnect: ({ error }) => {
        // No response: it may have been refused.
        if (error.response === undefined) server.comeBack();
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

/** Reads the whole log, and checks that no event is lost or repeated. */
export async function readThroughChaos(
  length: number,
  seed: number,
): Promise<void> {
  await using server = await ChaosServer.listen(length, seed);
  await using sse = await connectSse(server.url, options(server, length));
  let count = 0;
  for await (const event of sse) assertLogged(event, count++);
  assertEquals(count, length);
  for (const [death, times] of server.deaths) {
    assert(times > 0 || length < 10_000, `No connection died by ${death}`);
  }
}

/** The same, with a client that reconnects, restarts and reads several at once. */
export async function restartThroughChaos(
  length: number,
  seed: number,
): Promise<void> {
  await using server = await ChaosServer.listen(length, seed + 1);
  const random = new Random(seed);
  let count = 0;
  let lastEventId = "";
  while (count < length) {
    await using sse = await connectSse(server.url, {
      ...options(server, length),
      lastEventId,
      onComment: () => {
        if (random.chance(0.05)) sse.reconnect();
      },
    });
    while (count < length && !random.chance(0.002)) {
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
  assertEquals(count, length);
}
