import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { connectSse, type ConnectSseOptions } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

/** The request that `connectSse` makes of these arguments. */
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

Deno.test("connectSse resolves when the headers have come, before any event", async () => {
  const stream = new OpenResponse("", { headers: { "x-model": "small" } });
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url);
  assertEquals(sse.response.status, 200);
  assertEquals(sse.response.headers.get("x-model"), "small");
  assertEquals(sse.response.url, server.url);
  assertFalse(sse.response.bodyUsed);
});

Deno.test("connectSse resolves whatever the response says", async () => {
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

Deno.test("connectSse takes a URL as a string, a URL or a Request", async () => {
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

Deno.test("connectSse sends a body that is a stream", async () => {
  await using server = new HttpServer(() => eventResponse(""));
  const parts = ["one ", "two"].map((part) => new TextEncoder().encode(part));
  await using _sse = await connectSse(server.url, {
    method: "POST",
    body: ReadableStream.from(parts),
  });
  assertEquals((await server.request()).body, "one two");
});

Deno.test("connectSse sends a form with the content type of a form", async () => {
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

Deno.test("connectSse keeps the method, headers and body of a given Request", async () => {
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

Deno.test("connectSse lets options replace what a given Request says, as fetch does", async () => {
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

Deno.test("connectSse leaves the caller's Request and Headers as they were", async () => {
  const given = new Request(url);
  await requestOf(given, { lastEventId: "1" });
  assertEquals([...given.headers], []);

  const headers = new Headers({ "x-a": "1" });
  const options: ConnectSseOptions = { headers, lastEventId: "1" };
  await requestOf(url, options);
  assertEquals([...headers], [["x-a", "1"]]);
  assertEquals(options, { headers, lastEventId: "1" });
});

Deno.test("connectSse asks for an event stream that no cache keeps", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.send(eventStreamHead)
  );
  await using _sse = await connectSse(server.url);
  const connection = await server.connection();
  assertEquals(connection.header("accept"), "text/event-stream");
  assertEquals(connection.header("cache-control"), "no-store");
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

Deno.test("connectSse adds no Cache-Control where the caller set the cache mode", async () => {
  const request = await requestOf(url, { cache: "reload" });
  assertEquals(request.headers.get("cache-control"), null);
  assertEquals(request.headers.get("accept"), "text/event-stream");
});

Deno.test("connectSse sends no Cache-Control from a browser, where it costs a preflight", async () => {
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
  Deno.test(`connectSse sends Last-Event-ID ${JSON.stringify(id)} as its UTF-8 bytes`, async () => {
    await using server = await RawServer.listen((connection) =>
      connection.send(eventStreamHead)
    );
    await using sse = await connectSse(server.url, { lastEventId: id });
    assertEquals((await server.connection()).header("last-event-id"), id);
    assertEquals(sse.lastEventId, id);
  });
}

Deno.test("connectSse sends no Last-Event-ID for an empty id", async () => {
  const request = await requestOf(url, { lastEventId: "" });
  assertFalse(request.headers.has("last-event-id"));
});

Deno.test("connectSse keeps the caller's own Last-Event-ID where it knows none", async () => {
  const headers = { "Last-Event-ID": "mine" };
  const request = await requestOf(url, { headers });
  assertEquals(request.headers.get("last-event-id"), "mine");
});

Deno.test("connectSse sends lastEventId rather than the caller's header", async () => {
  const headers = { "Last-Event-ID": "mine" };
  const request = await requestOf(url, { headers, lastEventId: "newer" });
  assertEquals(request.headers.get("last-event-id"), "newer");
});

Deno.test("connectSse ignores the signal of a given Request where the option is null, as fetch does", async () => {
  const request = new Request(url, { signal: AbortSignal.abort() });
  await using sse = await connectSse(request, {
    signal: null,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
});

Deno.test("connectSse follows redirects with method, headers and body", async () => {
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

Deno.test('connectSse with redirect "manual" gives the redirect as the response', async () => {
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

Deno.test("connectSse rejects with a network error where nothing listens", async () => {
  await using server = await RawServer.listen(() => {});
  server.refuse();
  const error = await assertSseError(connectSse(server.url), "network");
  assertInstanceOf(error.cause, Error);
  assertStringIncludes(error.message, server.url);
  assertEquals(error.response, undefined);
});

Deno.test("connectSse rejects with a network error where the server resets before it answers", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.reset()
  );
  const error = await assertSseError(connectSse(server.url), "network");
  assertInstanceOf(error.cause, Error);
});

Deno.test("connectSse rejects with a network error where the answer is not HTTP", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send("I do not speak HTTP\r\n\r\n");
    connection.end();
  });
  await assertSseError(connectSse(server.url), "network");
});

Deno.test("connectSse calls a handler in process with the request", async () => {
  await using sse = await connectSse("https://example.com/chat?x=1", {
    method: "POST",
    headers: { "x-a": "1" },
    body: "hello",
    async fetch(request) {
      const { method, url } = request;
      const said = [method, url, request.headers.get("x-a")];
      return eventResponse(`data: ${said.join()} ${await request.text()}\n\n`);
    },
  });
  assertEquals(
    (await sse.next()).value?.data,
    "POST,https://example.com/chat?x=1,1 hello",
  );
  assertEquals(await sse.next(), { done: true, value: undefined });
});

Deno.test("connectSse takes a handler that returns its Response at once", async () => {
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
});

Deno.test("connectSse aborts the signal of a handler's request on close", async () => {
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

Deno.test("connectSse uses the global fetch of the moment", async () => {
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
  Deno.test(`connectSse rejects with a network error where a handler ${how}`, async () => {
    const cause = new Error("handler fault");
    const error = await assertSseError(
      connectSse(url, { fetch: fetch(cause) }),
      "network",
    );
    assertStrictEquals(error.cause, cause);
  });
}

for (const answer of [undefined, null, "data: 1\n\n", {}]) {
  Deno.test(`connectSse rejects with a TypeError where fetch answers ${JSON.stringify(answer)}`, async () => {
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
    ["onComment is no function", TypeError, { onComment: "log" }],
    ["lastEventId holds a NUL", TypeError, { lastEventId: "a\0" }],
    ["lastEventId holds a CR", TypeError, { lastEventId: "a\r" }],
    ["lastEventId holds a LF", TypeError, { lastEventId: "a\nb" }],
    ["idleTimeout is 0", RangeError, { idleTimeout: 0 }],
    ["idleTimeout is negative", RangeError, { idleTimeout: -1 }],
    ["idleTimeout is NaN", RangeError, { idleTimeout: NaN }],
    ["idleTimeout is a string", RangeError, { idleTimeout: "100" }],
    ["connectTimeout is 0", RangeError, { connectTimeout: 0 }],
    ["connectTimeout is negative", RangeError, { connectTimeout: -1 }],
    ["connectTimeout is NaN", RangeError, { connectTimeout: NaN }],
    ["connectTimeout is a string", RangeError, { connectTimeout: "100" }],
    ["maxEventSize is 0", RangeError, { maxEventSize: 0 }],
    ["maxEventSize is negative", RangeError, { maxEventSize: -1 }],
    ["maxEventSize is NaN", RangeError, { maxEventSize: NaN }],
    ["maxEventSize is a string", RangeError, { maxEventSize: "100" }],
    ["GET has a body", TypeError, { body: "hello" }],
    ["a header's name is malformed", TypeError, { headers: { "a b": "c" } }],
  ] as const
) {
  Deno.test(`connectSse rejects with a ${error.name}, and sends nothing, where ${fault}`, async () => {
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

Deno.test("connectSse rejects with a TypeError where fetch is no function", async () => {
  const promise = connectSse(url, {
    fetch: "fetch" as unknown as ConnectSseOptions["fetch"],
  });
  const { message } = await assertRejects(() => promise, TypeError);
  assertStringIncludes(message, "fetch");
});

for (const input of ["", "no url", "/relative", "http://"]) {
  Deno.test(`connectSse rejects with a TypeError where the URL is ${JSON.stringify(input)}`, async () => {
    const promise = connectSse(input, { fetch: () => eventResponse("") });
    await assertRejects(() => promise, TypeError);
  });
}

Deno.test("connectSse rejects with a TypeError where the Request's body is used", async () => {
  const request = new Request(url, { method: "POST", body: "hello" });
  await request.text();
  const promise = connectSse(request, { fetch: () => eventResponse("") });
  await assertRejects(() => promise, TypeError);
});

Deno.test("connectSse takes Infinity as off", async () => {
  await using sse = await connectSse(url, {
    idleTimeout: Infinity,
    connectTimeout: Infinity,
    maxEventSize: Infinity,
    fetch: () => eventResponse("data: 1\n\n"),
  });
  assertEquals((await sse.next()).value?.data, "1");
});

Deno.test("connectSse takes undefined as an option not given", async () => {
  await using sse = await connectSse(url, {
    until: undefined,
    idleTimeout: undefined,
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

Deno.test("connectSse takes a Last-Event-ID header for the id, until the stream sets another", async () => {
  const sent: (string | null)[] = [];
  const { body } = new Response("data: 1\n\nid\ndata: 2\n\n");
  const streams = [body!, new Response("data: 3\n\n").body!];
  await using sse = await connectSse(url, {
    // As a server is given it: bytes, each a character.
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

Deno.test("connectSse takes Response.error() for a network error", async () => {
  await assertSseError(
    connectSse(url, { fetch: () => Response.error() }),
    "network",
  );
});

Deno.test("connectSse does not try a URL again that no fetch takes", async () => {
  const promise = connectSse("htp://example.com/", { reconnect: true });
  const { message } = await assertRejects(() => promise, TypeError);
  assertStringIncludes(message, "htp://example.com/");
});
