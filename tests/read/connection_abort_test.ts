import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connectSse, readSse, type SseConnection } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { RawServer } from "../support/raw_server.ts";
import { countListeners } from "../support/listeners.ts";

const reason = new Error("the user left");

/**
 * Asserts that the pending `next()` rejects with the reason, and that the next
 * call resolves as done.
 */
async function assertAborted(
  sse: SseConnection,
  pending: Promise<unknown>,
): Promise<void> {
  assertStrictEquals(await assertRejects(() => pending), reason);
  assertEquals(await sse.next(), done);
}

Deno.test("connectSse rejects with the signal's reason and sends no request if the signal is already aborted", async () => {
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

Deno.test("connectSse rejects with the signal's reason and disconnects on an abort before the headers", async () => {
  await using server = await RawServer.listen(() => {});
  const controller = new AbortController();
  const promise = connectSse(server.url, { signal: controller.signal });
  const connection = await server.connection();
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
  await connection.disconnected;
});

Deno.test("connectSse rejects on an abort before the headers even if fetch ignores signals, and cancels a late response", async () => {
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

Deno.test("connectSse causes no unhandled rejection if fetch rejects after an abort", async () => {
  const controller = new AbortController();
  const answer = Promise.withResolvers<Response>();
  const promise = connectSse(url, {
    signal: controller.signal,
    fetch: () => answer.promise,
  });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => promise), reason);
  answer.reject(new Error("too late to matter"));
  // An unhandled rejection would fail this test before the timer fires.
  await new Promise((resolve) => setTimeout(resolve));
});

Deno.test("connectSse rejects with the signal's reason even if fetch rejects with another error on an abort", async () => {
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

Deno.test("connectSse rejects if the signal aborts while fetch is called, and cancels the response", async () => {
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

Deno.test("connectSse rejects with the signal's reason if the signal aborts while fetch is called and fetch throws", async () => {
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

Deno.test("connectSse forwards an abort to the request that an in-process handler received", async () => {
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

Deno.test("SseConnection disconnects at once on an abort after the headers, and next() rejects with the reason", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const controller = new AbortController();
  await using sse = await connectSse(server.url, { signal: controller.signal });
  controller.abort(reason);
  await stream.cancelled;
  await assertAborted(sse, sse.next());
});

Deno.test("SseConnection disconnects on an abort, and a pending next() rejects with the reason", async () => {
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

Deno.test("SseConnection cancels the body on an abort if fetch ignores signals, and a pending next() rejects", async () => {
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

Deno.test("SseConnection.next() rejects on an abort without waiting for a slow cancel of the body", async () => {
  const canceled = Promise.withResolvers<void>();
  const body = new ReadableStream({ cancel: () => canceled.promise });
  const controller = new AbortController();
  const sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  const pending = sse.next();
  controller.abort(reason);
  await assertAborted(sse, pending);
  canceled.resolve();
  await sse.close();
});

Deno.test("SseConnection.next() rejects the first of overlapping calls on an abort, and resolves the others as done", async () => {
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

Deno.test("SseConnection drops unread events on an abort", async () => {
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

Deno.test("SseConnection throws the signal's reason out of a for await loop on an abort", async () => {
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

Deno.test("SseConnection.next() rejects with the signal's reason instead of an unread status error", async () => {
  const controller = new AbortController();
  await using sse = await connectSse(url, {
    signal: controller.signal,
    fetch: () => new Response("Sorry", { status: 500 }),
  });
  controller.abort(reason);
  await assertAborted(sse, sse.next());
});

Deno.test("SseConnection disconnects if the signal of a given Request aborts, and a pending next() rejects", async () => {
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

Deno.test("SseConnection.next() rejects with the signal's reason even if it is not an Error", async () => {
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

Deno.test("SseConnection.next() rejects with an AbortError after an abort without a reason", async () => {
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

Deno.test("SseConnection.next() resolves as done if the signal aborts after close()", async () => {
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

Deno.test("SseConnection.next() resolves as done if the signal aborts after the end of the body", async () => {
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

Deno.test("SseConnection causes no unhandled rejection on an abort without a pending next(), and close() discards the reason", async () => {
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
      "the end of the stream",
      () => eventResponse("data: 1\n\n"),
      (sse: SseConnection) => Array.fromAsync(sse),
    ],
    [
      "close()",
      () => new OpenResponse("data: 1\n\n").response,
      (sse: SseConnection) => sse.close(),
    ],
    [
      "an error response",
      () => new Response("Sorry", { status: 500 }),
      (sse: SseConnection) => assertRejects(() => sse.next()),
    ],
    [
      "the caller has read a refused response",
      () => new Response("Sorry", { status: 401 }),
      (sse: SseConnection) => sse.response.text(),
    ],
    [
      "a refused response that the caller ignores",
      () => new Response("Sorry", { status: 401 }),
      () => Promise.resolve(),
    ],
    [
      "status 204",
      () => new Response(null, { status: 204 }),
      () => Promise.resolve(),
    ],
    [
      "a failed request",
      () => Promise.reject(new Error("cable cut")),
      () => Promise.resolve(),
    ],
  ] as const
) {
  Deno.test(`connectSse leaves no listener on the signal after ${when}`, async () => {
    const { signal } = new AbortController();
    const listeners = countListeners(signal);
    const sse = await connectSse(url, { signal, fetch }).catch(() => undefined);
    if (sse) await read(sse);
    assertEquals(listeners(), 0);
  });
}

Deno.test("SseConnection leaves no listener on the signal if reconnect leaves a refused response to the caller", async () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const sse = await connectSse(url, {
    signal,
    fetch: () => new Response("Sorry", { status: 401 }),
    reconnect: true,
  });
  assertEquals(await sse.response.text(), "Sorry");
  assertEquals(listeners(), 0);
  await assertSseError(sse.next(), "status");
  assertEquals(listeners(), 0);
});

Deno.test("the signal aborts a connection that reconnect() has made after a refused response", async () => {
  for (const argument of [[], [new Error("mine")]]) {
    const abort = new AbortController();
    const stream = new OpenResponse("data: a\n\n");
    let requests = 0;
    const sse = await connectSse(url, {
      signal: abort.signal,
      fetch: () =>
        requests++ === 0
          ? new Response("No", { status: 404 })
          : stream.response,
      reconnect: { initialDelay: 0 },
    });
    sse.reconnect(...argument);
    await sse.next();
    const next = sse.next();
    abort.abort(reason);
    await assertAborted(sse, next);
    await stream.cancelled;
  }
});

Deno.test("reconnect() after a refused response has no effect if the signal is aborted", async () => {
  const abort = new AbortController();
  let requests = 0;
  const sse = await connectSse(url, {
    signal: abort.signal,
    fetch: () => new Response("No", { status: 404 + requests++ }),
    reconnect: true,
  });
  abort.abort(reason);
  sse.reconnect();
  await assertAborted(sse, sse.next());
  assertEquals(requests, 1);
});

Deno.test("an abort by a signal without a reason, as of an old polyfill, rejects with an AbortError", async () => {
  const target = Object.assign(new EventTarget(), { aborted: false });
  const sse = await connectSse(url, {
    signal: target as unknown as AbortSignal,
    fetch: () => new OpenResponse().response,
  });
  const next = sse.next();
  target.aborted = true;
  target.dispatchEvent(new Event("abort"));
  const error = await assertRejects(() => next, DOMException);
  assertEquals(error.name, "AbortError");
});

Deno.test("connectSse and readSse leave no listener on a signal that has aborted already", async () => {
  const signal = AbortSignal.abort("enough");
  const listeners = countListeners(signal);
  await connectSse(url, { signal }).catch(() => {});
  readSse(new Response("").body!, { signal });
  assertEquals(listeners(), 0);
});
