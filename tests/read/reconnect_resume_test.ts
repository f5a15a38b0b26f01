// `reconnect.resume: false`, for servers that start the stream anew for each
// request, as LLM APIs do.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectSse, type ConnectSseOptions } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

const options = {
  method: "POST",
  body: "ask",
  until: "[DONE]",
  reconnect: { resume: false, initialDelay: 0, maxDelay: 0 },
} satisfies ConnectSseOptions;

Deno.test("resume: false retries until the first event arrives", async () => {
  await using server = new HttpServer(
    () =>
      new Response("Busy", { status: 429, headers: { "retry-after": "0" } }),
    () => new Response("Busy", { status: 503 }),
    events(""),
    events(": hello\n\nid: 1\n\nretry: 5\n\n"),
    events("data: a\n\ndata: b\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(server.url, options);
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a", "b"]);
  assertEquals(server.requests.map(({ body }) => body), Array(5).fill("ask"));
});

Deno.test('resume: false throws "network" if the connection fails after the first event', async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk("data: a\n\n");
    connection.end();
  });
  let text = "";
  await assertSseError(
    (async () => {
      for await (const { data } of await connectSse(server.url, options)) {
        text += data;
      }
    })(),
    "network",
  );
  assertEquals([text, server.connections.length], ["a", 1]);
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
    const { fetch, requests } = inTurn(() =>
      new OpenResponse("data: a\n\n").response
    );
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
    "reconnect.resume",
  );
});
