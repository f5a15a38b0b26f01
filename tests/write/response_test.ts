import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertIsError,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  connectSse,
  encodeSse,
  type SseConnection,
  type SseError,
  type SseMessage,
  sseResponse,
  type SseResponseInit,
} from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { collectErrors } from "../support/collect_errors.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { Source } from "../support/message_source.ts";

const BEAT = ":\n";

/** Asserts that the stream fails instead of ending. */
function assertFailure(sse: SseConnection): Promise<SseError> {
  return deadline(assertSseError(sse.next(), "network"), "the stream to fail");
}

const messages = [{ data: "1" }, { event: "tick", id: "2" }, { comment: "3" }];
const text = "data: 1\n\nevent: tick\nid: 2\ndata: \n\n: 3\n";

for (
  const [what, source] of [
    ["an async generator", () =>
      (async function* () {
        yield* messages;
      })()],
    ["a generator", () =>
      (function* () {
        yield* messages;
      })()],
    ["an array", () => messages],
    ["a set", () => new Set(messages)],
    ["a ReadableStream", () => ReadableStream.from(messages)],
    ["an async iterable", () => ({
      [Symbol.asyncIterator]() {
        const rest = [...messages];
        return {
          next: () =>
            Promise.resolve(
              rest.length > 0
                ? { done: false as const, value: rest.shift()! }
                : { done: true as const, value: undefined },
            ),
        };
      },
    })],
  ] satisfies [string, () => Parameters<typeof sseResponse>[0]][]
) {
  Deno.test(`sseResponse sends the messages of ${what}, and then ends`, async () => {
    await using server = new HttpServer(() => sseResponse(source()));
    const response = await fetch(server.url);
    assertEquals(response.status, 200);
    assertEquals(await response.text(), text);
  });
}

Deno.test("sseResponse sends an empty body if there is no message", async () => {
  assertEquals(await sseResponse([]).text(), "");
  assertEquals(await sseResponse([{}, { event: "" }]).text(), "");
});

Deno.test("sseResponse sends each message immediately", async () => {
  const source = new Source();
  await using server = new HttpServer(() => sseResponse(source));
  await using sse = await connectSse(server.url);
  for (const data of ["1", "2", "3"]) {
    const next = dataOf(sse, 1);
    source.send({ data });
    assertEquals(await next, [data]);
  }
});

Deno.test("sseResponse forwards decoded events unchanged", async () => {
  const stream = "retry: 5\nid: 1\ndata: a\n\n" +
    "data: b\n\nevent: c\nid: \ndata: c\n\n";
  const events = (text: string) =>
    connectSse("http://in.process/", {
      fetch: () =>
        new Response(text, {
          headers: { "content-type": "text/event-stream" },
        }),
    });
  const written = await sseResponse(await events(stream)).text();
  assertEquals(
    await Array.fromAsync(await events(written)),
    await Array.fromAsync(await events(stream)),
  );
  // An unchanged ID is not written again.
  assertEquals(written.match(/^id/gm)?.length, 2);
});

Deno.test("sseResponse sets headers against caching, compression and buffering", () => {
  const { headers, status } = sseResponse([]);
  assertEquals(status, 200);
  assertEquals(Object.fromEntries(headers), {
    "cache-control": "no-cache, no-transform",
    "content-type": "text/event-stream",
    "incremental": "?1",
    "x-accel-buffering": "no",
  });
});

for (
  const [what, headersOf] of [
    ["an object", (init) => init],
    ["a list of pairs", (init) => Object.entries(init)],
    ["Headers", (init) => new Headers(init)],
  ] satisfies [string, (init: Record<string, string>) => HeadersInit][]
) {
  Deno.test(`sseResponse replaces its default headers with those of ${what}`, () => {
    const { headers } = sseResponse([], {
      headers: headersOf({
        "CONTENT-TYPE": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "X-Accel-Buffering": "yes",
        "Incremental": "?0",
        "Access-Control-Allow-Origin": "*",
      }),
    });
    assertEquals(Object.fromEntries(headers), {
      "access-control-allow-origin": "*",
      "cache-control": "no-store",
      "content-type": "text/event-stream; charset=utf-8",
      "incremental": "?0",
      "x-accel-buffering": "yes",
    });
  });
}

Deno.test("sseResponse takes a Response, and any object with getters, as its init", async () => {
  class Init {
    get status() {
      return 201;
    }
    get statusText() {
      return "Made";
    }
    get headers() {
      return { "X-Key": "k" };
    }
    get sendTimeout() {
      return 1000;
    }
  }
  const given = { status: 201, statusText: "Made", headers: { "X-Key": "k" } };
  for (
    const init of [new Response("", given), new Init(), Object.create(given)]
  ) {
    const response = sseResponse([{ data: "a" }], init);
    assertEquals([response.status, response.statusText], [201, "Made"]);
    assertEquals(response.headers.get("X-Key"), "k");
    assertEquals(await response.text(), "data: a\n\n");
  }
  assertThrows(
    () => sseResponse([], new Response(null, { status: 204 })),
    RangeError,
  );
});

Deno.test("sseResponse keeps its default headers if other headers are given", async () => {
  await using server = new HttpServer(() =>
    sseResponse([], { headers: { "set-cookie": "a=b" } })
  );
  const { headers, body } = await fetch(server.url);
  await body?.cancel();
  assertEquals(headers.get("content-type"), "text/event-stream");
  assertEquals(headers.get("cache-control"), "no-cache, no-transform");
  assertEquals(headers.get("x-accel-buffering"), "no");
  assertEquals(headers.getSetCookie(), ["a=b"]);
  assertEquals(headers.get("content-encoding"), null);
});

Deno.test("sseResponse keeps several Set-Cookie headers", () => {
  const headers = new Headers([["set-cookie", "a=b"], ["set-cookie", "c=d"]]);
  const response = sseResponse([], { headers });
  assertEquals(response.headers.getSetCookie(), ["a=b", "c=d"]);
});

Deno.test("sseResponse does not change the given headers", () => {
  const headers = new Headers({ "x-a": "1" });
  sseResponse([], { headers });
  assertEquals([...headers], [["x-a", "1"]]);
});

Deno.test("sseResponse uses the given status and status text", () => {
  const { status, statusText } = sseResponse([], {
    status: 201,
    statusText: "Made",
  });
  assertEquals({ status, statusText }, { status: 201, statusText: "Made" });
});

for (
  const [what, source] of [
    ["null", null],
    ["undefined", undefined],
    ["a string", "data: x\n\n"],
    ["a message", { data: "x" }],
  ] satisfies [string, unknown][]
) {
  Deno.test(`sseResponse throws if the source is ${what}`, () => {
    assertThrows(
      () => sseResponse(source as unknown as SseMessage[]),
      TypeError,
      "Expected an iterable or a ReadableStream",
    );
  });
}

Deno.test("sseResponse throws if the source is a locked stream", async () => {
  const stream = ReadableStream.from(messages);
  const reader = stream.getReader();
  assertThrows(() => sseResponse(stream), TypeError, "locked");
  await reader.cancel();
});

for (const heartbeat of [0, -1, NaN, -Infinity, null as unknown as number]) {
  Deno.test(`sseResponse throws if heartbeat is ${heartbeat}`, () => {
    assertThrows(
      () => sseResponse([], { heartbeat }),
      RangeError,
      "Expected heartbeat to be a number from 1 to Infinity, got " +
        heartbeat,
    );
  });
}

Deno.test("sseResponse accepts each status with a body", () => {
  for (const status of [200, 203, 206, 303, 404, 599]) {
    assertEquals(sseResponse([], { status }).status, status);
  }
});

Deno.test("sseResponse throws the errors of the Response constructor", () => {
  assertThrows(() => sseResponse([], { status: 99 }), RangeError);
  assertThrows(() => sseResponse([], { headers: { "a b": "c" } }), TypeError);
});

Deno.test("sseResponse reads messages only on demand", async () => {
  const source = new Source({ data: "1" }, {}, { event: "" }, { data: "2" });
  const response = sseResponse(source, { heartbeat: 1000 });
  const reader = response.body!.getReader();
  await reader.read(); // The first heartbeat.
  assertEquals(source.nextCalls, 0);
  await reader.read();
  assertEquals(source.nextCalls, 1);
  // Messages that write nothing do not complete a read.
  await reader.read();
  assertEquals(source.nextCalls, 4);
  await reader.cancel();
});

Deno.test("sseResponse reads an endless source only as fast as a slow client reads", async () => {
  const size = 64 * 1024;
  let pulled = 0;
  // Limited, so that a failing test ends.
  function* endless() {
    while (pulled++ < 2000) yield { data: "x".repeat(size) };
  }
  await using server = new HttpServer(() => sseResponse(endless()));
  const response = await fetch(server.url);
  const reader = response.body!.getReader();

  // The buffers on the way fill up, and then nothing more is pulled.
  let before = -1;
  while (pulled !== before) {
    before = pulled;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertLess(pulled * size, 32 * 1024 * 1024);

  // When the client reads more, more is pulled.
  let read = 0;
  while (read <= 2 * before * size) {
    read += (await reader.read()).value!.length;
    assertLess(pulled * size - read, 32 * 1024 * 1024);
  }
  assertGreater(pulled, before);
  await reader.cancel();
});

Deno.test("sseResponse calls return() of a silent source when the client disconnects", async () => {
  const source = new Source({ data: "1" });
  await using server = new HttpServer(() => sseResponse(source));
  const sse = await connectSse(server.url);
  await dataOf(sse, 1);
  assertEquals(source.returnCalls, 0);
  await sse.close();
  await source.returned;
  assertEquals(source.returnCalls, 1);
});

Deno.test("sseResponse calls return() of the source when the client resets the connection", async () => {
  const source = new Source({ data: "1" });
  await using server = new HttpServer(() => sseResponse(source));
  const { hostname, port } = new URL(server.url);
  {
    using client = await Deno.connect({ hostname, port: Number(port) });
    await client.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    );
    // Closing a socket with unread data sends a reset.
    await server.request();
    source.send({ data: "2" });
  }
  await source.returned;
});

Deno.test("sseResponse runs the finally blocks of a generator when the client disconnects", async () => {
  const { promise: cleanedUp, resolve } = Promise.withResolvers<void>();
  async function* ticks() {
    try {
      for (let n = 0;; n++) {
        yield { data: String(n) };
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      resolve();
    }
  }
  await using server = new HttpServer(() => sseResponse(ticks()));
  for await (const { data } of await connectSse(server.url)) {
    if (data === "3") break;
  }
  await deadline(cleanedUp, "the finally block");
});

Deno.test("sseResponse cancels a ReadableStream when the client disconnects", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const source = new ReadableStream<SseMessage>({
    start: (controller) => controller.enqueue({ data: "1" }),
    cancel: () => resolve(),
  });
  await using server = new HttpServer(() => sseResponse(source));
  const sse = await connectSse(server.url);
  await dataOf(sse, 1);
  await sse.close();
  await deadline(cancelled, "the stream to be canceled");
});

Deno.test("sseResponse closes only the source of the client that disconnects", async () => {
  const sources = [new Source({ data: "a" }), new Source({ data: "b" })];
  await using server = new HttpServer(
    () => sseResponse(sources[0]),
    () => sseResponse(sources[1]),
  );
  const first = await connectSse(server.url);
  await dataOf(first, 1);
  await using second = await connectSse(server.url);
  await dataOf(second, 1);
  await first.close();
  await sources[0].returned;
  assertEquals(sources[1].returnCalls, 0);
  sources[1].send({ data: "c" });
  assertEquals(await dataOf(second, 1), ["c"]);
});

Deno.test("sseResponse calls return() once, and ignores later results of the source", async () => {
  for (
    const settle of [
      (source: Source) => source.send({ data: "late" }),
      (source: Source) => source.send({ id: "\n" }),
      (source: Source) => source.fail(new Error("late")),
      (source: Source) => source.end(),
    ]
  ) {
    const source = new Source();
    const reader = sseResponse(source).body!.getReader();
    const read = reader.read();
    await source.pending;
    await reader.cancel();
    assert((await read).done);
    settle(source);
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals({
      nextCalls: source.nextCalls,
      returnCalls: source.returnCalls,
    }, {
      nextCalls: 1,
      returnCalls: 1,
    });
  }
});

Deno.test("sseResponse does not call return() if the source has ended", async () => {
  const source = new Source({ data: "1" });
  const text = sseResponse(source).text();
  await source.pending;
  source.end();
  assertEquals(await text, "data: 1\n\n");
  assertEquals(source.returnCalls, 0);
});

for (
  const [what, returnMethod] of [
    ["rejects", () => Promise.reject(new Error("cannot let go"))],
    ["throws", () => {
      throw new Error("cannot let go");
    }],
    ["never settles", () => new Promise<never>(() => {})],
    ["is missing", undefined],
  ] satisfies [string, (() => Promise<never>) | undefined][]
) {
  Deno.test(`sseResponse does not affect later requests if a source's return() ${what}`, async () => {
    function sourceWith(...messages: SseMessage[]) {
      const source = new Source(...messages);
      const { promise: returned, resolve } = Promise.withResolvers<void>();
      const iterator = {
        next: () => source.next(),
        ...(returnMethod && {
          return() {
            resolve();
            return returnMethod();
          },
        }),
        [Symbol.asyncIterator]: () => iterator,
      };
      if (!returnMethod) resolve();
      return { iterator, returned: deadline(returned, "return()") };
    }
    const gone = sourceWith({ data: "1" });
    const invalid = sourceWith({ data: "2" }, { id: "\n" });
    await using server = collectErrors(
      () => sseResponse(gone.iterator, { heartbeat: 1000 }),
      () => sseResponse(invalid.iterator, { heartbeat: 1000 }),
      () => sseResponse([{ data: "3" }]),
    );
    const first = await connectSse(server.url);
    assertEquals(await dataOf(first, 1), ["1"]);
    await first.close();
    await gone.returned;

    const second = await connectSse(server.url);
    assertEquals(await dataOf(second, 1), ["2"]);
    await assertFailure(second);
    await invalid.returned;

    const third = await connectSse(server.url);
    assertEquals(await dataOf(third, 1), ["3"]);
    assert((await third.next()).done);
    const [error, ...others] = server.errors;
    assertIsError(error, TypeError, "Expected id ");
    assertEquals(others, []);
  });
}

Deno.test("sseResponse aborts the connection if the source fails", async () => {
  async function* failing() {
    yield { data: "1" };
    await Promise.resolve();
    throw new Error("database gone");
  }
  await using server = collectErrors(() => sseResponse(failing()));
  await using sse = await connectSse(server.url);
  assertEquals(await dataOf(sse, 1), ["1"]);
  const error = await assertFailure(sse);
  // The server gets the error, the client does not.
  assertEquals(server.errors.map(String), ["Error: database gone"]);
  assertFalse(String(error.cause).includes("database"));
});

Deno.test("sseResponse aborts the connection if the source fails while a read is pending", async () => {
  const source = new Source({ data: "1" });
  await using server = collectErrors(() =>
    sseResponse(source, { heartbeat: 1000 })
  );
  await using sse = await connectSse(server.url);
  assertEquals(await dataOf(sse, 1), ["1"]);
  const failure = assertFailure(sse);
  source.fail(new Error("database gone"));
  await failure;
  assertEquals(server.errors.map(String), ["Error: database gone"]);
});

Deno.test("connectSse reconnects if the source of sseResponse fails", async () => {
  async function* failing() {
    yield { id: "1", data: "1", retry: 0 };
    throw new Error("database gone");
  }
  await using server = collectErrors(
    () => sseResponse(failing()),
    (request) =>
      sseResponse([{ data: "after " + request.headers.get("last-event-id") }]),
  );
  await using sse = await connectSse(server.url, { reconnect: true });
  assertEquals(await dataOf(sse, 2), ["1", "after 1"]);
});

Deno.test("sseResponse errors its body with the error of the source", async () => {
  const failure = new Error("database gone");
  const source = new Source();
  const text = sseResponse(source).text();
  await source.pending;
  source.fail(failure);
  assertStrictEquals(await assertRejects(() => text), failure);
});

Deno.test("sseResponse aborts the connection at an invalid message, and closes the source", async () => {
  const source = new Source({ data: "1" }, { id: "forged\n\ndata: x" });
  await using server = collectErrors(() => sseResponse(source));
  await using sse = await connectSse(server.url);
  assertEquals(await dataOf(sse, 1), ["1"]);
  await assertFailure(sse);
  await source.returned;
  assertEquals(source.returnCalls, 1);
  assertEquals(source.nextCalls, 2);
});

Deno.test("sseResponse errors its body with a TypeError at an invalid message", async () => {
  const source = new Source({ event: "a\rb" });
  const response = sseResponse(source);
  await assertRejects(
    () => response.text(),
    TypeError,
    "Expected event ",
  );
  await source.returned;
});

Deno.test("sseResponse sends only headers for a HEAD request, and closes the source", async () => {
  const source = new Source({ data: "1" });
  await using server = new HttpServer(() =>
    sseResponse(source, { heartbeat: 1000 })
  );
  const response = await fetch(server.url, { method: "HEAD" });
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  assertEquals(await response.text(), "");
  await source.returned;
});

Deno.test("sseResponse closes the source if the client has disconnected before the call", async () => {
  const source = new Source({ data: "1" });
  const gone = Promise.withResolvers<void>();
  await using server = new HttpServer(async () => {
    await gone.promise;
    return sseResponse(source, { heartbeat: 1000 });
  });
  const client = new AbortController();
  const response = fetch(server.url, { signal: client.signal });
  await server.request();
  client.abort();
  await assertRejects(() => response, DOMException);
  gone.resolve();
  await source.returned;
});

Deno.test("sseResponse closes the source when the server stops", async () => {
  const source = new Source({ data: "1" });
  const server = new HttpServer(() => sseResponse(source));
  await using sse = await connectSse(server.url);
  await dataOf(sse, 1);
  await server[Symbol.asyncDispose]();
  await source.returned;
  await assertFailure(sse);
});

Deno.test("sseResponse can be read by connectSse without a network", async () => {
  const source = new Source({ data: "1" }, { data: "2", id: "7" });
  const sse = await connectSse("http://in.process/", {
    fetch: () => sseResponse(source),
  });
  for await (const { data } of sse) if (data === "2") break;
  assertEquals(sse.lastEventId, "7");
  await source.returned;
  // There is no third call, as the loop ends at the second event.
  assertEquals(source.nextCalls, 2);
});

/** Reads a response of the source with fake time, without the first heartbeat. */
function readWithFakeTime(
  source: Parameters<typeof sseResponse>[0],
  init: SseResponseInit,
) {
  const time = new FakeTime();
  const reader = sseResponse(source, init).body!.getReader();
  const first = Number.isFinite(init.heartbeat) ? reader.read() : undefined;
  const chunks: string[] = [];
  const read = async () => {
    await first;
    const { value } = await reader.read();
    if (value) chunks.push(new TextDecoder().decode(value));
    return value !== undefined;
  };
  return {
    chunks,
    read,
    /** Reads until the end. */
    readAll: async () => {
      while (await read());
    },
    cancel: () => reader.cancel(),
    /** Advances the time. */
    async advance(ms: number) {
      await time.tickAsync(ms);
      await time.runMicrotasks();
    },
    async [Symbol.asyncDispose]() {
      await reader.cancel().catch(() => {});
      time.restore();
    },
  };
}

Deno.test("heartbeat is written at once, before a message", async () => {
  for (const source of [new Source(), () => new Promise<never>(() => {})]) {
    const reader = sseResponse(source, { heartbeat: 60_000 }).body!.getReader();
    const { value } = await deadline(reader.read(), "the first heartbeat");
    assertEquals(new TextDecoder().decode(value), BEAT);
    await reader.cancel();
  }
});

Deno.test("heartbeat writes a comment after each interval without a message", async () => {
  const source = new Source({ data: "1" });
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const reading = client.readAll();
  await client.advance(99);
  assertEquals(client.chunks, ["data: 1\n\n"]);
  await client.advance(1);
  assertEquals(client.chunks, ["data: 1\n\n", BEAT]);
  await client.advance(99);
  assertEquals(client.chunks.length, 2);
  await client.advance(1);
  assertEquals(client.chunks, ["data: 1\n\n", BEAT, BEAT]);
  source.end();
  await reading;
});

Deno.test("heartbeat writes nothing if messages are frequent enough", async () => {
  const source = new Source();
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const reading = client.readAll();
  for (let i = 0; i < 5; i++) {
    await client.advance(99);
    source.send({ data: "x" });
    await client.advance(0);
  }
  assertEquals(client.chunks, Array(5).fill("data: x\n\n"));
  await client.advance(99);
  source.end();
  await reading;
  assertEquals(client.chunks.length, 5);
});

Deno.test("heartbeat restarts its interval at a message after a comment", async () => {
  const source = new Source();
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const reading = client.readAll();
  await client.advance(150);
  source.send({ data: "x" });
  await client.advance(0);
  assertEquals(client.chunks, [BEAT, "data: x\n\n"]);
  await client.advance(99);
  assertEquals(client.chunks.length, 2);
  await client.advance(1);
  assertEquals(client.chunks.at(-1), BEAT);
  source.end();
  await reading;
});

Deno.test("heartbeat does not restart its interval at an empty message", async () => {
  const source = new Source();
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const reading = client.readAll();
  await client.advance(60);
  source.send({});
  await client.advance(40);
  assertEquals(client.chunks, [BEAT]);
  source.end();
  await reading;
});

Deno.test("heartbeat does not end the reading of a source that sends an empty message", async () => {
  const source = new Source();
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const reading = client.read();
  await client.advance(100);
  await reading;
  // The heartbeat has answered the read, and `next()` is still pending.
  source.send({});
  await client.advance(0);
  const next = client.read();
  await client.advance(0);
  assertEquals(source.nextCalls, 2);
  source.send({ data: "1" });
  await next;
  assertEquals(client.chunks, [BEAT, "data: 1\n\n"]);
});

Deno.test("sseResponse sets no timer without heartbeat and sendTimeout", async () => {
  using time = new FakeTime();
  const source = new Source();
  const reader = sseResponse(source).body!.getReader();
  const read = reader.read();
  await source.pending;
  // False if there is no timer.
  assertFalse(time.next());
  source.send({ data: "1" });
  await read;
  assertFalse(time.next());
  await reader.cancel();
});

Deno.test("heartbeat writes nothing before the client reads and after it stops reading", async () => {
  const source = new Source({ data: "1" }, { data: "2" });
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  await client.advance(1000);
  assertEquals(source.nextCalls, 0);
  await client.read();
  await client.advance(1000);
  await client.read();
  assertEquals(client.chunks, ["data: 1\n\n", "data: 2\n\n"]);
});

Deno.test("heartbeat queues at most one comment if the client stops reading", async () => {
  const source = new Source();
  await using client = readWithFakeTime(source, { heartbeat: 100 });
  const first = client.read();
  await client.advance(100);
  assertEquals(client.chunks, [BEAT]);
  await first;
  await client.advance(1000);
  source.send({ data: "x" });
  await client.advance(1000);
  // Of the ten comments that were due, one may be queued.
  await client.read();
  if (client.chunks.at(-1) === BEAT) await client.read();
  assertEquals(client.chunks.at(-1), "data: x\n\n");
});

for (const heartbeat of [undefined, Infinity, 2 ** 31, Number.MAX_VALUE]) {
  Deno.test(`heartbeat of ${heartbeat} ms writes nothing in an hour`, async () => {
    const source = new Source({ data: "1" });
    await using client = readWithFakeTime(source, { heartbeat });
    const reading = client.readAll();
    await client.advance(60 * 60 * 1000);
    assertEquals(client.chunks, ["data: 1\n\n"]);
    source.end();
    await reading;
  });
}

for (
  const [what, finish] of [
    ["the source ends", (source) => source.end()],
    ["the source fails", (source) => source.fail(new Error("gone"))],
    ["a message is invalid", (source) => source.send({ id: "\n" })],
    ["the client disconnects", (_source, cancel) => cancel()],
  ] satisfies [string, (source: Source, cancel: () => unknown) => unknown][]
) {
  Deno.test(`heartbeat stops when ${what}`, async () => {
    // In real time, so that the test fails if a timer is left.
    const source = new Source({ data: "1" });
    const reader = sseResponse(source, { heartbeat: 60_000 }).body!.getReader();
    await reader.read(); // The first heartbeat.
    await reader.read();
    const last = reader.read();
    await source.pending;
    await finish(source, () => reader.cancel());
    await last.catch(() => {});
  });
}

Deno.test("heartbeat comments arrive over HTTP, and so do later events", async () => {
  const source = new Source({ data: "1" });
  await using server = new HttpServer(() =>
    sseResponse(source, { heartbeat: 10 })
  );
  const comments: string[] = [];
  const { promise: threeArrived, resolve } = Promise.withResolvers<void>();
  await using sse = await connectSse(server.url, {
    onComment(comment) {
      if (comments.push(comment) === 3) resolve();
    },
  });
  assertEquals(await dataOf(sse, 1), ["1"]);
  const next = dataOf(sse, 1);
  await deadline(threeArrived, "three heartbeats");
  source.send({ data: "2" });
  assertEquals(await next, ["2"]);
  assertEquals(new Set(comments), new Set([""]));
});

Deno.test("heartbeat prevents an idle timeout of a silent stream", async () => {
  using time = new FakeTime();
  const source = new Source();
  await using sse = await connectSse("http://in.process/", {
    fetch: () => sseResponse(source, { heartbeat: 80 }),
    idleTimeout: 100,
  });
  const next = dataOf(sse, 1);
  for (let i = 0; i < 10; i++) {
    await time.tickAsync(80);
    await time.runMicrotasks();
  }
  source.send({ data: "at last" });
  assertEquals(await next, ["at last"]);
});

Deno.test("heartbeat writes no comment inside an event", async () => {
  const events = Array.from({ length: 60 }, (_, i) => ({
    event: "tick",
    id: String(i),
    data: "line\n".repeat(i * 50) + "last",
  }));
  async function* slowly() {
    for (const event of events) {
      yield event;
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  }
  await using server = new HttpServer(() =>
    sseResponse(slowly(), { heartbeat: 1 })
  );
  const text = await (await fetch(server.url)).text();
  const blocks = text.split(/(?<=\n\n|^:\n)/m);
  const beats = blocks.filter((block) => block === BEAT);
  assertGreater(beats.length, 0);
  assertEquals(
    blocks.filter((block) => block !== BEAT),
    events.map((event) => encodeSse(event)),
  );
});

for (const status of [0, 101, 199, 204, 205, 304, 600, 700, NaN]) {
  Deno.test(`sseResponse throws if the status is ${status}, and closes its source`, async () => {
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    const source = new ReadableStream<SseMessage>({ cancel: () => resolve() });
    assertThrows(() => sseResponse(source, { status }), RangeError, "status");
    await cancelled;
  });
}

for (
  const [what, init] of [
    ["heartbeat", { heartbeat: 0 }],
    ["header", { headers: { "a b": "c" } }],
    ["signal", { signal: new AbortController() }],
    ["status text", { statusText: "\n" }],
  ] satisfies [string, unknown][]
) {
  Deno.test(`sseResponse throws if the ${what} is invalid, and closes its source`, async () => {
    const source = new Source();
    assertThrows(() => sseResponse(source, init as SseResponseInit));
    await source.returned;
    assertEquals(source.returnCalls, 1);
  });
}

Deno.test("sseResponse throws a TypeError if signal is not an AbortSignal", () => {
  for (const signal of [new AbortController(), "now", new EventTarget()]) {
    assertThrows(
      () => sseResponse([], { signal: signal as AbortSignal }),
      TypeError,
      "Expected signal to be an AbortSignal, got ",
    );
  }
});

/** Returns a body in which a heartbeat is queued, and whose source is pending. */
async function queueHeartbeat(time: FakeTime, init: SseResponseInit) {
  const source = new Source();
  const body = sseResponse(source, { heartbeat: 10, ...init }).body!;
  const reader = body.getReader();
  await reader.read(); // The first heartbeat.
  const second = reader.read();
  await source.pending;
  // The stream still waits for a chunk, but no read is left that takes it.
  reader.releaseLock();
  await assertRejects(() => second, TypeError);
  await time.tickAsync(10);
  return { source, body };
}

Deno.test("sseResponse closes its source at most once if the client disconnects after the end", async () => {
  for (const ended of [false, true]) {
    using time = new FakeTime();
    const stop = new AbortController();
    const { source, body } = await queueHeartbeat(time, {
      signal: stop.signal,
    });
    if (ended) source.end();
    else stop.abort();
    await time.runMicrotasks();
    await body.cancel();
    assertEquals(source.returnCalls, ended ? 0 : 1);
  }
});

Deno.test("signal ends the response after what is queued, though the source fails later", async () => {
  using time = new FakeTime();
  const stop = new AbortController();
  const { source, body } = await queueHeartbeat(time, { signal: stop.signal });
  stop.abort();
  source.fail(new Error("late"));
  await time.runMicrotasks();
  assertEquals(await Array.fromAsync(body), [new TextEncoder().encode(BEAT)]);
});

Deno.test("sseResponse awaits promises in an iterable, as for await does", async () => {
  const messages = [Promise.resolve({ data: "1" }), { data: "2" }];
  const response = sseResponse(messages as SseMessage[]);
  assertEquals(await response.text(), "data: 1\n\ndata: 2\n\n");
});

/** Splits a stream as a client that dispatches an event at every blank line. */
function blocksOf(text: string): string[] {
  return text.split("\n\n").slice(0, -1);
}

Deno.test("heartbeat causes no event in a client that dispatches at every blank line", async () => {
  const source = new Source({ id: "1", data: "a" });
  await using client = readWithFakeTime(source, { heartbeat: 10 });
  const reading = client.readAll();
  await client.advance(100);
  source.send({ id: "2", data: "b" });
  await client.advance(0);
  source.end();
  await reading;
  const text = client.chunks.join("");
  assertGreater(text.split(BEAT).length, 1);
  assertEquals(
    blocksOf(text).map((block) => block.replaceAll(":\n", "")),
    ["id: 1\ndata: a", "id: 2\ndata: b"],
  );
});

Deno.test("sseResponse writes no blank line after a comment without other fields", async () => {
  const response = sseResponse([
    { id: "1", data: "a" },
    { comment: "b\nc" },
    { comment: "d", data: "e" },
  ]);
  assertEquals(
    await response.text(),
    "id: 1\ndata: a\n\n: b\n: c\n: d\ndata: e\n\n",
  );
});

Deno.test("heartbeat is not delayed when the system clock is set back", async () => {
  // Not with FakeTime, as properties of its `Date` cannot be assigned.
  const { now } = Date;
  const source = new Source({ data: "1" });
  const reader = sseResponse(source, { heartbeat: 20 }).body!.getReader();
  const read = async () => {
    const { value } = await deadline(reader.read(), "a heartbeat");
    return new TextDecoder().decode(value);
  };
  assertEquals(await read(), ":\n");
  assertEquals(await read(), "data: 1\n\n");
  const first = read();
  await source.pending;
  Date.now = () => now() - 3_600_000;
  try {
    assertEquals(await first, ":\n");
    assertEquals(await read(), ":\n");
  } finally {
    Date.now = now;
  }
  await reader.cancel();
});

Deno.test("signal ends the response, and closes a silent source", async () => {
  const source = new Source({ data: "1" });
  const stop = new AbortController();
  const response = sseResponse(source, {
    signal: stop.signal,
    heartbeat: 60_000,
  });
  const text = response.text();
  await source.pending;
  stop.abort();
  assertEquals(await text, BEAT + "data: 1\n\n");
  assertEquals(source.returnCalls, 1);
  // A later message is not lost: no client has its ID, so a reconnect gets it.
  source.send({ data: "late" });
});

Deno.test("signal ends the response after the messages that are already queued", async () => {
  const stop = new AbortController();
  const log = new MemoryEventLog();
  const response = sseResponse(log.read(""), { signal: stop.signal });
  const reader = response.body!.getReader();
  const first = reader.read();
  await log.append({ data: "1" });
  await log.append({ data: "2" });
  await log.append({ data: "3" });
  stop.abort();
  const chunks = [await first, await reader.read(), await reader.read()];
  assertEquals(
    chunks.map(({ value }) =>
      value && new TextDecoder().decode(value).match(/data: (.)/)?.[1]
    ),
    ["1", "2", undefined],
  );
});

Deno.test("signal that has already aborted ends the response immediately", async () => {
  const source = new Source({ data: "1" });
  const response = sseResponse(source, { signal: AbortSignal.abort() });
  assertEquals(await response.text(), "");
  assertEquals(
    { nextCalls: source.nextCalls, returnCalls: source.returnCalls },
    {
      nextCalls: 0,
      returnCalls: 1,
    },
  );
});

for (
  const [what, finish] of [
    ["the source ends", (source) => source.end()],
    ["the source fails", (source) => source.fail(new Error("gone"))],
    ["the client disconnects", (_source, cancel) => cancel()],
    ["it aborts", (_source, _cancel, stop) => stop()],
  ] satisfies [
    string,
    (source: Source, cancel: () => unknown, stop: () => void) => unknown,
  ][]
) {
  Deno.test(`signal has no listener after ${what}`, async () => {
    const source = new Source({ data: "1" });
    const stop = new AbortController();
    const listening = countListeners(stop.signal);
    const response = sseResponse(source, { signal: stop.signal });
    const reader = response.body!.getReader();
    await reader.read();
    const last = reader.read();
    await source.pending;
    assertEquals(listening(), 1);
    await finish(source, () => reader.cancel(), () => stop.abort());
    await last.catch(() => {});
    assertEquals(listening(), 0);
    stop.abort();
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(source.returnCalls <= 1, true);
  });
}

/** Counts the listeners of a signal. The returned function returns the count. */
function countListeners(signal: AbortSignal): () => number {
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners.add(args[1]);
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (
    ...args: Parameters<typeof removeEventListener>
  ) => {
    listeners.delete(args[1]);
    removeEventListener.apply(signal, args);
  };
  return () => listeners.size;
}

Deno.test("signal of a shutdown lets a server with open streams shut down", async () => {
  const shutdown = new AbortController();
  const sources: Source[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => {
      const source = new Source({ id: "1", data: "1" });
      sources.push(source);
      return sseResponse(source, {
        heartbeat: 60_000,
        signal: shutdown.signal,
      });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const clients = [await connectSse(url), await connectSse(url)];
  for (const sse of clients) assertEquals(await dataOf(sse, 1), ["1"]);
  const ends = clients.map((sse) => sse.next());
  const finished = server.shutdown();
  shutdown.abort();
  await deadline(finished, "the server to shut down");
  for (const end of ends) assert((await end).done);
  for (const source of sources) assertEquals(source.returnCalls, 1);
});

Deno.test("signal of a timeout makes clients reconnect without losing events", async () => {
  const log = new MemoryEventLog();
  let connections = 0;
  await using server = new HttpServer(({ headers }) => {
    connections++;
    return sseResponse(
      resume(log, new Request("http://localhost/", { headers })),
      { signal: AbortSignal.timeout(15) },
    );
  });
  await using sse = await connectSse(server.url, {
    reconnect: { initialDelay: 1 },
  });
  const expected: string[] = [];
  const data: string[] = [];
  while (connections < 5) {
    expected.push(String(expected.length));
    await log.append({ data: expected.at(-1) });
    data.push(...await dataOf(sse, 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals(data, expected);
});

Deno.test("sseResponse sends messages that are written to a TransformStream", async () => {
  const { readable, writable } = new TransformStream<SseMessage>();
  const writer = writable.getWriter();
  const response = sseResponse(readable);

  const text = response.text();
  await writer.write({ data: "1" });
  await writer.write({ data: "2" });
  await writer.close();
  assertEquals(await text, "data: 1\n\ndata: 2\n\n");
});

Deno.test("sseResponse errors the writer of a TransformStream when the client disconnects", async () => {
  const { readable, writable } = new TransformStream<SseMessage>();
  const writer = writable.getWriter();
  const reader = sseResponse(readable).body!.getReader();
  const read = reader.read();
  await writer.write({ data: "1" });
  await read;
  await reader.cancel();
  await assertRejects(() => writer.write({ data: "2" }));
  await assertRejects(() => writer.closed);
});

Deno.test("sseResponse lets timers run though neither source nor client ever waits", async () => {
  let count = 0;
  function* endless(message: SseMessage) {
    // Limited, so that a failing test ends.
    while (count++ < 1_000_000) yield message;
  }
  for (const message of [{ data: "x" }, {}]) {
    count = 0;
    const reader = sseResponse(endless(message)).body!.getReader();
    const reading = (async () => {
      while (!(await reader.read()).done);
    })();
    await new Promise((resolve) => setTimeout(resolve, 1));
    await reader.cancel();
    await reading;
    assertLess(count, 100_000);
    // The turn of a timer for which the source may still wait.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
});

Deno.test("sseResponse sends ten thousand messages of a source that never waits", async () => {
  const source = Array(10_001).fill({ data: "x" });
  const text = await deadline(sseResponse(source).text(), "the response");
  assertEquals(text, "data: x\n\n".repeat(source.length));
});

Deno.test("the body of sseResponse can be canceled if its source has no return()", async () => {
  const source = {
    next: () => new Promise<never>(() => {}),
    [Symbol.asyncIterator]: () => source,
  };
  const reader = sseResponse(source).body!.getReader();
  const read = reader.read();
  await reader.cancel();
  assert((await read).done);
});

Deno.test("sseResponse errors its body if next() resolves with no result", async () => {
  const source = {
    next: () => Promise.resolve(undefined as unknown as IteratorResult<never>),
    [Symbol.asyncIterator]: () => source,
  };
  await assertRejects(() => sseResponse(source).text(), TypeError);
});
