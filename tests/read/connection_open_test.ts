import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectSse, type SseConnection } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { done, events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";

Deno.test("connectSse calls onOpen with each response that is an event stream, and with no other", async () => {
  const { fetch } = inTurn(
    () => new Response("Wait", { status: 503 }),
    events("data: a\n\n"),
    () => Promise.reject(new Error("cable cut")),
    events("data: b\n\n"),
    () => new Response(null, { status: 204 }),
  );
  const opened: Response[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0, maxDelay: 0 },
    onOpen: (response) => void opened.push(response),
  });
  // `connectSse` has called it before it resolved.
  assertEquals(opened.length, 1);
  assertStrictEquals(opened[0], sse.response);
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a", "b"]);
  assertEquals(opened.map(({ status }) => status), [200, 200]);
});

Deno.test("connectSse calls onOpen before the body is read, even without reconnect", async () => {
  const opened: boolean[] = [];
  await using sse = await connectSse(url, {
    fetch: events("data: a\n\n"),
    onOpen: ({ bodyUsed, body }) => void opened.push(bodyUsed || body!.locked),
  });
  assertEquals(opened, [false]);
  assertEquals((await sse.next()).value?.data, "a");
  await using refused = await connectSse(url, {
    fetch: () => new Response("Who?", { status: 401 }),
    onOpen: () => void opened.push(true),
  });
  await assertSseError(refused.next(), "status");
  assertEquals(opened, [false]);
});

Deno.test("connectSse rejects with the error that onOpen throws, and cancels the body", async () => {
  const thrown = new Error("mine");
  const stream = new OpenResponse("data: a\n\n");
  const promise = connectSse(url, {
    fetch: () => stream.response,
    reconnect: true,
    onOpen() {
      throw thrown;
    },
  });
  assertStrictEquals(await assertRejects(() => promise), thrown);
  await stream.cancelled;
});

Deno.test("SseConnection.next() rejects with the error that onOpen throws after a reconnect", async () => {
  const thrown = new Error("mine");
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    onOpen() {
      if (requests.length > 1) throw thrown;
    },
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  assertEquals(await sse.next(), done);
  assertEquals(requests.length, 2);
});

Deno.test("close() in onOpen ends the stream and cancels the body", async () => {
  const stream = new OpenResponse("data: b\n\n");
  const { fetch } = inTurn(events("data: a\n\n"), () => stream.response);
  let count = 0;
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    onOpen() {
      if (++count === 2) sse.close();
    },
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
  await stream.cancelled;
});

Deno.test("connectSse rejects with a TypeError if onOpen is not a function", async () => {
  await assertRejects(
    () => connectSse(url, { onOpen: 5 as never }),
    TypeError,
    "onOpen",
  );
});
