/** Tests `examples/proxy.ts` between an upstream and a client as the browser. */
import { assert, assertEquals } from "@std/assert";
import proxy from "../../examples/proxy.ts";
import {
  connectSse,
  ServerSentEvent,
  type SseConnection,
  sseResponse,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { collectErrors } from "../support/collect_errors.ts";
import { deadline } from "../support/deadline.ts";
import { type Handler, HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";

/** Serves the proxy on its own port, in front of the upstream at the URL. */
function serveProxy(upstreamUrl: string) {
  const variables = { UPSTREAM_URL: upstreamUrl, UPSTREAM_TOKEN: "secret" };
  for (const [name, value] of Object.entries(variables)) {
    Deno.env.set(name, value);
  }
  const server = collectErrors(proxy.fetch);
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      for (const name of Object.keys(variables)) Deno.env.delete(name);
    },
  };
}

/** Returns an event of the upstream, with a number and a secret. */
function order(n: number): string {
  return `data: ${JSON.stringify({ n, secret: "x" })}\n\n`;
}

/** Returns the number in the next event, and asserts that it has no secret. */
async function orderOf(sse: SseConnection): Promise<number> {
  const { value } = await deadline(sse.next(), "an event");
  const { n, ...rest } = value!.json<{ n: number }>();
  assertEquals(rest, {});
  return n;
}

/** Serves an upstream, and the proxy in front of it. */
function setUp(...handlers: [Handler, ...Handler[]]) {
  const upstream = new HttpServer(...handlers);
  const server = serveProxy(upstream.url);
  return {
    upstream,
    url: server.url,
    errors: server.errors,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

Deno.test("the proxy drops some events, edits the data of others, and keeps all other fields", async () => {
  await using edge = setUp(() =>
    eventResponse(
      'retry: 50\nid: 1\nevent: order\ndata: {"n":1,"secret":"x"}\n\n' +
        'id: 2\nevent: internal\ndata: {"n":2}\n\n' +
        ': comment\n\nid: 3\ndata: {"n":\ndata: 3}\n\ndata: {"n":4}\n\n' +
        'id\ndata: {"n":5}\n\n',
    )
  );
  await using sse = await connectSse(edge.url);
  assertEquals(sse.response.headers.get("content-type"), "text/event-stream");
  assertEquals(await Array.fromAsync(sse), [
    new ServerSentEvent({
      event: "order",
      data: '{"n":1}',
      id: "1",
      retry: 50,
    }),
    new ServerSentEvent({ data: '{"n":3}', id: "3" }),
    new ServerSentEvent({ data: '{"n":4}', id: "3" }),
    new ServerSentEvent({ data: '{"n":5}', id: "" }),
  ]);
});

Deno.test("the proxy forwards each event immediately", async () => {
  const stream = new OpenResponse();
  await using edge = setUp(() => stream.response);
  await using sse = await connectSse(edge.url);
  for (const number of [1, 2, 3]) {
    const next = orderOf(sse);
    stream.send(order(number));
    assertEquals(await next, number);
  }
});

Deno.test("the proxy forwards method, body and content type, and adds its token", async () => {
  await using edge = setUp(() => eventResponse(order(1)));
  await using sse = await connectSse(edge.url, {
    method: "POST",
    headers: { "content-type": "application/json", cookie: "a=b" },
    body: '{"prompt":"☃"}',
  });
  assertEquals(await orderOf(sse), 1);
  const { method, headers, body } = await edge.upstream.request();
  assertEquals(method, "POST");
  assertEquals(body, '{"prompt":"☃"}');
  assertEquals(headers.get("authorization"), "Bearer secret");
  assertEquals(headers.get("content-type"), "application/json");
  assertEquals(headers.get("accept"), "text/event-stream");
  assertEquals(headers.get("cookie"), null);
  assertEquals(headers.get("last-event-id"), null);
});

Deno.test("the proxy forwards the bytes of the last event ID", async () => {
  await using upstream = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk(order(1));
    await connection.send("0\r\n\r\n");
  });
  await using edge = serveProxy(upstream.url);
  await using sse = await connectSse(edge.url, { lastEventId: "7 é☃🎉" });
  assertEquals(await orderOf(sse), 1);
  assertEquals(
    (await upstream.connection()).header("last-event-id"),
    "7 é☃🎉",
  );
});

for (
  const [when, reset] of [
    ["before the first event", "id\n\n"],
    ["in the first event", "id: \n"],
  ]
) {
  Deno.test(`the proxy resets the browser's last event ID if the upstream does so ${when}`, async () => {
    await using edge = setUp(() => eventResponse(reset + order(1) + order(2)));
    await using sse = await connectSse(edge.url, { lastEventId: "5" });
    assertEquals(await orderOf(sse), 1);
    assertEquals(sse.lastEventId, "");
    assertEquals(await orderOf(sse), 2);
    assertEquals(sse.lastEventId, "");
  });
}

Deno.test("the proxy keeps the browser's last event ID if the upstream sends none", async () => {
  await using edge = setUp(() => eventResponse(order(1)));
  await using sse = await connectSse(edge.url, { lastEventId: "5" });
  assertEquals(await orderOf(sse), 1);
  assertEquals(sse.lastEventId, "5");
});

Deno.test("the proxy cancels the upstream request when the browser closes a silent stream", async () => {
  const stream = new OpenResponse(order(1));
  await using edge = setUp(() => stream.response);
  const sse = await connectSse(edge.url);
  assertEquals(await orderOf(sse), 1);
  await sse.close();
  await stream.cancelled;
});

Deno.test("the proxy cancels the upstream request when the browser aborts before the first event", async () => {
  const stream = new OpenResponse();
  await using edge = setUp(() => stream.response);
  const browser = new AbortController();
  const response = await fetch(edge.url, { signal: browser.signal });
  assertEquals(response.status, 200);
  browser.abort();
  await response.body?.cancel().catch(() => {});
  await stream.cancelled;
});

Deno.test("the proxy cancels the upstream request when the browser resets the connection", async () => {
  const disconnected = Promise.withResolvers<void>();
  await using upstream = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk(order(1));
    await connection.disconnected;
    disconnected.resolve();
  });
  await using edge = serveProxy(upstream.url);
  const { hostname, port } = new URL(edge.url);
  {
    using browser = await Deno.connect({ hostname, port: Number(port) });
    await browser.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    );
    await browser.read(new Uint8Array(1));
    // Closing a socket with unread data sends a reset.
  }
  await deadline(disconnected.promise, "the upstream to be disconnected");
});

Deno.test("the proxy cancels the upstream request if the browser aborts before the upstream responds", async () => {
  const stream = new OpenResponse();
  const gone = Promise.withResolvers<void>();
  await using edge = setUp(async () => {
    await gone.promise;
    return stream.response;
  });
  const browser = new AbortController();
  const response = fetch(edge.url, { signal: browser.signal });
  await edge.upstream.request();
  browser.abort();
  await response.catch(() => {});
  gone.resolve();
  await stream.cancelled;
});

Deno.test("the proxy cancels only the upstream request of the browser that closes its stream", async () => {
  const streams = [
    new OpenResponse(order(1)),
    new OpenResponse(order(2)),
  ];
  await using edge = setUp(
    () => streams[0].response,
    () => streams[1].response,
  );
  const first = await connectSse(edge.url);
  assertEquals(await orderOf(first), 1);
  await using second = await connectSse(edge.url);
  assertEquals(await orderOf(second), 2);
  await first.close();
  await streams[0].cancelled;
  const next = orderOf(second);
  streams[1].send(order(3));
  assertEquals(await next, 3);
});

Deno.test("the proxy ends the stream when the upstream ends", async () => {
  await using edge = setUp(() => eventResponse(order(1)));
  await using sse = await connectSse(edge.url);
  assertEquals(await orderOf(sse), 1);
  assert((await sse.next()).done);
});

Deno.test("the proxy fails the stream when the upstream connection fails", async () => {
  const cut = Promise.withResolvers<void>();
  await using upstream = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk(order(1));
    await cut.promise;
    connection.reset();
  });
  await using edge = serveProxy(upstream.url);
  await using sse = await connectSse(edge.url);
  assertEquals(await orderOf(sse), 1);
  cut.resolve();
  await assertSseError(sse.next(), "network");
});

Deno.test("the proxy fails the stream and cancels the upstream request at an event that is not JSON", async () => {
  const stream = new OpenResponse(order(1) + "data: {no JSON\n\n");
  await using edge = setUp(() => stream.response);
  await using sse = await connectSse(edge.url);
  assertEquals(await orderOf(sse), 1);
  await assertSseError(sse.next(), "network");
  await stream.cancelled;
  assertEquals(edge.errors.map((error) => (error as Error).name), [
    "SyntaxError",
  ]);
});

Deno.test("the proxy forwards an error response", async () => {
  await using edge = setUp(() =>
    new Response('{"error":"slow down"}', {
      status: 429,
      headers: { "content-type": "application/json", "retry-after": "7" },
    })
  );
  const response = await fetch(edge.url);
  assertEquals(response.status, 429);
  assertEquals(response.headers.get("retry-after"), "7");
  assertEquals(await response.json(), { error: "slow down" });
});

Deno.test("the proxy forwards a 204 response", async () => {
  await using edge = setUp(() => new Response(null, { status: 204 }));
  await using sse = await connectSse(edge.url, { reconnect: true });
  assert((await sse.next()).done);
});

Deno.test("the proxy loses and repeats no event if the browser reconnects", async () => {
  const events = Array.from({ length: 9 }, (_, i) => i + 1);
  // Sends three events per connection, after the browser's last event ID.
  const threeEvents: Handler = ({ headers }) => {
    const seen = Number(headers.get("last-event-id"));
    if (seen === events.length) return new Response(null, { status: 204 });
    return eventResponse(
      events.slice(seen, seen + 3).map((n) => `retry: 0\nid: ${n}\n${order(n)}`)
        .join(""),
    );
  };
  await using edge = setUp(threeEvents);
  await using sse = await connectSse(edge.url, { reconnect: true });
  assertEquals(
    (await Array.fromAsync(sse)).map(({ data }) => data),
    events.map((n) => `{"n":${n}}`),
  );
});

/** Serves a proxy as in the documentation, in one of its two forms. */
function forward(upstream: string, form: "connection" | "function"): Handler {
  return async ({ headers }) => {
    const lastEventId = headers.get("last-event-id") ?? "";
    const connect = (signal?: AbortSignal) =>
      connectSse("http://in.process/", {
        signal,
        lastEventId,
        fetch: () => eventResponse(upstream),
      });
    return sseResponse(form === "function" ? connect : await connect());
  };
}

for (const form of ["connection", "function"] as const) {
  for (
    const [what, upstream, expected] of [
      ["no id", "data: a\n\ndata: b\n\n", "data: a\n\ndata: b\n\n"],
      [
        "an empty id before the first data",
        "id\n\ndata: a\n\n",
        "data: a\n\n",
      ],
      [
        "an id, and then an empty one",
        "data: a\n\nid: 1\ndata: b\n\nid\ndata: c\n\n",
        "data: a\n\nid: 1\ndata: b\n\nid: \ndata: c\n\n",
      ],
    ]
  ) {
    Deno.test(`sseResponse of a ${form} writes no empty id to a client without one: ${what}`, async () => {
      await using server = new HttpServer(forward(upstream, form));
      assertEquals(await (await fetch(server.url)).text(), expected);
    });
  }

  Deno.test(`sseResponse of a ${form} resets the id of a client that has one`, async () => {
    await using server = new HttpServer(forward("id\n\ndata: a\n\n", form));
    await using sse = await connectSse(server.url, { lastEventId: "7" });
    const { value } = await sse.next();
    assertEquals(value?.data, "a");
    assertEquals(sse.lastEventId, "");
  });
}

Deno.test("the proxy writes no empty id to a browser without one", async () => {
  await using edge = setUp(() =>
    eventResponse(order(1) + "id: 2\n" + order(2) + "id\n" + order(3))
  );
  const text = await (await fetch(edge.url)).text();
  assertEquals(text.match(/^id.*/gm), ["id: 2", "id: "]);
  assert(text.startsWith(':\ndata: {"n":1}\n\n'), text);
});
