import {
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, ServerSentEvent } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, events, url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

Deno.test("SseConnection yields the server's events and ends with the body", async () => {
  await using server = new HttpServer(() =>
    eventResponse("event: add\ndata: 1\nid: a\n\n: comment\n\ndata: é☃🎉\n\n")
  );
  await using sse = await connectSse(server.url);
  assertEquals(await Array.fromAsync(sse), [
    new ServerSentEvent({ event: "add", data: "1", id: "a" }),
    new ServerSentEvent({ data: "é☃🎉", id: "a" }),
  ]);
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection yields an event as soon as it is complete", async () => {
  const stream = new OpenResponse();
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url);
  for (const data of ["1", "2", "3"]) {
    stream.send(`data: ${data}\n\n`);
    assertEquals((await sse.next()).value?.data, data);
  }
});

Deno.test("SseConnection assembles an event from chunks of one byte", async () => {
  const bytes = new TextEncoder().encode("\uFEFFdata: é☃🎉\r\n\r\n");
  const body = ReadableStream.from(Array.from(bytes, (byte) => [byte]))
    .pipeThrough(
      new TransformStream<number[], Uint8Array>({
        transform: (chunk, controller) =>
          controller.enqueue(Uint8Array.from(chunk)),
      }),
    );
  await using sse = await connectSse(url, {
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  assertEquals((await sse.next()).value?.data, "é☃🎉");
});

Deno.test("SseConnection drops an unfinished event at the end of the body", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\nid: 2\ndata: 2\n"),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["1"]);
  assertEquals(sse.lastEventId, "");
});

Deno.test("SseConnection reads a gzip-encoded stream", async () => {
  await using server = new HttpServer(() =>
    new Response(
      new Blob(["data: 1\n\n", "data: 2\n\n"]).stream()
        .pipeThrough(new CompressionStream("gzip")),
      {
        headers: {
          "content-type": "text/event-stream",
          "content-encoding": "gzip",
        },
      },
    )
  );
  await using sse = await connectSse(server.url);
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["1", "2"]);
});

Deno.test("SseConnection is its own iterator, and a loop continues after next()", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\ndata: 2\n\ndata: 3\n\n"),
  });
  assertStrictEquals(sse[Symbol.asyncIterator](), sse);
  assertEquals((await sse.next()).value?.data, "1");
  const rest: string[] = [];
  for await (const event of sse) rest.push(event.data);
  assertEquals(rest, ["2", "3"]);
});

Deno.test("SseConnection.next() resolves after one microtask if the event is buffered", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  for (const data of ["2", "4", "6"]) {
    await sse.next();
    let event: ServerSentEvent | undefined;
    sse.next().then(({ value }) => event = value);
    await undefined;
    assertEquals(event?.data, data);
    stream.send(`data: ${+data + 1}\n\ndata: ${+data + 2}\n\n`);
  }
});

Deno.test("SseConnection.next() resolves overlapping calls in order", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const results = [sse.next(), sse.next(), sse.next(), sse.next()];
  stream.send("data: 1\n\ndata: 2\n\n");
  stream.send("data: 3\n\n");
  stream.end();
  assertEquals(
    (await Promise.all(results)).map((result) => result.value?.data),
    ["1", "2", "3", undefined],
  );
});

Deno.test("SseConnection.next() resolves overlapping calls in order if only the first finds a buffered event", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const order: string[] = [];
  const note = (result: IteratorResult<ServerSentEvent>) =>
    void order.push(result.value?.data ?? "done");
  await sse.next();
  const rest = [sse.next(), sse.next(), sse.next(), sse.next()]
    .map((result) => result.then(note));
  stream.send("data: 3\n\ndata: 4\n\n");
  stream.end();
  await Promise.all(rest);
  assertEquals(order, ["2", "3", "4", "done"]);
});

Deno.test("SseConnection.next() resolves all overlapping calls as done at the end of the body", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const results = [sse.next(), sse.next(), sse.next()];
  stream.end();
  assertEquals(await Promise.all(results), [done, done, done]);
});

Deno.test("SseConnection.next() rejects the first of overlapping calls on an error, and resolves the others as done", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const [first, ...others] = [sse.next(), sse.next(), sse.next()];
  stream.fail(new Error("cable cut"));
  await assertSseError(first, "network");
  assertEquals(await Promise.all(others), [done, done]);
});

for (const status of [400, 404, 418, 429, 500, 503]) {
  Deno.test(`SseConnection.next() rejects status ${status} with the response and its body`, async () => {
    await using server = new HttpServer(() =>
      Response.json({ error: "why" }, { status })
    );
    await using sse = await connectSse(server.url);
    const error = await assertSseError(sse.next(), "status");
    assertStringIncludes(error.message, String(status));
    assertStringIncludes(error.message, "2xx");
    assertStrictEquals(error.response, sse.response);
    assertEquals(error.body, '{"error":"why"}');
    assertStringIncludes(error.message, ': {"error":"why"}');
    assertEquals(await sse.next(), done);
  });
}

Deno.test("SseConnection.next() rejects an error status even if the body is an event stream", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\n", { status: 500 }),
  });
  await assertSseError(sse.next(), "status");
});

for (const status of [200, 201, 206, 299]) {
  Deno.test(`SseConnection reads an event stream with status ${status}`, async () => {
    await using sse = await connectSse(url, {
      fetch: () => eventResponse("data: 1\n\n", { status }),
    });
    assertEquals((await sse.next()).value?.data, "1");
  });
}

for (const status of [204, 205]) {
  Deno.test(`SseConnection ends without an event at status ${status}`, async () => {
    await using server = new HttpServer(() => new Response(null, { status }));
    await using sse = await connectSse(server.url);
    assertEquals(await sse.next(), done);
    assertEquals(sse.response.status, status);
  });
}

Deno.test("SseConnection ends without an event if there is no body", async () => {
  await using sse = await connectSse(url, {
    fetch: () =>
      new Response(null, { headers: { "content-type": "text/event-stream" } }),
  });
  assertEquals(await sse.next(), done);
});

for (
  const type of [
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "text/event-stream;charset=iso-8859-1",
    "TEXT/Event-Stream",
    " text/event-stream ;x",
    "text/plain, text/event-stream",
    "text/event-stream, text/plain",
    'text/plain;x="a, b", text/event-stream',
  ]
) {
  Deno.test(`SseConnection accepts Content-Type ${JSON.stringify(type)} and decodes the body as UTF-8`, async () => {
    await using sse = await connectSse(url, {
      fetch: () =>
        eventResponse("data: é\n\n", { headers: { "content-type": type } }),
    });
    assertEquals((await sse.next()).value?.data, "é");
  });
}

for (
  const type of [
    "text/plain",
    "application/json",
    "text/event-streams",
    "xtext/event-stream",
    "text/event-stream+json",
    "application/json; profile=text/event-stream",
    "nonsense",
  ]
) {
  Deno.test(`SseConnection.next() rejects Content-Type ${JSON.stringify(type)} with the response and its body`, async () => {
    await using server = new HttpServer(() =>
      new Response("data: 1\n\n", { headers: { "content-type": type } })
    );
    await using sse = await connectSse(server.url);
    const error = await assertSseError(sse.next(), "content-type");
    assertStringIncludes(error.message, type);
    assertStringIncludes(error.message, "text/event-stream");
    assertStrictEquals(error.response, sse.response);
    assertEquals(error.body, "data: 1\n\n");
    assertEquals(await sse.next(), done);
  });
}

Deno.test("SseConnection.next() rejects a response without Content-Type", async () => {
  const bytes = new TextEncoder().encode("data: 1\n\n");
  await using sse = await connectSse(url, { fetch: () => new Response(bytes) });
  const error = await assertSseError(sse.next(), "content-type");
  assertStringIncludes(error.message, "text/event-stream");
  assertStringIncludes(error.message, "got none: data: 1");
  assertEquals(error.body, "data: 1\n\n");
});

Deno.test("SseConnection.next() rejects with a TypeError if the caller has read the body", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\n"),
  });
  await sse.response.text();
  const error = await assertRejects(() => sse.next(), TypeError);
  assertStringIncludes(error.message, "clone()");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() rejects with a TypeError if the caller is reading the body", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const reader = sse.response.body!.getReader();
  await assertRejects(() => sse.next(), TypeError);
  assertEquals(await sse.next(), done);
  await reader.cancel();
});

Deno.test("SseConnection.next() rejects with a TypeError if the caller has read a part of the body", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const reader = sse.response.body!.getReader();
  await reader.read();
  reader.releaseLock();
  await assertRejects(() => sse.next(), TypeError);
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection reads the response if the caller reads a clone of it", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals(await sse.response.clone().text(), "data: 1\n\n");
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() rejects with a network error if the server resets the connection", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk("id: 1\ndata: 1\n\nid: 2\ndata: 2\n");
  });
  await using sse = await connectSse(server.url);
  assertEquals((await sse.next()).value?.data, "1");
  const pending = sse.next();
  (await server.connection()).reset();
  const error = await assertSseError(pending, "network");
  assertInstanceOf(error.cause, Error);
  assertStrictEquals(error.response, sse.response);
  assertEquals(sse.lastEventId, "1");
  assertEquals(await sse.next(), done);
});

for (
  const [what, head, rest] of [
    ["between chunks", eventStreamHead, "9\r\ndata: 1\n\n\r\n"],
    ["within a chunk", eventStreamHead, "ff\r\ndata: 1\n\ndata: 2"],
    [
      "before its Content-Length",
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
      "Content-Length: 99\r\n\r\n",
      "data: 1\n\n",
    ],
  ]
) {
  Deno.test(`SseConnection.next() rejects with a network error if the body is cut off ${what}`, async () => {
    await using server = await RawServer.listen((connection) =>
      connection.send(head + rest)
    );
    await using sse = await connectSse(server.url);
    assertEquals((await sse.next()).value?.data, "1");
    (await server.connection()).end();
    const error = await assertSseError(sse.next(), "network");
    assertInstanceOf(error.cause, Error);
    assertEquals(await sse.next(), done);
  });
}

Deno.test("SseConnection.next() rejects with a network error if the chunked encoding is invalid", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.send(eventStreamHead + "9\r\ndata: 1\n\n\r\nno length\r\n")
  );
  await using sse = await connectSse(server.url);
  const events: string[] = [];
  const error = await assertSseError(
    (async () => {
      for await (const event of sse) events.push(event.data);
    })(),
    "network",
  );
  assertEquals(events, ["1"]);
  assertInstanceOf(error.cause, Error);
});

Deno.test("SseConnection.next() rejects with a network error if the gzip data is invalid", async () => {
  await using server = new HttpServer(() =>
    new Response("data: 1\n\n", {
      headers: {
        "content-type": "text/event-stream",
        "content-encoding": "gzip",
      },
    })
  );
  await using sse = await connectSse(server.url);
  const error = await assertSseError(sse.next(), "network");
  assertInstanceOf(error.cause, Error);
});

Deno.test("SseConnection.next() yields the complete events before a body fails, then rejects with the cause", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\ndata: 3");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  assertEquals((await sse.next()).value?.data, "1");
  const cause = new Error("cable cut");
  stream.fail(cause);
  assertEquals((await sse.next()).value?.data, "2");
  const error = await assertSseError(sse.next(), "network");
  assertStrictEquals(error.cause, cause);
  assertStrictEquals(error.response, sse.response);
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() yields the events before a too large one, then rejects and disconnects", async () => {
  const stream = new OpenResponse(
    `data: 1\n\ndata: 2\n\ndata: ${"x".repeat(200)}`,
  );
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, { maxEventSize: 100 });
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals((await sse.next()).value?.data, "2");
  const error = await assertSseError(sse.next(), "event-too-large");
  assertStrictEquals(error.response, sse.response);
  assertStringIncludes(error.message, "maxEventSize");
  assertStringIncludes(error.message, "100");
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection drops a too large event and all events after it", async () => {
  await using sse = await connectSse(url, {
    maxEventSize: 100,
    fetch: () => eventResponse(`data: ${"x".repeat(200)}\n\ndata: 2\n\n`),
  });
  await assertSseError(sse.next(), "event-too-large");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection disconnects on break", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  for await (const event of sse) {
    assertEquals(event.data, "1");
    break;
  }
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection disconnects if the loop throws", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  const thrown = new Error("mine");
  const caught = await assertRejects(async () => {
    for await (const _ of sse) throw thrown;
  });
  assertStrictEquals(caught, thrown);
  await stream.cancelled;
});

Deno.test("SseConnection.return() disconnects and resolves as done", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  await sse.next();
  assertEquals(await sse.return(), done);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
  assertEquals(await sse.return(), done);
});

Deno.test("SseConnection.return() ends a pending next()", async () => {
  const stream = new OpenResponse();
  const sse = await connectSse(url, { fetch: () => stream.response });
  const pending = sse.next();
  assertEquals(await sse.return(), done);
  assertEquals(await pending, done);
});

Deno.test("SseConnection.close() disconnects before the first next()", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  await sse.close();
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.close() drops unread events and disconnects", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\n");
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  assertEquals((await sse.next()).value?.data, "1");
  await sse.close();
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.close() ends all pending next() calls", async () => {
  const stream = new OpenResponse();
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  const pending = [sse.next(), sse.next(), sse.next()];
  await sse.close();
  assertEquals(await Promise.all(pending), [done, done, done]);
  await stream.cancelled;
});

Deno.test("SseConnection.close() resolves for overlapping and repeated calls", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  const sse = await connectSse(url, { fetch: () => stream.response });
  await sse.next();
  assertEquals(
    await Promise.all([sse.close(), sse.close()]),
    [undefined, undefined],
  );
  assertEquals(await sse.close(), undefined);
  await stream.cancelled;
});

Deno.test("SseConnection.close() resolves after the end and after an error", async () => {
  const ended = await connectSse(url, { fetch: () => eventResponse("") });
  assertEquals(await ended.next(), done);
  await ended.close();

  const stream = new OpenResponse();
  const failed = await connectSse(url, { fetch: () => stream.response });
  stream.fail(new Error("cable cut"));
  await assertSseError(failed.next(), "network");
  await failed.close();
});

Deno.test("SseConnection.close() cancels the unread body of an error response", async () => {
  const stream = new OpenResponse("Sorry", { status: 500 });
  await using server = new HttpServer(() => stream.response);
  const sse = await connectSse(server.url);
  await assertSseError(sse.next(), "status");
  await sse.close();
  await stream.cancelled;
});

Deno.test("SseConnection does not touch the body of an error response if the caller is reading it", async () => {
  const stream = new OpenResponse("Sorry", { status: 500 });
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const reader = sse.response.body!.getReader();
  const error = await assertSseError(sse.next(), "status");
  assertEquals(error.body, undefined);
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), "Sorry");
  await sse.close();
  await reader.cancel();
});

Deno.test("SseConnection disconnects at the end of an await using block", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  {
    await using sse = await connectSse(server.url);
    await sse.next();
  }
  await stream.cancelled;
});

Deno.test("SseConnection disconnects at the end of an await using block if the Content-Type is wrong", async () => {
  const stream = new OpenResponse("Sorry", {
    headers: { "content-type": "text/html" },
  });
  await using server = new HttpServer(() => stream.response);
  {
    await using sse = await connectSse(server.url);
    await assertSseError(sse.next(), "content-type");
  }
  await stream.cancelled;
});

Deno.test("SseConnection reads from the body only on demand", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const text = `data: ${++pulls}a\n\ndata: ${pulls}b\n\n`;
      controller.enqueue(new TextEncoder().encode(text));
    },
  }, { highWaterMark: 0 });
  await using sse = await connectSse(url, {
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  assertEquals(pulls, 0);
  const reads: [string | undefined, number][] = [];
  for (let i = 0; i < 4; i++) {
    reads.push([(await sse.next()).value?.data, pulls]);
  }
  assertEquals(reads, [["1a", 1], ["1b", 1], ["2a", 2], ["2b", 2]]);
});

Deno.test("SseConnection applies backpressure to a server that is faster than the consumer", async () => {
  const event = new TextEncoder().encode(`data: ${"x".repeat(65_527)}\n\n`);
  const maxEvents = 512; // 32 MiB in total, far more than sockets buffer
  const sent: number[] = [];
  await using server = new HttpServer(() => {
    const index = sent.push(0) - 1;
    const body = new ReadableStream({
      pull(controller) {
        if (sent[index] === maxEvents) return controller.close();
        sent[index]++;
        controller.enqueue(event);
      },
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream" },
    });
  });
  await using slow = await connectSse(server.url);
  for (let i = 0; i < 3; i++) await slow.next();
  // `fast` reads its whole stream while backpressure stops the stream of `slow`.
  await using fast = await connectSse(server.url);
  let count = 0;
  for await (const _ of fast) count++;
  assertEquals(count, maxEvents);
  assertEquals(sent[1], maxEvents);
  assertLess(sent[0], maxEvents / 2);
});

Deno.test("SseConnection.lastEventId is the ID of the last event returned", async () => {
  await using sse = await connectSse(url, {
    lastEventId: "0",
    fetch: () =>
      eventResponse("data: a\n\nid: 2\ndata: b\n\ndata: c\n\nid\ndata: d\n\n"),
  });
  assertEquals(sse.lastEventId, "0");
  const ids: [string | undefined, string][] = [];
  for await (const event of sse) ids.push([event.id, sse.lastEventId]);
  assertEquals(ids, [["0", "0"], ["2", "2"], ["2", "2"], ["", ""]]);
});

Deno.test("SseConnection.lastEventId includes an ID without data after the events before it are returned", async () => {
  const stream = new OpenResponse("id: 1\ndata: a\n\ndata: b\n\nid: 2\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  assertEquals((await sse.next()).value?.id, "1");
  assertEquals(sse.lastEventId, "1");
  assertEquals((await sse.next()).value?.id, "1");
  assertEquals(sse.lastEventId, "2");
  stream.send("id: 3\n\n");
  stream.end();
  assertEquals(await sse.next(), done);
  assertEquals(sse.lastEventId, "3");
});

Deno.test("SseConnection.reconnectionTime is the server's newest retry value", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, { fetch: () => stream.response });
  assertEquals(sse.reconnectionTime, undefined);
  stream.send("retry: 100\ndata: 1\n\n");
  assertEquals((await sse.next()).value?.retry, 100);
  assertEquals(sse.reconnectionTime, 100);
  stream.send("data: 2\n\n");
  assertEquals((await sse.next()).value?.retry, undefined);
  assertEquals(sse.reconnectionTime, 100);
  stream.send("retry: 250\n\ndata: 3\n\n");
  await sse.next();
  assertEquals(sse.reconnectionTime, 250);
});

Deno.test("SseConnection calls onComment as soon as the comment's line is complete", async () => {
  const { promise: comment, resolve } = Promise.withResolvers<string>();
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    onComment: resolve,
    fetch: () => stream.response,
  });
  let settled = false;
  const pending = sse.next().finally(() => settled = true);
  stream.send(": ke");
  stream.send("ep\n");
  assertEquals(await comment, "keep");
  assertFalse(settled);
  stream.send("data: 1\n\n");
  assertEquals((await pending).value?.data, "1");
});

Deno.test("SseConnection.next() rejects with the error that onComment throws, and disconnects", async () => {
  const thrown = new Error("mine");
  const stream = new OpenResponse(": comment\n\ndata: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, {
    onComment() {
      throw thrown;
    },
  });
  const caught = await assertRejects(() => sse.next());
  assertStrictEquals(caught, thrown);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.close() does not affect another connection to the same server", async () => {
  const streams = [new OpenResponse(), new OpenResponse()];
  await using server = new HttpServer(
    () => streams[0].response,
    () => streams[1].response,
  );
  const first = await connectSse(server.url);
  await using second = await connectSse(server.url);
  await first.close();
  await streams[0].cancelled;
  streams[1].send("data: 1\n\n");
  assertEquals((await second.next()).value?.data, "1");
});

Deno.test("SseConnection.close() resolves even if the caller keeps a clone of the response", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: 1\n\n");
  const sse = await connectSse(url, { fetch: () => stream.response });
  const clone = sse.response.clone();
  await sse.next();
  const closed = sse.close();
  // A clone is a branch of a tee. Canceling one branch resolves only when the
  // other one is canceled too.
  await time.tickAsync(1000);
  await closed;
  await clone.body!.cancel();
  await stream.cancelled;
});

Deno.test("SseConnection.next() rejects with the reason on an abort while it reads the body of an error response", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(
      "HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    await connection.chunk("It began");
  });
  const controller = new AbortController();
  await using sse = await connectSse(server.url, {
    signal: controller.signal,
  });
  const pending = assertRejects(() => sse.next());
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await pending, reason);
  await (await server.connection()).disconnected;
});

Deno.test("SseConnection does not abort the request of an in-process handler if the response has ended", async () => {
  const signals: AbortSignal[] = [];
  await using sse = await connectSse(url, {
    fetch({ signal }) {
      signals.push(signal);
      return eventResponse("data: 1\n\n");
    },
  });
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals(await sse.next(), done);
  await sse.close();
  assertFalse(signals[0].aborted);
});

Deno.test("SseConnection yields every event of a chunk of one megabyte", async () => {
  const data = Array.from({ length: 20_000 }, (_, i) => `${i} é☃🎉`.repeat(3));
  const stream = data.map((it) => `data: ${it}\n\n`).join("");
  await using sse = await connectSse(url, {
    fetch: () => eventResponse(stream),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), data);
});

Deno.test("SseConnection yields the events of a large chunk before a too large one", async () => {
  const small = Array.from({ length: 5000 }, (_, i) => `data: ${i}\n\n`);
  const stream = `${small.join("")}data: ${"x".repeat(100)}\n\ndata: late\n\n`;
  await using sse = await connectSse(url, {
    maxEventSize: 50,
    fetch: () => eventResponse(stream),
  });
  for (let i = 0; i < small.length; i++) {
    assertEquals((await sse.next()).value?.data, `${i}`);
  }
  await assertSseError(sse.next(), "event-too-large");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() settles overlapping calls in order, each before the next one starts", async () => {
  const log: string[] = [];
  await using sse = await connectSse(url, {
    fetch: events(
      "id: 1\ndata: a\n\n: c\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n",
    ),
    onComment: () => void log.push("comment"),
  });
  await Promise.all(
    Array.from({ length: 5 }, () =>
      sse.next().then(({ value }) => {
        log.push(`${value?.data} ${sse.lastEventId}`);
      })),
  );
  assertEquals(log, [
    "a 1",
    "comment",
    "b 2",
    "c 3",
    "undefined 3",
    "undefined 3",
  ]);
});

Deno.test("SseConnection.next() settles overlapping calls in order after an error", async () => {
  const log: string[] = [];
  const stream = new OpenResponse("data: a\n\n");
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const calls = [0, 1, 2, 3].map((number) =>
    sse.next().then(
      ({ value }) => void log.push(`${number} ${value?.data}`),
      ({ code }) => void log.push(`${number} ${code}`),
    )
  );
  stream.fail(new Error("cable cut"));
  await Promise.all(calls);
  assertEquals(log.slice(1), ["1 network", "2 undefined", "3 undefined"]);
});

Deno.test("SseConnection.close() called after the first of overlapping calls ends the others", async () => {
  await using sse = await connectSse(url, {
    fetch: events("data: a\n\ndata: b\n\ndata: c\n\n"),
  });
  const first = sse.next().then(async ({ value }) => {
    await sse.close();
    return value?.data;
  });
  const others = [sse.next(), sse.next()];
  assertEquals(await first, "a");
  assertEquals(await Promise.all(others), [done, done]);
});

Deno.test("SseConnection.next() settles 20,000 overlapping calls", async () => {
  const count = 20_000;
  const text = "data: a\n\n".repeat(count / 2);
  await using sse = await connectSse(url, { fetch: events(text) });
  const calls = Array.from({ length: count }, () => sse.next());
  const results = await deadline(Promise.all(calls), "all calls");
  assertEquals(results.filter(({ done }) => !done).length, count / 2);

  const silent = new OpenResponse();
  await using waiting = await connectSse(url, {
    fetch: () => silent.response,
  });
  const pending = Array.from({ length: count }, () => waiting.next());
  await waiting.close();
  const ended = await deadline(Promise.all(pending), "all pending calls");
  assertEquals(ended.every(({ done }) => done), true);
});
