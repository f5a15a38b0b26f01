// An `input` function that returns the request of each attempt.

import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type SseAttempt, SseError } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

const noDelay = { initialDelay: 0, maxDelay: 0 };

Deno.test("input as a function is called for each attempt, with the last event ID and the previous error", async () => {
  const { fetch } = inTurn(
    failing,
    () => new Response("Wait", { status: 503 }),
    events("id: 1\ndata: a\n\n"),
    failing,
    events("id: 2\ndata: b\n\n"),
    events("data: [DONE]\n\n"),
  );
  const attempts: SseAttempt[] = [];
  await using sse = await connectSse((attempt) => {
    attempts.push(attempt);
    return url;
  }, { fetch, until: "[DONE]", reconnect: noDelay });
  for await (const _ of sse);
  assertEquals(
    attempts.map(({ attempt, lastEventId, error }) => [
      attempt,
      lastEventId,
      error?.code,
    ]),
    [
      [0, "", undefined],
      [1, "", "network"],
      [2, "", "status"],
      [1, "1", "truncated"],
      [2, "1", "network"],
      [1, "2", "truncated"],
    ],
  );
  assertEquals(attempts[2].error?.body, "Wait");
});

Deno.test("input as a function receives attempt 1, not 0, after reconnect()", async () => {
  const attempts: SseAttempt[] = [];
  const { fetch } = inTurn(events("data: a\n\n"));
  await using sse = await connectSse((attempt) => {
    attempts.push(attempt);
    return url;
  }, { fetch, reconnect: true, lastEventId: "7" });
  sse.reconnect();
  await sse.next();
  assertEquals(attempts, [
    { attempt: 0, lastEventId: "7", lastEvent: undefined, error: undefined },
    { attempt: 1, lastEventId: "7", lastEvent: undefined, error: undefined },
  ]);
});

Deno.test("input as a function can replace a token that expires during the stream, without losing events", async () => {
  const log = ["a", "b", "c", "d"];
  let valid = "1";
  await using server = new HttpServer(({ headers }) => {
    if (headers.get("authorization") !== `Bearer ${valid}`) {
      return new Response("expired", { status: 401 });
    }
    // Each token is valid for one connection, which sends two events.
    valid = String(Number(valid) + 1);
    const from = Number(headers.get("last-event-id") ?? 0);
    return eventResponse(
      log.slice(from, from + 2).map((data, i) =>
        `id: ${from + i + 1}\ndata: ${data}\n\n`
      ).join(""),
    );
  });
  let token = "1";
  await using sse = await connectSse(({ error }) => {
    if (error?.response?.status === 401) token = valid;
    return new Request(server.url, {
      headers: { Authorization: `Bearer ${token}` },
    });
  }, {
    until: ({ data }) => data === "d",
    reconnect: {
      ...noDelay,
      shouldReconnect: ({ response }) => response?.status === 401 || undefined,
    },
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), log);
  assertEquals(
    server.requests.map(({ headers }) => [
      headers.get("authorization"),
      headers.get("last-event-id"),
    ]),
    [["Bearer 1", null], ["Bearer 1", "2"], ["Bearer 2", "2"]],
  );
});

Deno.test("input as a function can change the URL", async () => {
  await using server = new HttpServer(
    events("id: 1\ndata: a\n\n"),
    events("data: [DONE]\n\n"),
  );
  await using sse = await connectSse(
    ({ attempt }) => new URL(`${server.url}${attempt}`),
    { until: "[DONE]", headers: { "X-Key": "k" }, reconnect: noDelay },
  );
  for await (const _ of sse);
  assertEquals(
    server.requests.map(({ path, headers }) => [path, headers.get("x-key")]),
    [["/0", "k"], ["/1", "k"]],
  );
});

Deno.test("input as a function can continue a single POST with GET requests", async () => {
  await using server = new HttpServer(
    events("id: 1\ndata: a\n\n"),
    events("id: 2\ndata: b\n\n"),
    events("data: [DONE]\n\n"),
  );
  await using sse = await connectSse(
    ({ attempt }) =>
      attempt === 0
        ? new Request(server.url, { method: "POST", body: "ask" })
        : server.url,
    { until: "[DONE]", reconnect: noDelay },
  );
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a", "b"]);
  assertEquals(
    server.requests.map(({ method, body, headers }) => [
      method,
      body,
      headers.get("last-event-id"),
    ]),
    [["POST", "ask", null], ["GET", "", "1"], ["GET", "", "2"]],
  );
});

Deno.test("a Request from the input function is sent unchanged, except for missing headers", async () => {
  const { fetch, requests } = inTurn(
    events("id: 1\ndata: a\n\n"),
    events("data: b\n\n"),
  );
  const own = {
    "Accept": "application/json, text/event-stream",
    "Cache-Control": "max-age=0",
    "Last-Event-ID": "mine",
    "X-Key": "k",
  };
  await using sse = await connectSse(
    ({ attempt }) =>
      new Request(`${url}?q=1`, {
        method: "PUT",
        body: "hi",
        headers: attempt === 0 ? {} : own,
      }),
    {
      fetch,
      method: "DELETE",
      headers: { "X-Key": "not sent" },
      body: null,
      reconnect: noDelay,
    },
  );
  await sse.next();
  await sse.next();
  for (const { method, url } of requests) {
    assertEquals([method, url], ["PUT", "http://in.process/?q=1"]);
  }
  const sent = requests.map(({ headers }) => Object.fromEntries(headers));
  delete sent[0]["content-type"];
  delete sent[1]["content-type"];
  assertEquals(sent, [
    { "accept": "text/event-stream", "cache-control": "no-cache" },
    {
      "accept": "application/json, text/event-stream",
      "cache-control": "max-age=0",
      "last-event-id": "mine",
      "x-key": "k",
    },
  ]);
  assertEquals(await requests[0].text(), "hi");
});

Deno.test("connectSse sends the body option with each URL from the input function", async () => {
  const bodies: Record<string, () => RequestInit["body"]> = {
    text: () => "ask",
    stream: () => new Response("ask").body,
    form: () => new URLSearchParams({ ask: "" }),
  };
  for (const [kind, body] of Object.entries(bodies)) {
    await using server = new HttpServer(
      events("data: a\n\n"),
      events("data: [DONE]\n\n"),
    );
    await using sse = await connectSse(() => server.url, {
      method: "POST",
      body: body(),
      until: "[DONE]",
      reconnect: noDelay,
    });
    for await (const _ of sse);
    const sent = server.requests.map(({ method, body, headers }) =>
      `${method} ${body} ${headers.get("content-type")}`
    );
    assertEquals(sent.length, 2, kind);
    assertEquals(sent[0], sent[1]);
    assertStringIncludes(sent[0], "POST ask");
  }
});

Deno.test("the signal of a Request from the input function aborts only that attempt", async () => {
  using time = new FakeTime();
  const never = ({ signal }: Request) =>
    new Promise<Response>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    );
  const { fetch, requests } = inTurn(never, events("data: a\n\n"));
  const connected = connectSse(
    () => new Request(url, { signal: AbortSignal.timeout(100) }),
    { fetch, reconnect: noDelay },
  );
  await time.tickAsync(100);
  while (requests.length < 2 && await time.nextAsync());
  await using sse = await connected;
  assertEquals((await sse.next()).value?.data, "a");
});

const thrown = new Error("no token");
for (
  const [how, input] of [
    ["throws", () => {
      throw thrown;
    }],
    ["rejects", () => Promise.reject(thrown)],
  ] as [string, () => never][]
) {
  Deno.test(`connectSse rejects with the error if input ${how}, and does not retry`, async () => {
    let calls = 0;
    const promise = connectSse(() => {
      calls++;
      return input();
    }, { reconnect: noDelay });
    assertStrictEquals(await assertRejects(() => promise), thrown);
    assertEquals(calls, 1);
  });

  Deno.test(`SseConnection ends with the error if input ${how} at a reconnect`, async () => {
    const { fetch } = inTurn(events("data: a\n\n"));
    await using sse = await connectSse(
      ({ attempt }) => attempt === 0 ? url : input(),
      { fetch, reconnect: noDelay },
    );
    await sse.next();
    assertStrictEquals(await assertRejects(() => sse.next()), thrown);
    assertEquals(await sse.next(), done);
  });
}

Deno.test("connectSse retries after an SseError that input throws", async () => {
  const { fetch } = inTurn(events("data: a\n\n"));
  const messages: string[] = [];
  let calls = 0;
  await using sse = await connectSse(() => {
    if (++calls < 3) throw new SseError("network", "no token yet");
    return url;
  }, {
    fetch,
    reconnect: {
      ...noDelay,
      onReconnect: ({ error }) => void messages.push(error.message),
    },
  });
  await sse.next();
  assertEquals(messages, ["no token yet", "no token yet"]);
});

Deno.test("close(), an abort and reconnect() do not wait for a pending input, and ignore its late result", async () => {
  for (const end of ["close", "abort", "reconnect"]) {
    const controller = new AbortController();
    const late = Promise.withResolvers<string>();
    const called = Promise.withResolvers<void>();
    const { fetch, requests } = inTurn(
      events("data: a\n\n"),
      () => new OpenResponse("data: b\n\n").response,
    );
    let calls = 0;
    await using sse = await connectSse(() => {
      if (++calls !== 2) return url;
      called.resolve();
      return late.promise;
    }, { fetch, reconnect: noDelay, signal: controller.signal });
    await sse.next();
    const pending = sse.next().catch((reason) => reason);
    await called.promise;
    if (end === "close") await sse.close();
    if (end === "abort") controller.abort("enough");
    if (end === "reconnect") sse.reconnect();
    const result = await deadline(pending, end);
    if (end === "close") assertEquals(result, done);
    if (end === "abort") assertEquals(result, "enough");
    if (end === "reconnect") assertEquals(result.value?.data, "b");
    const { length } = requests;
    late.resolve(url);
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(requests.length, length);
  }
});

Deno.test("connectTimeout includes the duration of the input function", async () => {
  using time = new FakeTime();
  const promise = assertSseError(
    connectSse(() => new Promise<string>(() => {}), { connectTimeout: 100 }),
    "connect-timeout",
  );
  await time.tickAsync(100);
  await promise;
});

Deno.test("connectSse rejects with a TypeError if input returns neither a URL nor a Request", async () => {
  for (const given of [undefined, 5, {}, "not a URL"]) {
    await assertRejects(
      () => connectSse(() => given as string, { reconnect: noDelay }),
      TypeError,
    );
  }
});

Deno.test("connectSse passes Deno's client to fetch", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  using client = Deno.createHttpClient({
    proxy: { url: server.url },
  });
  // No server listens on this port. The proxy responds instead.
  await using sse = await connectSse("http://localhost:4/", { client });
  assertEquals((await sse.next()).value?.data, "a");
});

for (const code of ["status", "content-type", "truncated"] as const) {
  Deno.test(`connectSse and next() reject with an SseError "${code}" that input throws`, async () => {
    const inputError = new SseError(code, "no token to be had");
    const input = ({ attempt }: SseAttempt) => {
      if (attempt === failingAttempt) throw inputError;
      return url;
    };
    const { fetch } = inTurn(events("data: a\n\n"));
    let failingAttempt = 0;
    for (const reconnect of [false, { shouldReconnect: () => false }]) {
      const error = await assertRejects(() =>
        connectSse(input, { fetch, reconnect })
      );
      assertStrictEquals(error, inputError);
    }

    failingAttempt = 1;
    await using sse = await connectSse(input, {
      fetch,
      reconnect: {
        ...noDelay,
        shouldReconnect: (error) => error !== inputError && undefined,
      },
    });
    assertEquals((await sse.next()).value?.data, "a");
    assertStrictEquals(await assertRejects(() => sse.next()), inputError);
    assertEquals(await sse.next(), done);
  });
}
