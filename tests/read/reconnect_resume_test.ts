// `reconnect.resume: false`, for servers that start the stream anew for each
// request, as LLM APIs do.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectSse, type ConnectSseOptions } from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { dataOf } from "../support/data_of.ts";
import { done, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";

const options = {
  method: "POST",
  body: "ask",
  until: "[DONE]",
  reconnect: { resume: false, initialDelay: 0, maxDelay: 0 },
} satisfies ConnectSseOptions;

Deno.test("resume: false retries until the first event arrives", async () => {
  const busy = { "retry-after": "0" };
  const { fetch, requests } = new SseScript(
    [{ status: 429, headers: busy, body: "Busy" }],
    [{ status: 503, body: "Busy" }],
    [],
    [{ bytes: ": hello\n\nid: 1\n\nretry: 5\n\n" }],
    [{ data: "a" }, { data: "b" }, { data: "[DONE]" }],
  );
  await using sse = await connectSse(url, { ...options, fetch });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a", "b"]);
  assertEquals(requests.map(({ body }) => body), Array(5).fill("ask"));
});

Deno.test('resume: false throws "network" if the connection fails after the first event', async () => {
  const { fetch, requests } = new SseScript([{ data: "a" }, "cut"]);
  await using sse = await connectSse(url, { ...options, fetch });
  assertEquals(await dataOf(sse, 1), ["a"]);
  await assertSseError(sse.next(), "network");
  assertEquals(requests.length, 1);
});

Deno.test('resume: false throws "truncated" if the body ends before until, and ends normally without until', async () => {
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  await using cut = await connectSse(url, { ...options, fetch });
  await cut.next();
  await assertSseError(cut.next(), "truncated");
  assertEquals(await cut.next(), done);
  await using whole = await connectSse(url, {
    ...options,
    until: undefined,
    fetch,
  });
  assertEquals(await Array.fromAsync(whole, ({ data }) => data), ["a"]);
  assertEquals(requests.length, 2);
});

Deno.test("resume: false does not retry after a timeout once an event has arrived", async () => {
  for (const name of ["idleTimeout", "eventTimeout"]) {
    const { fetch, requests } = new SseScript([{ data: "a" }, "stall"]);
    await using sse = await connectSse(url, { ...options, fetch, [name]: 10 });
    await sse.next();
    await assertSseError(
      sse.next(),
      name === "idleTimeout" ? "idle-timeout" : "event-timeout",
    );
    assertEquals(requests.length, 1);
  }
});

Deno.test("resume: false does not call shouldReconnect after the first event", async () => {
  const codes: string[] = [];
  const { fetch } = inTurn(failing, events("data: a\n\n"));
  await using sse = await connectSse(url, {
    ...options,
    fetch,
    reconnect: {
      ...options.reconnect,
      shouldReconnect: ({ code }) => !!codes.push(code),
    },
  });
  await sse.next();
  await assertSseError(sse.next(), "truncated");
  assertEquals(codes, ["network"]);
});

Deno.test("resume: false delivers an unread event before it throws the error of the connection", async () => {
  const thrown = new Error("cable cut");
  const stream = new OpenResponse("data: a\n\ndata: b\n\n");
  const { fetch, requests } = inTurn(() => stream.response);
  await using sse = await connectSse(url, { ...options, fetch });
  assertEquals((await sse.next()).value?.data, "a");
  stream.fail(thrown);
  assertEquals((await sse.next()).value?.data, "b");
  const { cause } = await assertSseError(sse.next(), "network");
  assertStrictEquals(cause, thrown);
  assertEquals(requests.length, 1);
});

Deno.test("resume: false does not disable reconnect()", async () => {
  const { fetch } = inTurn(events("data: a\n\n"), events("data: b\n\n"));
  await using sse = await connectSse(url, { ...options, fetch });
  await sse.next();
  sse.reconnect();
  assertEquals((await sse.next()).value?.data, "b");
});

Deno.test("resume: false makes reconnect() drop the events of the old answer", async () => {
  const { fetch } = inTurn(
    () => new OpenResponse("data: Hel\n\ndata: lo\n\n").response,
    events("data: Good\n\ndata: day\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, { ...options, fetch });
  assertEquals((await sse.next()).value?.data, "Hel");
  sse.reconnect();
  assertEquals(
    await Array.fromAsync(sse, ({ data }) => data),
    ["Good", "day"],
  );
});

Deno.test("resume is true by default", async () => {
  for (const resume of [true, undefined]) {
    const { fetch } = inTurn(events("data: a\n\n"), events("data: b\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      reconnect: { ...options.reconnect, resume },
    });
    await sse.next();
    assertEquals((await sse.next()).value?.data, "b");
  }
});

Deno.test("connectSse rejects with a TypeError if resume is not a boolean", async () => {
  await assertRejects(
    () =>
      connectSse(url, {
        fetch: failing,
        reconnect: { resume: "no" as unknown as boolean },
      }),
    TypeError,
    "resume to be a boolean",
  );
});
