import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { done, empty, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

const refusal = (retryAfter?: string) => () =>
  new Response("No", {
    status: 503,
    headers: retryAfter === undefined ? {} : { "retry-after": retryAfter },
  });

/** The ms between one request and the next. */
function waits(times: number[]): number[] {
  return times.slice(1).map((time, i) => time - times[i]);
}

Deno.test("SseConnection waits longer from one attempt in a row to the next, up to maxDelay", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    refusal(),
    refusal(),
    failing,
    refusal(),
    failing,
    refusal(),
    empty,
  );
  const connected = connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 100,
      backoffFactor: 3,
      maxDelay: 2000,
      jitter: 0,
    },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  assertEquals(await sse.next(), done);
  assertEquals(waits(times), [100, 300, 900, 2000, 2000, 2000]);
});

Deno.test("SseConnection waits between half and all of a second at first, unless told otherwise", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(events("data: a\n\n"), empty);
  await using sse = await connectSse(url, { fetch, reconnect: true });
  const all = Array.fromAsync(sse, ({ data }) => data);
  await time.tickAsync(499);
  await time.runMicrotasks();
  assertEquals(times.length, 1);
  await time.tickAsync(501);
  assertEquals(await all, ["a"]);
  assertEquals(times.length, 2);
});

Deno.test("SseConnection waits as long as it tells onReconnect", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    refusal(),
    refusal(),
    refusal(),
    refusal("30"),
    empty,
  );
  const told: ReconnectInfo[] = [];
  const connected = connectSse(url, {
    fetch,
    reconnect: { jitter: 1, onReconnect: (info) => void told.push(info) },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  assertEquals(await sse.next(), done);
  assertEquals(told.length, 4);
  assertEquals(waits(times), told.map(({ delay }) => delay));
});

Deno.test("connectSse waits and tries again, its promise pending, while there is no response", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    failing,
    failing,
    failing,
    events("data: a\n\n"),
  );
  const connected = connectSse(url, { fetch, reconnect: { jitter: 0 } });
  let settled = false;
  connected.finally(() => settled = true);
  await time.tickAsync(1000);
  await time.tickAsync(2000);
  await time.tickAsync(3999);
  await time.runMicrotasks();
  assertEquals([times.length, settled], [3, false]);
  await time.tickAsync(1);
  await using sse = await connected;
  assertEquals(waits(times), [1000, 2000, 4000]);
  assertEquals((await sse.next()).value?.data, "a");
});

Deno.test("connectSse waits and tries again after a refusal that may pass, and resolves with what is final", async () => {
  using time = new FakeTime();
  for (
    const [final, status] of [
      [events("data: a\n\n"), 200],
      [() => new Response("Who?", { status: 401 }), 401],
      [empty, 204],
    ] as const
  ) {
    const { fetch, times } = inTurn(failing, refusal(), refusal("60"), final);
    const connected = connectSse(url, { fetch, reconnect: { jitter: 0 } });
    while (await time.nextAsync());
    await using sse = await connected;
    assertEquals(sse.response.status, status);
    assertEquals(waits(times), [1000, 2000, 60_000]);
  }
});

Deno.test("SseConnection takes the server's retry as the first wait from then on", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    failing,
    events("retry: 70\ndata: a\n\n"),
    failing,
    events("data: b\n\nretry: 50\n"),
    failing,
    empty,
  );
  const connected = connectSse(url, {
    fetch,
    reconnect: { jitter: 0, initialDelay: 200 },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  const all = Array.fromAsync(sse, ({ data }) => data);
  while (await time.nextAsync());
  assertEquals(await all, ["a", "b"]);
  assertEquals(waits(times), [200, 70, 140, 50, 100]);
});

Deno.test("SseConnection connects again at once where the server's retry is 0, but not time and again", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    events("retry: 0\ndata: a\n\n"),
    failing,
    failing,
    failing,
    events("data: b\n\n"),
    empty,
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { jitter: 0 },
  });
  const all = Array.fromAsync(sse, ({ data }) => data);
  while (await time.nextAsync());
  assertEquals(await all, ["a", "b"]);
  assertEquals(waits(times), [0, 100, 100, 100, 0]);
});

Deno.test("SseConnection waits no less than Retry-After, be it more than maxDelay", async () => {
  using time = new FakeTime("2026-11-22T10:00:00Z");
  const { fetch, times } = inTurn(
    refusal("7"),
    refusal("Sun, 22 Nov 2026 10:01:30 GMT"),
    refusal("1"),
    refusal(),
    empty,
  );
  const connected = connectSse(url, {
    fetch,
    reconnect: { jitter: 0, maxDelay: 5000 },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  assertEquals(await sse.next(), done);
  assertEquals(waits(times), [7000, 83_000, 4000, 5000]);
});

Deno.test("SseConnection waits short again after an event, but not after a mere connection", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    events("data: a\n\n"),
    failing,
    events(""),
    events(": comment\n\nid: 1\n\n"),
    events("data: b\n\n"),
    failing,
    empty,
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { jitter: 0, initialDelay: 100 },
  });
  const all = Array.fromAsync(sse, ({ data }) => data);
  while (await time.nextAsync());
  assertEquals(await all, ["a", "b"]);
  assertEquals(waits(times), [100, 200, 400, 800, 100, 200]);
});

Deno.test("SseConnection waits only once onReconnect has settled", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(refusal(), empty);
  const connected = connectSse(url, {
    fetch,
    reconnect: {
      jitter: 0,
      onReconnect: () => new Promise((resolve) => setTimeout(resolve, 300)),
    },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  assertEquals(await sse.next(), done);
  assertEquals(waits(times), [1300]);
});

Deno.test("SseConnection is not hurried by a Retry-After longer than timers can be", async () => {
  const { fetch, times } = inTurn(
    events("data: a\n\n"),
    refusal("9999999"),
    empty,
  );
  const { promise: waiting, resolve } = Promise.withResolvers<number>();
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      onReconnect: ({ delay }) => {
        if (delay > 0) resolve(delay);
      },
    },
  });
  await sse.next();
  const end = sse.next();
  assertEquals(await waiting, 9_999_999_000);
  // A platform's timer takes such a delay for one of at most a millisecond.
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(times.length, 2);
  await sse.close();
  assertEquals(await end, done);
});

Deno.test("SseConnection gives every attempt connectTimeout for its headers", async () => {
  using time = new FakeTime();
  const never = () => new Promise<Response>(() => {});
  const { fetch, times, requests } = inTurn(
    never,
    never,
    events("data: a\n\n"),
    never,
    empty,
  );
  const connected = connectSse(url, {
    fetch,
    connectTimeout: 500,
    reconnect: { jitter: 0, initialDelay: 100 },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  const all = Array.fromAsync(sse, ({ data }) => data);
  while (await time.nextAsync());
  assertEquals(await all, ["a"]);
  assertEquals(waits(times), [600, 700, 100, 700]);
  // All but the one whose response came to its end.
  assertEquals(
    requests.map(({ signal }) => signal.aborted),
    [true, true, false, true, true],
  );
});

Deno.test("SseConnection does not count the wait for a connection as the server's silence", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  const { fetch } = inTurn(
    events("data: a\n\n"),
    () => stream.response,
    failing,
  );
  await using sse = await connectSse(url, {
    fetch,
    idleTimeout: 100,
    reconnect: { jitter: 0, maxAttempts: 1 },
  });
  await sse.next();
  const next = sse.next();
  await time.tickAsync(1000);
  await time.tickAsync(99);
  stream.send("data: b\n\n");
  assertEquals((await next).value?.data, "b");

  const last = assertSseError(sse.next(), "reconnect-failed");
  await time.tickAsync(100);
  await stream.cancelled;
  await time.tickAsync(1000);
  await last;
});
