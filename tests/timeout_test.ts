import { assertEquals, assertFalse, assertStringIncludes } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse } from "../mod.ts";
import { assertSseError } from "./assert_sse_error.ts";
import { eventResponse, OpenResponse } from "./open_response.ts";
import { eventStreamHead, RawServer } from "./raw_server.ts";

const url = "http://in.process/";
const done = { done: true, value: undefined } as const;

Deno.test("idleTimeout ends a stalled connection and disconnects", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk("data: 1\n\ndata: unfinished\n");
  });
  await using sse = await connectSse(server.url, { idleTimeout: 40 });
  assertEquals((await sse.next()).value?.data, "1");
  const error = await assertSseError(sse.next(), "idle-timeout");
  assertStringIncludes(error.message, "idleTimeout");
  assertStringIncludes(error.message, "40");
  await (await server.connection()).disconnected;
  assertEquals(await sse.next(), done);
});

Deno.test("idleTimeout runs for the first event too, and not a millisecond short", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  let settled = false;
  const pending = assertSseError(sse.next(), "idle-timeout")
    .finally(() => settled = true);
  await time.tickAsync(99);
  await time.runMicrotasks();
  assertFalse(settled);
  await time.tickAsync(1);
  await pending;
  await stream.cancelled;
});

for (
  const [what, bytes, data] of [
    ["a comment", ": keep-alive\n\n", "last"],
    ["a part of an event", "data: x\n", "x\nx\nx"],
    ["a byte", "i", "last"],
  ]
) {
  Deno.test(`idleTimeout starts anew with ${what}`, async () => {
    using time = new FakeTime();
    const stream = new OpenResponse();
    await using sse = await connectSse(url, {
      idleTimeout: 100,
      fetch: () => stream.response,
    });
    const pending = sse.next();
    for (let i = 0; i < 3; i++) {
      await time.tickAsync(80);
      stream.send(bytes);
      await time.runMicrotasks();
    }
    stream.send("\ndata: last\n\n");
    assertEquals((await pending).value?.data, data);
  });
}

Deno.test("idleTimeout is not tripped by a slow consumer", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  await time.tickAsync(1000);
  assertEquals((await sse.next()).value?.data, "1");
  await time.tickAsync(1000);
  assertEquals((await sse.next()).value?.data, "2");
  await time.tickAsync(1000);
  const pending = sse.next();
  await time.tickAsync(80);
  stream.send("data: 3\n\n");
  assertEquals((await pending).value?.data, "3");
});

Deno.test("idleTimeout counts from when an event is asked for", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  await sse.next();
  await time.tickAsync(1000);
  const pending = assertSseError(sse.next(), "idle-timeout");
  await time.tickAsync(100);
  await pending;
});

Deno.test("idleTimeout rejects the first of overlapping next() and ends the others", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  const [first, second] = [sse.next(), sse.next()];
  const failed = assertSseError(first, "idle-timeout");
  await time.tickAsync(100);
  await failed;
  assertEquals(await second, done);
});

Deno.test("idleTimeout leaves no timer behind", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\n");
  const sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  await sse.next();
  assertFalse(time.next());
  const pending = sse.next();
  await time.runMicrotasks();
  await sse.close();
  assertEquals(await pending, done);
  assertFalse(time.next());
});

Deno.test("connectTimeout ends a server that does not answer, and disconnects", async () => {
  await using server = await RawServer.listen(() => {});
  const promise = connectSse(server.url, { connectTimeout: 40 });
  const error = await assertSseError(promise, "connect-timeout");
  assertStringIncludes(error.message, "connectTimeout");
  assertStringIncludes(error.message, "40");
  await (await server.connection()).disconnected;
});

Deno.test("connectTimeout aborts a handler's request, and cancels what comes later", async () => {
  using time = new FakeTime();
  const answer = Promise.withResolvers<Response>();
  let signal: AbortSignal | undefined;
  const promise = connectSse(url, {
    connectTimeout: 100,
    fetch(request) {
      signal = request.signal;
      return answer.promise;
    },
  });
  const failed = assertSseError(promise, "connect-timeout");
  await time.tickAsync(99);
  assertEquals(signal?.aborted, false);
  await time.tickAsync(1);
  await failed;
  assertEquals(signal?.aborted, true);
  const stream = new OpenResponse();
  answer.resolve(stream.response);
  await stream.cancelled;
});

Deno.test("connectTimeout is over when the headers have come", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  const answer = Promise.withResolvers<Response>();
  const promise = connectSse(url, {
    connectTimeout: 100,
    fetch: () => answer.promise,
  });
  await time.tickAsync(80);
  answer.resolve(stream.response);
  await using sse = await promise;
  assertFalse(time.next());
  const pending = sse.next();
  await time.tickAsync(1000);
  stream.send("data: 1\n\n");
  assertEquals((await pending).value?.data, "1");
});

Deno.test("connectTimeout leaves no timer behind where the request fails or is aborted", async () => {
  using time = new FakeTime();
  const failing = connectSse(url, {
    connectTimeout: 100,
    fetch: () => Promise.reject(new Error("cable cut")),
  });
  await assertSseError(failing, "network");
  assertFalse(time.next());

  const controller = new AbortController();
  const aborted = connectSse(url, {
    connectTimeout: 100,
    signal: controller.signal,
    fetch: () => new Promise<Response>(() => {}),
  });
  controller.abort("enough");
  assertEquals(await aborted.catch((reason) => reason), "enough");
  assertFalse(time.next());
});

// A platform's timer takes such a delay for one of at most a millisecond.
for (const timeout of [2 ** 31, 2 ** 53, Infinity]) {
  Deno.test(`idleTimeout and connectTimeout of ${timeout} are not cut short`, async () => {
    const stream = new OpenResponse();
    const answer = Promise.withResolvers<Response>();
    const promise = connectSse(url, {
      idleTimeout: timeout,
      connectTimeout: timeout,
      fetch: () => answer.promise,
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    answer.resolve(stream.response);
    await using sse = await promise;
    const pending = sse.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    stream.send("data: 1\n\n");
    assertEquals((await pending).value?.data, "1");
  });
}

Deno.test("a signal's own timeout ends next() with its TimeoutError", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, {
    signal: AbortSignal.timeout(100),
    fetch: () => stream.response,
  });
  await sse.next();
  const pending = sse.next().catch((error) => error.name);
  await time.tickAsync(100);
  assertEquals(await pending, "TimeoutError");
});

Deno.test("timeouts do not disturb a stream that ends in time", async () => {
  await using sse = await connectSse(url, {
    idleTimeout: 60_000,
    connectTimeout: 60_000,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["1"]);
});

Deno.test("idleTimeout takes no program that was busy for a server that is silent", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, {
    idleTimeout: 50,
    fetch: () => stream.response,
  });
  await sse.next();
  const pending = sse.next();
  // Due after the timeout, but both long before anybody can be called.
  setTimeout(() => stream.send("data: 2\n\n"), 100);
  const end = Date.now() + 200;
  while (Date.now() < end);
  assertEquals((await pending).value?.data, "2");
});

Deno.test("idleTimeout hears chunks of text too", async () => {
  using time = new FakeTime();
  let controller!: ReadableStreamDefaultController;
  const body = new ReadableStream({ start: (it) => void (controller = it) });
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  for (let i = 0; i < 3; i++) {
    const pending = sse.next();
    await time.tickAsync(60);
    controller.enqueue(`data: ${i}\n\n`);
    assertEquals((await pending).value?.data, `${i}`);
  }
});
