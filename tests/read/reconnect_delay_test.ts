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

/** Returns the milliseconds between each request and the next one. */
function intervals(times: number[]): number[] {
  return times.slice(1).map((time, i) => time - times[i]);
}

Deno.test("SseConnection increases the delay with each attempt in a row, up to maxDelay", async () => {
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
  assertEquals(intervals(times), [100, 300, 900, 2000, 2000, 2000]);
});

Deno.test("SseConnection waits 500 to 1000 ms before the first reconnect by default", async () => {
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

Deno.test("SseConnection waits for the delay that onReconnect receives", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    refusal(),
    refusal(),
    refusal(),
    refusal("30"),
    empty,
  );
  const infos: ReconnectInfo[] = [];
  const connected = connectSse(url, {
    fetch,
    reconnect: { jitter: 1, onReconnect: (info) => void infos.push(info) },
  });
  while (await time.nextAsync());
  await using sse = await connected;
  assertEquals(await sse.next(), done);
  assertEquals(infos.length, 4);
  assertEquals(intervals(times), infos.map(({ delay }) => delay));
});

Deno.test("connectSse stays pending and retries until there is a response", async () => {
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
  assertEquals(intervals(times), [1000, 2000, 4000]);
  assertEquals((await sse.next()).value?.data, "a");
});

Deno.test("connectSse retries after temporary errors, and resolves with the first final response", async () => {
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
    assertEquals(intervals(times), [1000, 2000, 60_000]);
  }
});

Deno.test("SseConnection uses the server's retry instead of initialDelay", async () => {
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
  assertEquals(intervals(times), [200, 70, 140, 50, 100]);
});

Deno.test("SseConnection reconnects once without a delay if the server's retry is 0, and then with a delay", async () => {
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
  assertEquals(intervals(times), [0, 100, 100, 100, 0]);
});

Deno.test("SseConnection waits at least as long as Retry-After, even if it exceeds maxDelay", async () => {
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
  assertEquals(intervals(times), [7000, 83_000, 4000, 5000]);
});

Deno.test("SseConnection resets the delay after an event, not after a connection", async () => {
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
  assertEquals(intervals(times), [100, 200, 400, 800, 100, 200]);
});

Deno.test("SseConnection starts the delay after the promise of onReconnect has resolved", async () => {
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
  assertEquals(intervals(times), [1300]);
});

Deno.test("SseConnection does not shorten a Retry-After that exceeds the limit of setTimeout", async () => {
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
  // `setTimeout` alone would shorten a delay above its limit to 1 ms or less.
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(times.length, 2);
  await sse.close();
  assertEquals(await end, done);
});

Deno.test("SseConnection applies connectTimeout to each attempt", async () => {
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
  assertEquals(intervals(times), [600, 700, 100, 700]);
  // The third response was read to its end, so its request is not aborted.
  assertEquals(
    requests.map(({ signal }) => signal.aborted),
    [true, true, false, true, true],
  );
});

Deno.test("SseConnection excludes the delay before a reconnect from idleTimeout", async () => {
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
