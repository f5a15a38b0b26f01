import {
  assertEquals,
  assertFalse,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse } from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { done, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

Deno.test("idleTimeout ends a stalled connection and disconnects", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk("data: 1\n\ndata: unfinished\n");
  });
  await using sse = await connectSse(server.url, {
    idleTimeout: 300,
    connectTimeout: 10_000,
  });
  assertEquals((await sse.next()).value?.data, "1");
  const error = await assertSseError(sse.next(), "idle-timeout");
  assertStringIncludes(error.message, "idleTimeout");
  assertStringIncludes(error.message, "300");
  await (await server.connection()).disconnected;
  assertEquals(await sse.next(), done);
});

Deno.test("idleTimeout applies to the first event, and does not fire early", async () => {
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
  Deno.test(`idleTimeout restarts after ${what}`, async () => {
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

Deno.test("idleTimeout does not fire if the consumer is slow", async () => {
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

Deno.test("idleTimeout starts when next() is called", async () => {
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

Deno.test("idleTimeout rejects the first of overlapping next() calls, and ends the others", async () => {
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

Deno.test("connectTimeout rejects connectSse and disconnects if the server does not respond", async () => {
  await using server = await RawServer.listen(() => {});
  using time = new FakeTime();
  const promise = connectSse(server.url, { connectTimeout: 40 });
  const failed = assertSseError(promise, "connect-timeout");
  const { disconnected } = await server.connection();
  await time.tickAsync(40);
  const error = await failed;
  assertStringIncludes(error.message, "connectTimeout");
  assertStringIncludes(error.message, "40");
  await disconnected;
});

Deno.test("connectTimeout aborts the request to a fetch handler, and cancels a late response", async () => {
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

Deno.test("connectTimeout ends when the headers arrive", async () => {
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

Deno.test("connectTimeout leaves no timer behind if the request fails or is aborted", async () => {
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

// `setTimeout` alone would shorten a delay above its limit to 1 ms or less.
for (const timeout of [2 ** 31, 2 ** 53, Infinity]) {
  Deno.test(`idleTimeout and connectTimeout of ${timeout} do not fire early`, async () => {
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

Deno.test("SseConnection.next() rejects with a TimeoutError if AbortSignal.timeout() aborts", async () => {
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

Deno.test("idleTimeout and connectTimeout do not affect a stream that ends in time", async () => {
  await using sse = await connectSse(url, {
    idleTimeout: 60_000,
    connectTimeout: 60_000,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["1"]);
});

Deno.test("idleTimeout does not fire if the program was too busy to read in time", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, {
    idleTimeout: 50,
    fetch: () => stream.response,
  });
  await sse.next();
  const pending = sse.next();
  // Due later than the timeout, but the loop below blocks both timers until
  // both are overdue.
  setTimeout(() => stream.send("data: 2\n\n"), 100);
  const end = Date.now() + 200;
  while (Date.now() < end);
  assertEquals((await pending).value?.data, "2");
});

Deno.test("idleTimeout counts chunks of text as data", async () => {
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

Deno.test("idleTimeout is the default of connectTimeout", async () => {
  using time = new FakeTime();
  const never = () => new Promise<Response>(() => {});
  const both = assertSseError(
    connectSse(url, { idleTimeout: 100, fetch: never }),
    "connect-timeout",
  );
  await time.tickAsync(100);
  const { message } = await both;
  assertStringIncludes(message, "idleTimeout");

  const controller = new AbortController();
  let settled = false;
  const off = connectSse(url, {
    idleTimeout: 100,
    connectTimeout: Infinity,
    signal: controller.signal,
    fetch: never,
  }).catch((reason) => reason).finally(() => settled = true);
  await time.tickAsync(1e6);
  await time.runMicrotasks();
  assertFalse(settled);
  controller.abort("enough");
  assertEquals(await off, "enough");
});

Deno.test("idleTimeout disconnects from a server that accepts a reconnect but sends nothing", async () => {
  const { fetch, requests } = new SseScript(
    [{ data: "a" }],
    ["stall"],
    [{ data: "b" }],
  );
  await using sse = await connectSse(url, {
    fetch,
    idleTimeout: 100,
    reconnect: { initialDelay: 0, maxDelay: 0 },
  });
  assertEquals((await sse.next()).value?.data, "a");
  const { value } = await deadline(sse.next(), "next()");
  assertEquals(value?.data, "b");
  assertEquals(requests[1].outcome, "left");
});

Deno.test("idleTimeout does not restart after an empty chunk", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    idleTimeout: 100,
    fetch: () => stream.response,
  });
  const pending = assertSseError(sse.next(), "idle-timeout");
  for (let i = 0; i < 4; i++) {
    await time.tickAsync(20);
    stream.send(new Uint8Array());
    await time.runMicrotasks();
  }
  await time.tickAsync(20);
  await pending;
});

const chunks: Record<string, (text: string) => unknown> = {
  "an ArrayBuffer": (text) => new TextEncoder().encode(text).buffer,
  "a DataView": (text) => new DataView(new TextEncoder().encode(text).buffer),
  "text": (text) => text,
};
for (const [kind, chunk] of Object.entries(chunks)) {
  Deno.test(`idleTimeout restarts after a chunk that is ${kind}, unless it has no bytes`, async () => {
    using time = new FakeTime();
    let controller!: ReadableStreamDefaultController<unknown>;
    const body = new ReadableStream<unknown>({
      start(it) {
        controller = it;
      },
    });
    await using sse = await connectSse(url, {
      idleTimeout: 100,
      anyContentType: true,
      fetch: () =>
        new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>),
    });
    let pending = sse.next();
    for (let i = 0; i < 3; i++) {
      await time.tickAsync(80);
      controller.enqueue(chunk(": c\n"));
      await time.runMicrotasks();
    }
    controller.enqueue(chunk("data: a\n\n"));
    assertEquals((await pending).value?.data, "a");
    pending = assertSseError(sse.next(), "idle-timeout") as never;
    await time.tickAsync(50);
    // An empty text is not told from others.
    if (kind !== "text") controller.enqueue(chunk(""));
    await time.tickAsync(50);
    await pending;
  });
}

for (const idleTimeout of [undefined, 1e6]) {
  for (const chunk of [null, undefined, 5, {}]) {
    Deno.test(`SseConnection.next() rejects and cancels the body if a chunk is ${JSON.stringify(chunk)} and idleTimeout is ${idleTimeout}`, async () => {
      const stream = new OpenResponse("data: a\n\n");
      let requests = 0;
      await using sse = await connectSse(url, {
        idleTimeout,
        reconnect: { initialDelay: 0 },
        fetch: () => (requests++, stream.response),
      });
      assertEquals((await sse.next()).value?.data, "a");
      stream.send(chunk as unknown as Uint8Array);
      await assertRejects(() => sse.next(), TypeError, "chunk");
      await stream.cancelled;
      assertEquals(await sse.next(), done);
      assertEquals(requests, 1);
    });
  }
}

Deno.test("eventTimeout ends a stream that sends only comments, and does not fire early", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    eventTimeout: 100,
    idleTimeout: 50,
    fetch: () => stream.response,
  });
  let settled = false;
  const pending = assertSseError(sse.next(), "event-timeout")
    .finally(() => settled = true);
  for (let i = 0; i < 9; i++) {
    await time.tickAsync(11);
    stream.send(": still here\n\n");
    await time.runMicrotasks();
  }
  assertFalse(settled);
  await time.tickAsync(1);
  const { message, response } = await pending;
  assertStringIncludes(message, "eventTimeout");
  assertStringIncludes(message, "100");
  assertEquals(response, sse.response);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("eventTimeout restarts after each event, and runs only while next() is pending", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using sse = await connectSse(url, {
    eventTimeout: 100,
    fetch: () => stream.response,
  });
  await time.tickAsync(1000);
  assertEquals((await sse.next()).value?.data, "1");
  await time.tickAsync(1000);
  assertEquals((await sse.next()).value?.data, "2");
  await time.tickAsync(1000);
  assertFalse(time.next());
  for (let i = 3; i < 6; i++) {
    const pending = sse.next();
    await time.tickAsync(80);
    stream.send(`data: ${i}\n\n`);
    assertEquals((await pending).value?.data, `${i}`);
    await time.tickAsync(80);
  }
});

Deno.test("eventTimeout restarts for each of overlapping next() calls", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    eventTimeout: 100,
    fetch: () => stream.response,
  });
  const pending = [sse.next(), sse.next()];
  for (const data of ["1", "2"]) {
    await time.tickAsync(80);
    stream.send(`data: ${data}\n\n`);
    await time.runMicrotasks();
  }
  assertEquals(
    (await Promise.all(pending)).map(({ value }) => value?.data),
    ["1", "2"],
  );
});

Deno.test("eventTimeout does not restart after an event without data, an id or a retry", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    eventTimeout: 100,
    fetch: () => stream.response,
  });
  const pending = assertSseError(sse.next(), "event-timeout");
  await time.tickAsync(50);
  stream.send("event: a\n\nid: 1\n\nretry: 5\n\ndata: half\n");
  await time.tickAsync(50);
  await pending;
});

Deno.test("eventTimeout reconnects, and restarts for the new connection", async () => {
  using time = new FakeTime();
  const streams = [new OpenResponse(), new OpenResponse()];
  const { fetch, requests } = inTurn(
    () => streams[0].response,
    () => streams[1].response,
  );
  const codes: string[] = [];
  await using sse = await connectSse(url, {
    fetch,
    eventTimeout: 100,
    reconnect: {
      initialDelay: 0,
      onReconnect: ({ error }) => void codes.push(error.code),
    },
  });
  const pending = sse.next();
  await time.tickAsync(100);
  await time.tickAsync(0);
  await time.tickAsync(80);
  assertEquals(requests.length, 2);
  streams[1].send("data: a\n\n");
  assertEquals((await pending).value?.data, "a");
  assertEquals(codes, ["event-timeout"]);
  await streams[0].cancelled;
});

Deno.test("eventTimeout leaves no timer behind", async () => {
  using time = new FakeTime();
  for (const end of ["close", "end", "fail"]) {
    const stream = new OpenResponse("data: 1\n\n");
    const sse = await connectSse(url, {
      eventTimeout: 100,
      fetch: () => stream.response,
    });
    await sse.next();
    assertFalse(time.next());
    const pending = sse.next().catch(() => {});
    await time.runMicrotasks();
    if (end === "close") await sse.close();
    if (end === "end") stream.end();
    if (end === "fail") stream.fail(new Error("cable cut"));
    await pending;
    assertFalse(time.next());
  }
});

Deno.test("SseConnection.close() resolves if a body's cancel() returns no promise", async () => {
  const { body: stream } = new Response("data: a\n\n");
  const response = {
    status: 200,
    headers: new Headers({ "content-type": "text/event-stream" }),
    bodyUsed: false,
    body: { locked: false, cancel() {}, getReader: () => stream!.getReader() },
  };
  const sse = await connectSse(url, {
    fetch: () => response as unknown as Response,
  });
  await sse.close();
  await stream!.cancel();
});
