import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type SseConnection } from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { countListeners } from "../support/listeners.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

async function data(sse: SseConnection): Promise<string | undefined> {
  return (await deadline(sse.next(), "next()")).value?.data;
}

Deno.test("reconnect() drops the connection and opens another one without a pending next()", async () => {
  const first = new OpenResponse("id: 1\ndata: a\n\nid: 2\ndata: half");
  const second = new OpenResponse("data: b\n\n");
  await using server = new HttpServer(
    () => first.response,
    () => second.response,
  );
  await using sse = await connectSse(server.url, { reconnect: true });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  await first.cancelled;
  const { headers } = await server.request(1);
  assertEquals(headers.get("last-event-id"), "1");
  assertEquals(await data(sse), "b");
  assertEquals(server.requests.length, 2);
});

Deno.test("reconnect() before the first next() drops the unread response, even if it is an error", async () => {
  for (const init of [{}, { status: 401 }]) {
    const first = new OpenResponse("data: a\n\n", init);
    await using server = new HttpServer(
      () => first.response,
      events("data: b\n\n"),
    );
    await using sse = await connectSse(server.url, { reconnect: true });
    sse.reconnect();
    await first.cancelled;
    assertEquals(await data(sse), "b");
    assertEquals(server.requests.length, 2);
  }
});

Deno.test("reconnect() keeps the events that have arrived, and requests those after them", async () => {
  const first = new OpenResponse(
    "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\nid: 4\ndata: ha",
  );
  const { fetch, requests } = inTurn(
    () => first.response,
    events("lf\n\nid: 4\ndata: d\n\n"),
  );
  await using sse = await connectSse(url, { fetch, reconnect: true });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  assertEquals(sse.lastEventId, "1");
  assertEquals([await data(sse), await data(sse)], ["b", "c"]);
  assertEquals(sse.lastEventId, "3");
  assertEquals(await data(sse), "d");
  assertEquals(requests[1].headers.get("last-event-id"), "3");
});

Deno.test("reconnect() keeps pending next() calls waiting for the new connection", async () => {
  const first = new OpenResponse();
  const second = new OpenResponse();
  await using server = new HttpServer(
    () => first.response,
    () => second.response,
  );
  await using sse = await connectSse(server.url, { reconnect: true });
  const pending = [sse.next(), sse.next(), sse.next()];
  await server.request(0);
  sse.reconnect();
  await first.cancelled;
  await server.request(1);
  second.send("data: a\n\ndata: b\n\n");
  second.send("data: c\n\n");
  const got = await Promise.all(pending);
  assertEquals(got.map(({ value }) => value?.data), ["a", "b", "c"]);
});

Deno.test("reconnect() ends the delay before the next attempt", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    events(""),
    () => new Response("No", { status: 503, headers: { "retry-after": "60" } }),
    events("data: a\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  const pending = data(sse);
  await time.tickAsync(0);
  await time.tickAsync(100);
  await time.runMicrotasks();
  assertEquals(times.length, 2);
  sse.reconnect();
  assertEquals(await pending, "a");
  assertEquals(times[2] - times[1], 100);
  assertEquals(time.next(), false);
});

Deno.test("reconnect() replaces a pending request", async () => {
  const { fetch, requests } = new SseScript(
    [{ id: "1", data: "a" }],
    ["stall"],
    ["stall"],
    [{ data: "b" }],
  );
  const infos: ReconnectInfo[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      onReconnect: (info) => void infos.push(info),
    },
  });
  assertEquals(await data(sse), "a");
  const pending = data(sse);
  for (const index of [1, 2]) {
    while (requests.length <= index) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    sse.reconnect();
    assertEquals(requests[index].outcome, "left");
  }
  assertEquals(await pending, "b");
  assertEquals(
    requests.map(({ lastEventId }) => lastEventId),
    ["", "1", "1", "1"],
  );
  // Only the end of the first connection is a failure, not `reconnect()`.
  assertEquals(infos.length, 1);
});

Deno.test("reconnect() replaces a pending request even if fetch ignores signals, and cancels its late response", async () => {
  const late = new OpenResponse("data: late\n\n");
  const answer = Promise.withResolvers<Response>();
  const requested = Promise.withResolvers<void>();
  const { fetch } = inTurn(
    events("data: a\n\n"),
    () => (requested.resolve(), answer.promise),
    events("data: b\n\n"),
  );
  await using sse = await connectSse(url, { fetch, reconnect: true });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  const pending = data(sse);
  await requested.promise;
  sse.reconnect();
  answer.resolve(late.response);
  assertEquals(await pending, "b");
  await late.cancelled;
});

Deno.test("reconnect() leaves one connection open if it is called repeatedly", async () => {
  const streams = Array.from(
    { length: 5 },
    (_, i) => new OpenResponse(`data: ${i}\n\n`),
  );
  const { fetch, requests } = inTurn(
    () => streams[0].response,
    () => streams[1].response,
    () => streams[2].response,
    () => streams[3].response,
    () => streams[4].response,
  );
  await using sse = await connectSse(url, { fetch, reconnect: true });
  for (let i = 0; i < 4; i++) sse.reconnect();
  const got = await data(sse);
  assertEquals(got, String(requests.length - 1));
  for (const { cancelled } of streams.slice(0, requests.length - 1)) {
    await cancelled;
  }
});

Deno.test("reconnect() sends one request and calls a function input once if it is called repeatedly", async () => {
  let calls = 0;
  for (const input of [url, () => (calls++, url)]) {
    const { fetch, requests } = inTurn(() => new OpenResponse().response);
    await using sse = await connectSse(input, { fetch, reconnect: true });
    for (let i = 0; i < 4; i++) sse.reconnect();
    await microtasks(20);
    assertEquals(requests.length, 2);
  }
  assertEquals(calls, 2);
});

Deno.test("reconnect() follows the reconnect policy if its request fails", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    () => Promise.reject(new Error("cable cut")),
    () => new Response("No", { status: 503 }),
    () => new Response("Never", { status: 401 }),
  );
  const infos: ReconnectInfo[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      onReconnect: (info) => void infos.push(info),
    },
  });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  await assertSseError(sse.next(), "status");
  assertEquals(
    infos.map(({ attempt, error }) => [attempt, error.code]),
    [[1, "network"], [2, "status"]],
  );
  assertEquals(requests.length, 4);
});

Deno.test("reconnect() retries a failed request without a pending next()", async () => {
  using time = new FakeTime();
  const second = new OpenResponse("data: b\n\n");
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    () => Promise.reject(new Error("cable cut")),
    () => Promise.reject(new Error("cable cut")),
    () => second.response,
  );
  await using sse = await connectSse(url, { fetch, reconnect: true });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  while (await time.nextAsync());
  assertEquals(requests.length, 4);
  assertEquals((await sse.next()).value?.data, "b");
});

Deno.test("reconnect() sends one request if the body has just ended", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    events("data: b\n\n"),
  );
  await using sse = await connectSse(url, { fetch, reconnect: true });
  assertEquals(await data(sse), "a");
  const pending = data(sse);
  sse.reconnect();
  assertEquals(await pending, "b");
  assertEquals(requests.length, 2);
});

Deno.test("SseConnection waits for the initial delay at the first failure after reconnect()", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(
    events("data: a\n\n"),
    events("data: b\n\n"),
    events("data: c\n\n"),
  );
  await using sse = await connectSse(url, { fetch, reconnect: { jitter: 0 } });
  assertEquals((await sse.next()).value?.data, "a");
  sse.reconnect();
  assertEquals((await sse.next()).value?.data, "b");
  const pending = sse.next();
  await time.tickAsync(999);
  await time.runMicrotasks();
  assertEquals(times.length, 2);
  await time.tickAsync(1);
  assertEquals((await pending).value?.data, "c");
});

Deno.test("reconnect() in a for await loop continues the loop with the new connection", async () => {
  const first = new OpenResponse("data: a\n\ndata: b\n\n");
  await using server = new HttpServer(
    () => first.response,
    events("data: c\n\ndata: d\n\n"),
  );
  const got: string[] = [];
  const sse = await connectSse(server.url, { reconnect: true });
  for await (const { data } of sse) {
    got.push(data);
    if (data === "a") sse.reconnect();
    if (data === "d") break;
  }
  assertEquals(got, ["a", "b", "c", "d"]);
  await first.cancelled;
});

Deno.test("reconnect() in until resumes after the events of the same chunk", async () => {
  const { fetch, requests } = inTurn(
    events("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"),
    events("id: 3\ndata: c\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: true,
    until({ data }) {
      if (data === "a") sse.reconnect();
      return data === "c";
    },
  });
  assertEquals(
    await Array.fromAsync(sse, ({ data }) => data),
    ["a", "b", "c"],
  );
  assertEquals(requests[1].headers.get("last-event-id"), "2");
});

Deno.test("reconnect() in onComment neither loses nor repeats an event of the same chunk", async () => {
  const log = ["a", "b", "c", "d"];
  const { fetch } = inTurn(
    events(
      "id: 0\ndata: a\n\n: move over\n\nid: 1\ndata: b\n\nid: 2\ndata: ha",
    ),
    // Replays the events after `Last-Event-ID`.
    ({ headers }) => {
      const from = Number(headers.get("last-event-id") ?? -1) + 1;
      const rest = log.slice(from).map((data, i) =>
        `id: ${from + i}\ndata: ${data}\n\n`
      );
      return eventResponse(rest.join(""));
    },
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: true,
    until: ({ data }) => data === "d",
    onComment: () => sse.reconnect(),
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), log);
});

Deno.test("reconnect() in onComment ignores a too large event in the rest of the chunk", async () => {
  const large = "x".repeat(100);
  const { fetch, requests } = inTurn(
    events(`id: 1\ndata: a\n\n: move over\n\nid: 2\ndata: ${large}\n\n`),
    events("data: b\n\ndata: [DONE]\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    maxEventSize: 50,
    reconnect: true,
    until: "[DONE]",
    onComment: () => sse.reconnect(),
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a", "b"]);
  assertEquals(requests.length, 2);
  assertEquals(requests[1].headers.get("last-event-id"), "1");
});

Deno.test("onComment ends the stream and the new connection if it throws after reconnect() in the same chunk", async () => {
  const thrown = new Error("mine");
  const second = new OpenResponse("data: b\n\n");
  const { fetch, requests } = inTurn(
    events("data: a\n\n: one\n\n: two\n\n"),
    () => second.response,
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: true,
    onComment(comment) {
      if (comment === "two") throw thrown;
      sse.reconnect();
    },
  });
  assertEquals(await data(sse), "a");
  assertStrictEquals(await assertRejects(() => data(sse)), thrown);
  assertEquals(await sse.next(), done);
  if (requests.length > 1) await second.cancelled;
});

Deno.test("reconnect() sends no request if the callback that called it throws", async () => {
  const thrown = new Error("mine");
  const { fetch, requests } = inTurn(
    events(":c\n\ndata: a\n\n"),
    () => eventResponse("data: late\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: true,
    onComment() {
      sse.reconnect();
      throw thrown;
    },
  });
  assertStrictEquals(await assertRejects(() => data(sse)), thrown);
  assertEquals(await sse.next(), done);
  assertEquals(requests.length, 1);
});

Deno.test("SseConnection.next() rejects with the error that onComment throws after a failed reconnect()", async () => {
  const thrown = new Error("mine");
  const { fetch } = inTurn(
    events("data: a\n\n:c\n\ndata: b\n\n"),
    () => Promise.reject(new Error("cable cut")),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { maxAttempts: 0 },
    onComment() {
      throw thrown;
    },
  });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  await microtasks(50);
  assertStrictEquals(await assertRejects(() => data(sse)), thrown);
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() rejects with the error that onComment throws for a comment before reconnect()", async () => {
  const thrown = new Error("mine");
  const { fetch } = inTurn(events("data: a\n\n: boom\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: true,
    onComment() {
      throw thrown;
    },
  });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  assertStrictEquals(await assertRejects(() => data(sse)), thrown);
});

Deno.test("reconnect() restarts the idle timeout", async () => {
  using time = new FakeTime();
  const streams = [new OpenResponse(), new OpenResponse()];
  const { fetch } = inTurn(
    () => streams[0].response,
    () => streams[1].response,
  );
  await using sse = await connectSse(url, {
    fetch,
    idleTimeout: 100,
    reconnect: true,
  });
  const pending = sse.next();
  await time.tickAsync(80);
  sse.reconnect();
  await time.tickAsync(80);
  await time.runMicrotasks();
  streams[1].send("data: a\n\n");
  assertEquals((await pending).value?.data, "a");
});

for (const reconnect of [undefined, false]) {
  Deno.test(`reconnect() throws a TypeError if the option is ${reconnect}, and does not affect the connection`, async () => {
    await using sse = await connectSse(url, {
      reconnect,
      fetch: events("data: a\n\n"),
    });
    assertThrows(() => sse.reconnect(), TypeError, "reconnect");
    assertEquals(await data(sse), "a");
    await sse.close();
    assertThrows(() => sse.reconnect(), TypeError, "reconnect");
  });
}

Deno.test("reconnect() has no effect after the stream has ended for any reason", async () => {
  const end = "data: a\n\ndata: [DONE]\n\n";
  const controller = new AbortController();
  const { fetch, requests } = inTurn(
    events(end),
    events(end),
    events(end),
    () => new Response(null, { status: 204 }),
    () => new Response("Why?", { status: 401 }),
  );
  const options = { fetch, until: "[DONE]", reconnect: true };

  await using met = await connectSse(url, options);
  assertEquals([await data(met), await data(met)], ["a", undefined]);
  await using closed = await connectSse(url, options);
  await closed.close();
  await using aborted = await connectSse(url, {
    ...options,
    signal: controller.signal,
  });
  controller.abort("enough");
  await using empty = await connectSse(url, options);
  assertEquals(await empty.next(), done);
  await using refused = await connectSse(url, options);
  const error = await assertSseError(refused.next(), "status");

  for (const sse of [met, closed, aborted, empty, refused]) sse.reconnect();
  assertEquals(await aborted.next().catch((reason) => reason), "enough");
  for (const sse of [met, closed, aborted, empty, refused]) {
    assertEquals(await sse.next(), done);
  }
  assertEquals(requests.length, 5);
  assertEquals(error.body, "Why?");
});

Deno.test("reconnect() leaves no listener on the signal after the stream has ended", async () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const sse = await connectSse(url, {
    fetch: events("data: a\n\n"),
    signal,
    reconnect: true,
  });
  await sse.close();
  sse.reconnect();
  assertEquals(listeners(), 0);
});

Deno.test("reconnect() loses no event of a large chunk that is partly unread", async () => {
  const first = Array.from({ length: 10_000 }, (_, i) => `${i}`);
  const { fetch, requests } = inTurn(
    events(first.map((id) => `id: ${id}\ndata: ${id}\n\n`).join("")),
    events("data: last\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: true,
    until: ({ data }) => data === "last",
  });
  assertEquals(await data(sse), "0");
  sse.reconnect();
  assertEquals(
    await Array.fromAsync(sse, ({ data }) => data),
    [...first.slice(1), "last"],
  );
  assertEquals(requests[1].headers.get("last-event-id"), "9999");
});

Deno.test("reconnect() loses no event that has arrived if its request is the last attempt and fails", async () => {
  const { fetch } = inTurn(
    events("data: a\n\ndata: b\n\ndata: c\n\n"),
    () => Promise.reject(new Error("cable cut")),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { maxAttempts: 0 },
  });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  // By then, the request has failed.
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals([await data(sse), await data(sse)], ["b", "c"]);
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(await sse.next(), done);
});

for (
  const [what, answer] of Object.entries({
    "a permanent error": () => new Response("Why?", { status: 401 }),
    "the end": () => new Response(null, { status: 204 }),
  })
) {
  Deno.test(`reconnect() loses no event that has arrived if the new response means ${what}`, async () => {
    const { fetch } = inTurn(events("data: a\n\ndata: b\n\n"), answer);
    await using sse = await connectSse(url, { fetch, reconnect: true });
    assertEquals(await data(sse), "a");
    sse.reconnect();
    await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals(await data(sse), "b");
    if (what === "the end") assertEquals(await sse.next(), done);
    else await assertSseError(sse.next(), "status");
  });
}

Deno.test("reconnect() loses no event before a too large event", async () => {
  const { fetch, requests } = inTurn(
    events(`data: a\n\ndata: b\n\ndata: ${"x".repeat(100)}\n\n`),
    events("data: c\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    maxEventSize: 50,
    reconnect: true,
  });
  assertEquals(await data(sse), "a");
  sse.reconnect();
  assertEquals([await data(sse), await data(sse)], ["b", "c"]);
  assertEquals(requests.length, 2);
});

Deno.test("reconnect() passes the error of the previous connection to a function input", async () => {
  const large = "x".repeat(100);
  const { fetch } = inTurn(
    events(`data: a\n\ndata: ${large}\n\n`),
    events("data: b\n\n"),
  );
  const attempts: string[] = [];
  await using sse = await connectSse(({ attempt, error }) => {
    attempts.push(`${attempt} ${error?.code}`);
    return url;
  }, { fetch, reconnect: true, maxEventSize: 50 });
  // The connection has failed, but no `next()` has received the error yet.
  assertEquals(await data(sse), "a");
  sse.reconnect();
  assertEquals(await data(sse), "b");
  assertEquals(attempts, ["0 undefined", "1 event-too-large"]);
});

Deno.test("reconnect() passes the error of a refused response to a function input", async () => {
  const { fetch } = inTurn(
    () => new Response("Who?", { status: 401 }),
    events("data: a\n\n"),
  );
  const errors: unknown[] = [];
  await using sse = await connectSse(({ error }) => {
    errors.push(error?.response?.status);
    return url;
  }, { fetch, reconnect: true });
  sse.reconnect();
  assertEquals(await data(sse), "a");
  assertEquals(errors, [undefined, 401]);
});

Deno.test("events of a dropped connection do not reset the count of attempts", async () => {
  const { fetch, requests } = inTurn(
    () => new OpenResponse("data: 1\n\n".repeat(20)).response,
    () => new Response("No", { status: 503 }),
  );
  const attempts: number[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      maxDelay: 0,
      maxAttempts: 3,
      onReconnect: ({ attempt }) => void attempts.push(attempt),
    },
  });
  await sse.next();
  sse.reconnect();
  const read = async () => {
    for await (const _ of sse) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await assertSseError(read(), "reconnect-failed");
  assertEquals(attempts, [1, 2, 3]);
  assertEquals(requests.length, 5);
});

Deno.test("eventTimeout starts again for the connection that reconnect() makes while next() waits", async () => {
  using time = new FakeTime();
  const streams: OpenResponse[] = [];
  await using sse = await connectSse(url, {
    fetch() {
      streams.push(new OpenResponse(":\n\n"));
      return streams.at(-1)!.response;
    },
    eventTimeout: 100,
    reconnect: { shouldReconnect: () => false },
  });
  const failed = assertSseError(sse.next(), "event-timeout");
  await microtasks(50);
  await time.tickAsync(60);
  sse.reconnect();
  await microtasks(50);
  await time.tickAsync(99);
  assertEquals(streams.length, 2);
  assertEquals(sse.state, "open");
  await time.tickAsync(1);
  await failed;
});
