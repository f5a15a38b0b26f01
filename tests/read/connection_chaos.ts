/**
 * Tests with a server that replays after `Last-Event-ID`, and whose connections
 * fail at random bytes.
 */

import { assert, assertEquals } from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
} from "../../mod.ts";
import { ChaosServer, loggedEvent } from "../support/chaos_server.ts";
import { Random } from "../support/random.ts";

/** Options with short delays and timeouts, to read the whole log quickly. */
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
        // Without a response, the server may be refusing connections.
        if (error.response === undefined) server.comeBack();
      },
    },
  };
}

function assertLogged(event: ServerSentEvent, number: number): void {
  const { event: type, data, id } = event;
  // `assertEquals` is too slow to be called for each event.
  const expected = loggedEvent(number);
  if (
    id !== expected.id || data !== expected.data || type !== expected.event
  ) assertEquals({ event: type, data, id }, expected, `event ${number}`);
}

/** Reads the whole log, and asserts that no event is lost or repeated. */
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
    assert(
      times > 0 || length < 10_000,
      `Expected the server to cause "${death}"`,
    );
  }
}

/**
 * Does the same with a client that calls `reconnect()`, restarts from
 * `lastEventId`, and makes overlapping calls of `next()`.
 */
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
      const calls = Array.from({ length: random.below(4) }, () => sse.next());
      if (random.chance(0.01)) sse.reconnect();
      for (const { value } of await Promise.all(calls)) {
        if (value !== undefined) assertLogged(value, count++);
      }
    }
    // All calls have been answered, so the next connection can continue after
    // the last event that was read.
    lastEventId = sse.lastEventId;
    assertEquals(lastEventId, count > 0 ? loggedEvent(count - 1).id : "");
  }
  assertEquals(count, length);
}
