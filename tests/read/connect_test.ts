import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type ConnectSseOptions } from "../../mod.ts";
import { MAX_TIMER_DELAY } from "../../src/internal/wait.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

/** Returns the request that `connectSse` sends for these arguments. */
async function requestOf(
  input: Request | URL | string,
  options: ConnectSseOptions = {},
): Promise<Request> {
  const { promise, resolve } = Promise.withResolvers<Request>();
  await using _sse = await connectSse(input, {
    ...options,
    fetch(request) {
      resolve(request);
      return eventResponse("");
    },
  });
  return await promise;
}

Deno.test("connectSse resolves when the headers arrive, before any event", async () => {
  const stream = new OpenResponse("", { headers: { "x-model": "small" } });
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url);
  assertEquals(sse.response.status, 200);
  assertEquals(sse.response.headers.get("x-model"), "small");
  assertEquals(sse.response.url, server.url);
  assertFalse(sse.response.bodyUsed);
});

Deno.test("connectSse resolves even if the response is an error", async () => {
  await using server = new HttpServer(() =>
    new Response("{}", {
      status: 500,
      headers: { "content-type": "application/json" },
    })
  );
  await using sse = await connectSse(server.url);
  assertEquals(sse.response.status, 500);
  assertEquals(await sse.response.json(), {});
});

Deno.test("connectSse accepts a string, a URL or a Request", async () => {
  await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
  const inputs = [
    server.url + "a?b=c",
    new URL(server.url + "a?b=c"),
    new Request(server.url + "a?b=c"),
  ];
  for (const input of inputs) {
    await using sse = await connectSse(input);
    assertEquals((await sse.next()).value?.data, "1");
  }
  assertEquals(
    server.requests.map(({ method, path }) => `${method} ${path}`),
    Array(3).fill("GET /a?b=c"),
  );
});

for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
  Deno.test(`connectSse sends ${method} with headers and a body`, async () => {
    await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
    await using sse = await connectSse(server.url, {
      method,
      headers: {
        authorization: "Bearer secret",
        "content-type": "application/json",
      },
      body: JSON.stringify({ stream: true, prompt: "☃" }),
    });
    assertEquals((await sse.next()).value?.data, "1");
    const request = await server.request();
    assertEquals(request.method, method);
    assertEquals(request.headers.get("authorization"), "Bearer secret");
    assertEquals(request.headers.get("content-type"), "application/json");
    assertEquals(request.body, '{"stream":true,"prompt":"☃"}');
  });
}

Deno.test("connectSse sends a ReadableStream as the body", async () => {
  await using server = new HttpServer(() => eventResponse(""));
  const parts = ["one ", "two"].map((part) => new TextEncoder().encode(part));
  await using _sse = await connectSse(server.url, {
    method: "POST",
    body: ReadableStream.from(parts),
  });
  assertEquals((await server.request()).body, "one two");
});

Deno.test("connectSse sends URLSearchParams with the Content-Type of a form", async () => {
  const request = await requestOf(url, {
    method: "POST",
    body: new URLSearchParams({ q: "a b" }),
  });
  assertEquals(
    request.headers.get("content-type"),
    "application/x-www-form-urlencoded;charset=UTF-8",
  );
  assertEquals(await request.text(), "q=a+b");
});

Deno.test("connectSse sends the method, headers and body of a given Request", async () => {
  await using server = new HttpServer(() => eventResponse(""));
  const request = new Request(server.url, {
    method: "POST",
    headers: { accept: "application/json, text/event-stream", "x-a": "1" },
    body: "hello",
  });
  await using _sse = await connectSse(request);
  const received = await server.request();
  assertEquals(received.method, "POST");
  assertEquals(received.body, "hello");
  assertEquals(received.headers.get("x-a"), "1");
  assertEquals(
    received.headers.get("accept"),
    "application/json, text/event-stream",
  );
});

Deno.test("connectSse gives its options precedence over a given Request, as fetch does", async () => {
  const given = new Request(url, {
    method: "POST",
    headers: { accept: "application/json", "x-a": "1" },
    body: "old",
  });
  const request = await requestOf(given, {
    method: "PUT",
    headers: { "x-b": "2" },
    body: "new",
  });
  assertEquals(request.method, "PUT");
  assertEquals(await request.text(), "new");
  assertEquals(request.headers.get("x-a"), null);
  assertEquals(request.headers.get("x-b"), "2");
  assertEquals(request.headers.get("accept"), "text/event-stream");
});

Deno.test("connectSse does not modify the caller's Request, Headers or options", async () => {
  const given = new Request(url);
  await requestOf(given, { lastEventId: "1" });
  assertEquals([...given.headers], []);

  const headers = new Headers({ "x-a": "1" });
  const options: ConnectSseOptions = { headers, lastEventId: "1" };
  await requestOf(url, options);
  assertEquals([...headers], [["x-a", "1"]]);
  assertEquals(options, { headers, lastEventId: "1" });
});

Deno.test("connectSse sends Accept: text/event-stream and Cache-Control: no-cache", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.send(eventStreamHead)
  );
  await using _sse = await connectSse(server.url);
  const connection = await server.connection();
  assertEquals(connection.header("accept"), "text/event-stream");
  assertEquals(connection.header("cache-control"), "no-cache");
  assertEquals(connection.header("last-event-id"), undefined);
});

Deno.test("connectSse keeps the caller's Accept and Cache-Control", async () => {
  const request = await requestOf(url, {
    headers: [
      ["ACCEPT", "application/json, text/event-stream"],
      ["Cache-control", "max-age=0"],
    ],
  });
  assertEquals(
    request.headers.get("accept"),
    "application/json, text/event-stream",
  );
  assertEquals(request.headers.get("cache-control"), "max-age=0");
});

Deno.test("connectSse adds no Cache-Control if the caller sets the cache mode", async () => {
  const request = await requestOf(url, { cache: "reload" });
  assertEquals(request.headers.get("cache-control"), null);
  assertEquals(request.headers.get("accept"), "text/event-stream");
});

Deno.test("connectSse sends no Cache-Control in a browser, because it would require a preflight", async () => {
  const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator")!;
  Object.defineProperty(globalThis, "navigator", {
    configurable: true,
    value: { userAgent: "Mozilla/5.0" },
  });
  try {
    const request = await requestOf(url);
    assertEquals([...request.headers], [["accept", "text/event-stream"]]);
  } finally {
    Object.defineProperty(globalThis, "navigator", navigator);
  }
});

for (const id of ["7", "é☃🎉", 'a b,c;d="e"', "\u{80}\u{85}\u{a0}"]) {
  Deno.test(`connectSse sends Last-Event-ID ${JSON.stringify(id)} as UTF-8 bytes`, async () => {
    await using server = await RawServer.listen((connection) =>
      connection.send(eventStreamHead)
    );
    await using sse = await connectSse(server.url, { lastEventId: id });
    assertEquals((await server.connection()).header("last-event-id"), id);
    assertEquals(sse.lastEventId, id);
  });
}

Deno.test("connectSse sends no Last-Event-ID if lastEventId is empty", async () => {
  const request = await requestOf(url, { lastEventId: "" });
  assertFalse(request.headers.has("last-event-id"));
});

Deno.test("connectSse sends the caller's Last-Event-ID header if lastEventId is not set", async () => {
  const headers = { "Last-Event-ID": "mine" };
  const request = await requestOf(url, { headers });
  assertEquals(request.headers.get("last-event-id"), "mine");
});

Deno.test("connectSse sends lastEventId instead of the caller's Last-Event-ID header", async () => {
  const headers = { "Last-Event-ID": "mine" };
  const request = await requestOf(url, { headers, lastEventId: "newer" });
  assertEquals(request.headers.get("last-event-id"), "newer");
});

Deno.test("connectSse ignores the signal of a given Request if the option signal is null, as fetch does", async () => {
  const request = new Request(url, { signal: AbortSignal.abort() });
  await using sse = await connectSse(request, {
    signal: null,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
});

Deno.test("connectSse keeps the method, headers and body if it follows a 307 redirect", async () => {
  await using server = new HttpServer(
    () => new Response(null, { status: 307, headers: { location: "/there" } }),
    () => eventResponse("data: 1\n\n"),
  );
  await using sse = await connectSse(server.url, {
    method: "POST",
    headers: { "x-a": "1" },
    body: "hello",
    lastEventId: "☃",
  });
  assert(sse.response.redirected);
  assertEquals(sse.response.url, server.url + "there");
  assertEquals((await sse.next()).value?.data, "1");
  const [first, second] = server.requests;
  assertEquals(second.path, "/there");
  assertEquals(second.method, "POST");
  assertEquals(second.body, "hello");
  for (const name of ["x-a", "accept", "cache-control", "last-event-id"]) {
    assertEquals(second.headers.get(name), first.headers.get(name), name);
  }
});

Deno.test('connectSse with redirect "manual" resolves, and next() rejects with a status error', async () => {
  await using server = new HttpServer(() =>
    new Response(null, { status: 302, headers: { location: "/there" } })
  );
  await using sse = await connectSse(server.url, { redirect: "manual" });
  await assertSseError(sse.next(), "status");
  assertEquals(server.requests.length, 1);
});

Deno.test('connectSse with redirect "error" rejects with a network error', async () => {
  await using server = new HttpServer(() =>
    new Response(null, { status: 302, headers: { location: "/there" } })
  );
  await assertSseError(
    connectSse(server.url, { redirect: "error" }),
    "network",
  );
  assertEquals(server.requests.length, 1);
});

Deno.test("connectSse rejects with a network error if the server refuses the connection", async () => {
  await using server = await RawServer.listen(() => {});
  server.refuse();
  const error = await assertSseError(connectSse(server.url), "network");
  assertInstanceOf(error.cause, Error);
  assertStringIncludes(error.message, server.url);
  assertEquals(error.response, undefined);
});

Deno.test("connectSse rejects with a network error if the server resets the connection before it responds", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.reset()
  );
  const error = await assertSseError(connectSse(server.url), "network");
  assertInstanceOf(error.cause, Error);
});

Deno.test("connectSse rejects with a network error if the response is not HTTP", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send("I do not speak HTTP\r\n\r\n");
    connection.end();
  });
  await assertSseError(connectSse(server.url), "network");
});

Deno.test("connectSse passes the request to an in-process handler", async () => {
  await using sse = await connectSse("https://example.com/chat?x=1", {
    method: "POST",
    headers: { "x-a": "1" },
    body: "hello",
    async fetch(request) {
      const { method, url } = request;
      const parts = [method, url, request.headers.get("x-a")];
      return eventResponse(`data: ${parts.join()} ${await request.text()}\n\n`);
    },
  });
  assertEquals(
    (await sse.next()).value?.data,
    "POST,https://example.com/chat?x=1,1 hello",
  );
  assertEquals(await sse.next(), { done: true, value: undefined });
});

Deno.test("connectSse accepts a handler that returns a Response instead of a promise", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
});

Deno.test("SseConnection.close() aborts the signal of the request that an in-process handler received", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  let signal: AbortSignal | undefined;
  await using sse = await connectSse(url, {
    fetch(request) {
      signal = request.signal;
      return stream.response;
    },
  });
  await sse.next();
  assertEquals(signal?.aborted, false);
  await sse.close();
  assertEquals(signal?.aborted, true);
});

Deno.test("connectSse looks up the global fetch when it is called", async () => {
  const original = globalThis.fetch;
  const seen: string[] = [];
  globalThis.fetch = (input, init) => {
    seen.push(new Request(input, init).url);
    return Promise.resolve(eventResponse("data: stub\n\n"));
  };
  try {
    await using sse = await connectSse(url);
    assertEquals((await sse.next()).value?.data, "stub");
  } finally {
    globalThis.fetch = original;
  }
  assertEquals(seen, [url]);
});

for (
  const [how, fetch] of [
    ["throws", (error: Error) => () => {
      throw error;
    }],
    ["rejects", (error: Error) => () => Promise.reject(error)],
  ] as const
) {
  Deno.test(`connectSse rejects with a network error if the handler ${how}`, async () => {
    const cause = new Error("handler fault");
    const error = await assertSseError(
      connectSse(url, { fetch: fetch(cause) }),
      "network",
    );
    assertStrictEquals(error.cause, cause);
  });
}

for (const answer of [undefined, null, "data: 1\n\n", {}]) {
  Deno.test(`connectSse rejects with a TypeError if fetch returns ${JSON.stringify(answer)}`, async () => {
    const fetch = () => answer as unknown as Response;
    const error = await assertRejects(
      () => connectSse(url, { fetch }),
      TypeError,
    );
    assertStringIncludes(error.message, "Response");
  });
}

for (
  const [fault, error, options] of [
    ["until is a number", TypeError, { until: 1 }],
    ["until is null", TypeError, { until: null }],
    ["reconnect is a string", TypeError, { reconnect: "no" }],
    ["reconnect is null", TypeError, { reconnect: null }],
    ["onComment is not a function", TypeError, { onComment: "log" }],
    ["lastEventId contains a NUL", TypeError, { lastEventId: "a\0" }],
    ["lastEventId contains a CR", TypeError, { lastEventId: "a\r" }],
    ["lastEventId contains a LF", TypeError, { lastEventId: "a\nb" }],
    ["idleTimeout is 0", RangeError, { idleTimeout: 0 }],
    ["idleTimeout is negative", RangeError, { idleTimeout: -1 }],
    ["idleTimeout is NaN", RangeError, { idleTimeout: NaN }],
    ["idleTimeout is a string", RangeError, { idleTimeout: "100" }],
    ["eventTimeout is 0", RangeError, { eventTimeout: 0 }],
    ["connectTimeout is 0", RangeError, { connectTimeout: 0 }],
    ["connectTimeout is 0", RangeError, { connectTimeout: 0 }],
    ["connectTimeout is negative", RangeError, { connectTimeout: -1 }],
    ["connectTimeout is NaN", RangeError, { connectTimeout: NaN }],
    ["connectTimeout is a string", RangeError, { connectTimeout: "100" }],
    ["maxEventSize is 0", RangeError, { maxEventSize: 0 }],
    ["maxEventSize is negative", RangeError, { maxEventSize: -1 }],
    ["maxEventSize is NaN", RangeError, { maxEventSize: NaN }],
    ["maxEventSize is a string", RangeError, { maxEventSize: "100" }],
    ["GET has a body", TypeError, { body: "hello" }],
    ["a header's name is invalid", TypeError, { headers: { "a b": "c" } }],
  ] as const
) {
  Deno.test(`connectSse rejects with a ${error.name} and sends no request if ${fault}`, async () => {
    let calls = 0;
    const promise = connectSse(url, {
      ...options as ConnectSseOptions,
      fetch() {
        calls++;
        return eventResponse("");
      },
    });
    const { message } = await assertRejects(() => promise, error);
    assertEquals(calls, 0);
    const [option] = Object.keys(options);
    if (fault.startsWith(option)) assertStringIncludes(message, option);
  });
}

Deno.test("connectSse rejects with a TypeError if fetch is not a function", async () => {
  const promise = connectSse(url, {
    fetch: "fetch" as unknown as ConnectSseOptions["fetch"],
  });
  const { message } = await assertRejects(() => promise, TypeError);
  assertStringIncludes(message, "fetch");
});

for (const input of ["", "no url", "/relative", "http://"]) {
  Deno.test(`connectSse rejects with a TypeError if the URL is ${JSON.stringify(input)}`, async () => {
    const promise = connectSse(input, { fetch: () => eventResponse("") });
    await assertRejects(() => promise, TypeError);
  });
}

Deno.test("connectSse rejects with a TypeError if the Request's body is used", async () => {
  const request = new Request(url, { method: "POST", body: "hello" });
  await request.text();
  const promise = connectSse(request, { fetch: () => eventResponse("") });
  await assertRejects(() => promise, TypeError);
});

Deno.test("connectSse treats Infinity as no limit", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  const response = Promise.withResolvers<Response>();
  const connecting = connectSse(url, {
    idleTimeout: Infinity,
    eventTimeout: Infinity,
    connectTimeout: Infinity,
    maxEventSize: Infinity,
    fetch: () => response.promise,
  });
  await time.tickAsync(MAX_TIMER_DELAY);
  response.resolve(stream.response);
  await using sse = await connecting;
  const next = sse.next();
  await time.tickAsync(MAX_TIMER_DELAY);
  stream.send("data: 1\n\n");
  assertEquals((await next).value?.data, "1");
});

Deno.test("connectSse treats an undefined option as not set", async () => {
  await using sse = await connectSse(url, {
    until: undefined,
    idleTimeout: undefined,
    eventTimeout: undefined,
    connectTimeout: undefined,
    maxEventSize: undefined,
    onComment: undefined,
    lastEventId: undefined,
    signal: undefined,
    fetch: () => eventResponse(": comment\ndata: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals(await sse.next(), { done: true, value: undefined });
});

Deno.test("connectSse uses a Last-Event-ID header as the last event ID until the stream sets another one", async () => {
  const sent: (string | null)[] = [];
  const { body } = new Response("data: 1\n\nid\ndata: 2\n\n");
  const streams = [body!, new Response("data: 3\n\n").body!];
  await using sse = await connectSse(url, {
    // The ID's UTF-8 bytes, each as one character, as in any header value.
    headers: { "Last-Event-ID": "\xe2\x98\x83" },
    reconnect: { initialDelay: 0 },
    fetch({ headers }) {
      sent.push(headers.get("Last-Event-ID"));
      return new Response(streams.shift(), {
        headers: { "content-type": "text/event-stream" },
      });
    },
  });
  assertEquals(sse.lastEventId, "☃");
  assertEquals((await sse.next()).value?.id, "☃");
  assertEquals((await sse.next()).value?.id, "");
  assertEquals((await sse.next()).value?.data, "3");
  assertEquals(sent, ["\xe2\x98\x83", null]);
});

Deno.test("connectSse treats Response.error() as a network error", async () => {
  await assertSseError(
    connectSse(url, { fetch: () => Response.error() }),
    "network",
  );
});

Deno.test("connectSse does not retry a URL with an unsupported scheme", async () => {
  const promise = connectSse("htp://example.com/", { reconnect: true });
  const { message } = await assertRejects(() => promise, TypeError);
  assertStringIncludes(message, "htp://example.com/");
});
