// Streams that each request starts anew, as an LLM's: `reconnect.resume: false`.

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

Deno.test("resume: false makes attempts until the first event, whatever else fails before it", async () => {
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

Deno.test("resume: false throws a cut after the first event, with what came kept by the caller", async () => {
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

Deno.test("resume: false throws the end after the first event where until is not met, and takes it for one else", async () => {
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

Deno.test("resume: false throws timeouts after the first event", async () => {
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

Deno.test("resume: false does not ask shouldReconnect after the first event", async () => {
  const asked: string[] = [];
  const { fetch } = inTurn(failing, events("data: a\n\n"));
  await using sse = await connectSse(url, {
    ...options,
    fetch,
    reconnect: {
      ...options.reconnect,
      shouldReconnect: ({ code }) => !!asked.push(code),
    },
  });
  await sse.next();
  await assertSseError(sse.next(), "truncated");
  assertEquals(asked, ["network"]);
});

Deno.test("resume: false counts an event that nobody has read", async () => {
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

Deno.test("resume: false leaves reconnect() to the caller, who knows", async () => {
  const { fetch } = inTurn(events("data: a\n\n"), events("data: b\n\n"));
  await using sse = await connectSse(url, { ...options, fetch });
  await sse.next();
  sse.reconnect();
  assertEquals((await sse.next()).value?.data, "b");
});

Deno.test("resume is true unless said otherwise", async () => {
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

Deno.test("resume is a boolean", async () => {
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
