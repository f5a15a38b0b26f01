import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectSse, type SseConnection } from "../../mod.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { RawServer } from "../support/raw_server.ts";
import { countListeners } from "../support/listeners.ts";

const reason = new Error("the user left");

/** Asserts that next() rejects with the reason once, and then ends. */
async function assertAborted(
  sse: SseConnection,
  pending: Promise<unknown>,
): Promise<void> {
  assertStrictEquals(await assertRejects(() => pending), reason);
  assertEquals(await sse.next(), done);
}

Deno.test("abort before connectSse rejects it with the reason and sends nothing", async () => {
  let calls = 0;
  const promise = connectSse(url, {
    signal: AbortSignal.abort(reason),
    fetch() {
      calls++;
      return eventResponse("");
    },
  });
  assertStrictEquals(await assertRejects(() => promise), reason);
  assertEquals(calls, 0);
});

Deno.test("abort before the headers rejects connectSse and disconnects", async () => {
  await using server = await RawServer.listen(() => {});
  const controller = new AbortController();
  const promise = connectSse(server.url, { signal: controller.signal });
  const connection = await server.connection();
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
  await connection.disconnected;
});

Deno.test("abort before the headers rejects connectSse where fetch ignores signals, and cancels what comes later", async () => {
  const controller = new AbortController();
  const answer = Promise.withResolvers<Response>();
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch: () => answer.promise,
  });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
  const stream = new OpenResponse("data: 1\n\n");
  answer.resolve(stream.response);
  await stream.cancelled;
});

Deno.test("abort before the headers is not followed by an unhandled rejection of fetch", async () => {
  const controller = new AbortController();
  const answer = Promise.withResolvers<Response>();
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch: () => answer.promise,
  });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
  answer.reject(new Error("too late to matter"));
  // An unhandled rejection would fail this test by the next turn.
  await new Promise((resolve) => setTimeout(resolve));
});

Deno.test("abort before the headers gives the reason where fetch rejects with an error of its own", async () => {
  const controller = new AbortController();
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch: (request) =>
      new Promise((_, reject) =>
        request.signal.addEventListener(
          "abort",
          () => reject(new Error("fetch gave up")),
        )
      ),
  });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
});

Deno.test("abort during the call of fetch rejects connectSse, and cancels what fetch answers", async () => {
  const controller = new AbortController();
  const stream = new OpenResponse("data: 1\n\n");
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch() {
      controller.abort(reason);
      return stream.response;
    },
  });
  assertStrictEquals(await assertRejects(() => promise), reason);
  await stream.cancelled;
});

Deno.test("abort during the call of a fetch that throws gives the reason", async () => {
  const controller = new AbortController();
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch() {
      controller.abort(reason);
      throw new Error("fetch gave up");
    },
  });
  assertStrictEquals(await assertRejects(() => promise), reason);
});

Deno.test("abort reaches the request of a handler in process", async () => {
  const controller = new AbortController();
  const stream = new OpenResponse();
  let signal: AbortSignal | undefined;
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch(request) {
      signal = request.signal;
      return stream.response;
    },
  });
  controller.abort(reason);
  assertEquals(signal?.aborted, true);
  await assertAborted(sse, sse.next());
});

Deno.test("abort after the headers disconnects at once, and next() rejects with the reason", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const controller = new AbortController();
  await using sse = await connectSse(server.url, { signal: controller.signal });
  controller.abort(reason);
  await stream.cancelled;
  await assertAborted(sse, sse.next());
});

Deno.test("abort rejects a pending next() with the reason and disconnects", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const controller = new AbortController();
  await using sse = await connectSse(server.url, { signal: controller.signal });
  await sse.next();
  const pending = sse.next();
  controller.abort(reason);
  await assertAborted(sse, pending);
  await stream.cancelled;
});

Deno.test("abort rejects a pending next() where fetch ignores signals, and cancels the body", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  await sse.next();
  const pending = sse.next();
  controller.abort(reason);
  await assertAborted(sse, pending);
  await stream.cancelled;
});

Deno.test("abort does not wait for a body that is slow to cancel", async () => {
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream({ cancel: () => cancelled.promise });
  const controller = new AbortController();
  const sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  const pending = sse.next();
  controller.abort(reason);
  await assertAborted(sse, pending);
  cancelled.resolve();
  await sse.close();
});

Deno.test("abort rejects the first of overlapping next() and ends the others", async () => {
  const stream = new OpenResponse();
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  const [first, ...others] = [sse.next(), sse.next(), sse.next()];
  controller.abort(reason);
  await assertAborted(sse, first);
  assertEquals(await Promise.all(others), [done, done]);
});

Deno.test("abort drops events that wait", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\ndata: 3\n\n");
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  assertEquals((await sse.next()).value?.data, "1");
  controller.abort(reason);
  await assertAborted(sse, sse.next());
});

Deno.test("abort in a for await loop throws the reason out of it", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const controller = new AbortController();
  const sse = await connectSse(server.url, { signal: controller.signal });
  const caught = await assertRejects(async () => {
    for await (const _ of sse) controller.abort(reason);
  });
  assertStrictEquals(caught, reason);
  await stream.cancelled;
});

Deno.test("abort comes before a status error that was not yet reported", async () => {
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => new Response("Sorry", { status: 500 }),
  });
  controller.abort(reason);
  await assertAborted(sse, sse.next());
});

Deno.test("abort through the signal of a given Request", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const controller = new AbortController();
  const request = new Request(server.url, { signal: controller.signal });
  await using sse = await connectSse(request);
  await sse.next();
  const pending = sse.next();
  controller.abort(reason);
  await assertAborted(sse, pending);
  await stream.cancelled;
});

Deno.test("abort with a reason that is no Error gives that reason", async () => {
  const stream = new OpenResponse();
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  const pending = sse.next();
  controller.abort("enough");
  assertEquals(await pending.catch((error) => ({ error })), {
    error: "enough",
  });
});

Deno.test("abort without a reason gives the platform's AbortError", async () => {
  const stream = new OpenResponse();
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  const pending = sse.next();
  controller.abort();
  const error = await assertRejects(() => pending, DOMException);
  assertEquals(error.name, "AbortError");
});

Deno.test("abort after close() leaves the end an end", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  const controller = new AbortController();
  const sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  await sse.next();
  await sse.close();
  controller.abort(reason);
  assertEquals(await sse.next(), done);
});

Deno.test("abort after the body's end leaves the end an end", async () => {
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals(await sse.next(), done);
  controller.abort(reason);
  assertEquals(await sse.next(), done);
});

Deno.test("abort that nobody waits for is no unhandled rejection, and close() still works", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  const controller = new AbortController();
  const sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => stream.response,
  });
  controller.abort(reason);
  await stream.cancelled;
  await sse.close();
  assertEquals(await sse.next(), done);
});

for (
  const [when, fetch, read] of [
    [
      "the stream ended",
      () => eventResponse("data: 1\n\n"),
      (sse: SseConnection) => Array.fromAsync(sse),
    ],
    [
      "close()",
      () => new OpenResponse("data: 1\n\n").response,
      (sse: SseConnection) => sse.close(),
    ],
    [
      "an error",
      () => new Response("Sorry", { status: 500 }),
      (sse: SseConnection) => assertRejects(() => sse.next()),
    ],
    [
      "no response came",
      () => Promise.reject(new Error("cable cut")),
      () => Promise.resolve(),
    ],
  ] as const
) {
  Deno.test(`the signal has no listener left after ${when}`, async () => {
    const { signal } = new AbortController();
    const listeners = countListeners(signal);
    const sse = await connectSse(url, { signal, fetch }).catch(() => undefined);
    if (sse) await read(sse);
    assertEquals(listeners(), 0);
  });
}
