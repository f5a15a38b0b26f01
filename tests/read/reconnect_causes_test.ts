import {
  assertEquals,
  assertInstanceOf,
  assertNotStrictEquals,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  connectSse,
  type ReconnectOptions,
  type SseConnection,
  type SseError,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import {
  eventStreamHead,
  RawServer,
  type Script,
} from "../support/raw_server.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

/**
 * Returns options that reconnect almost without a delay, and the list of the
 * arguments that `onReconnect` receives.
 */
function recordReconnects(): {
  options: ReconnectOptions;
  infos: ReconnectInfo[];
} {
  const infos: ReconnectInfo[] = [];
  const options = {
    initialDelay: 0,
    onReconnect: (info: ReconnectInfo) => void infos.push(info),
  };
  return { options, infos };
}

const codes = (infos: ReconnectInfo[]): SseError["code"][] =>
  infos.map(({ error }) => error.code);

async function data(sse: SseConnection): Promise<string | undefined> {
  return (await sse.next()).value?.data;
}

/** Sends a complete response with this text, and closes the connection. */
const complete = (text: string): Script => async (connection) => {
  await connection.send(eventStreamHead);
  await connection.chunk(text);
  await connection.send("0\r\n\r\n");
  connection.end();
};

Deno.test("SseConnection reconnects if the body ends, and sends the last event ID", async () => {
  const { options, infos } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("id: 1\ndata: a\n\n"),
    () => eventResponse("id: ☃\ndata: b\n\n"),
    () => eventResponse("data: c\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  const { value } = await sse.next();
  assertEquals([value?.data, value?.id], ["c", "☃"]);
  assertEquals(
    server.requests.map(({ headers }) => headers.get("last-event-id")),
    // The UTF-8 bytes of the snowman, one character per byte.
    [null, "1", "\xe2\x98\x83"],
  );
  assertEquals(codes(infos), ["truncated", "truncated"]);
});

Deno.test("SseConnection reconnects if the body is empty", async () => {
  const { options, infos } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse(""),
    () =>
      new Response(null, { headers: { "content-type": "text/event-stream" } }),
    () => eventResponse("data: a\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(codes(infos), ["truncated", "truncated"]);
});

Deno.test("SseConnection does not reconnect by default or if reconnect is false", async () => {
  for (const reconnect of [undefined, false]) {
    await using server = new HttpServer(() => eventResponse("data: a\n\n"));
    await using sse = await connectSse(server.url, { reconnect });
    assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
    assertEquals(server.requests.length, 1);
  }
});

Deno.test("SseConnection reconnects after a reset in the middle of an event, and drops the event and its id", async () => {
  const { options, infos } = recordReconnects();
  const read = Promise.withResolvers<void>();
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk("id: 1\ndata: a\n\nid: 2\ndata: half");
      await read.promise;
      connection.reset();
    },
    complete("\n\nid: 3\ndata: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  read.resolve();
  const { value } = await sse.next();
  assertEquals([value?.data, value?.id], ["b", "3"]);
  assertEquals(server.connections[1].header("Last-Event-ID"), "1");
  assertEquals(codes(infos), ["network"]);
});

Deno.test("SseConnection reconnects if the body ends in the middle of an HTTP chunk", async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.send("ffff\r\nid: 1\ndata: a\n\nid: 2\ndata: b\n");
      connection.end();
    },
    complete("data: c\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "c");
  assertEquals(server.connections[1].header("Last-Event-ID"), "1");
  assertEquals(codes(infos), ["network"]);
});

Deno.test("SseConnection reconnects if the body ends between HTTP chunks", async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk("data: a\n\n");
      connection.end();
    },
    complete("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  assertEquals(codes(infos), ["network"]);
});

Deno.test("SseConnection drops an incomplete character at the end of a connection", async () => {
  const { options } = recordReconnects();
  const half = new TextEncoder().encode("data: 🎉").slice(0, -2);
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
          `Content-Length: ${half.length}\r\nConnection: close\r\n\r\n`,
      );
      await connection.send(half);
      connection.end();
    },
    complete("\uFEFFdata: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "b");
});

Deno.test("SseConnection disconnects from a stalled server and reconnects", async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk("id: 1\ndata: a\n\nid: 2\ndata: half\n");
    },
    complete("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, {
    idleTimeout: 300,
    connectTimeout: 10_000,
    reconnect: options,
  });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  await server.connections[0].disconnected;
  assertEquals(server.connections[1].header("Last-Event-ID"), "1");
  assertEquals(codes(infos), ["idle-timeout"]);
});

Deno.test("connectSse retries until the server accepts connections, and then resolves", async () => {
  await using server = await RawServer.listen(complete("data: a\n\n"));
  server.refuse();
  const { options, infos } = recordReconnects();
  await using sse = await connectSse(server.url, {
    reconnect: {
      ...options,
      onReconnect(info) {
        options.onReconnect?.(info);
        if (info.attempt === 3) server.accept();
      },
    },
  });
  assertEquals(codes(infos), ["network", "network", "network"]);
  assertEquals(infos.map(({ attempt }) => attempt), [1, 2, 3]);
  assertEquals(sse.response.status, 200);
  assertEquals(await data(sse), "a");
});

Deno.test("SseConnection retries until a stopped server accepts connections again", async () => {
  await using server = await RawServer.listen(
    complete("id: 1\ndata: a\n\n"),
    complete("data: b\n\n"),
  );
  const { options, infos } = recordReconnects();
  await using sse = await connectSse(server.url, {
    reconnect: {
      ...options,
      onReconnect(info) {
        options.onReconnect?.(info);
        if (info.attempt === 3) server.accept();
      },
    },
  });
  server.refuse();
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  assertEquals(codes(infos), ["truncated", "network", "network"]);
  assertEquals(server.connections[1].header("Last-Event-ID"), "1");
});

Deno.test("SseConnection retries if the response is not HTTP, at the first request and later", async () => {
  const garbage: Script = async (connection) => {
    await connection.send("\x00\x01 this is no HTTP\r\n\r\n");
    connection.end();
  };
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    garbage,
    complete("id: 1\ndata: a\n\n"),
    garbage,
    complete("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  assertEquals(codes(infos), ["network", "truncated", "network"]);
  assertEquals(server.connections[3].header("Last-Event-ID"), "1");
});

Deno.test("SseConnection retries if the connection is reset or closed before the response", async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    (connection) => connection.reset(),
    (connection) => connection.end(),
    complete("data: a\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  assertEquals(codes(infos), ["network", "network"]);
});

Deno.test("SseConnection disconnects and retries if no headers arrive within connectTimeout", async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(
    () => {},
    complete("data: a\n\n"),
    () => {},
    complete("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, {
    connectTimeout: 300,
    reconnect: options,
  });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  assertEquals(
    codes(infos),
    ["connect-timeout", "truncated", "connect-timeout"],
  );
  await server.connections[0].disconnected;
  await server.connections[2].disconnected;
});

for (const status of [408, 425, 429, 500, 502, 503, 504]) {
  Deno.test(`SseConnection retries after status ${status}, at the first request and later`, async () => {
    const { options, infos } = recordReconnects();
    const refuse = () => new Response("No", { status });
    await using server = new HttpServer(
      refuse,
      () => eventResponse("id: 1\ndata: a\n\n"),
      refuse,
      () => eventResponse("id: 2\ndata: b\n\n"),
    );
    await using sse = await connectSse(server.url, { reconnect: options });
    assertEquals(sse.response.status, 200);
    assertEquals(await data(sse), "a");
    assertEquals(await data(sse), "b");
    assertEquals(codes(infos), ["status", "truncated", "status"]);
    assertEquals(infos.map(({ error }) => error.response?.status), [
      status,
      200,
      status,
    ]);
    assertEquals(
      server.requests.map(({ headers }) => headers.get("last-event-id")),
      [null, null, "1", "1"],
    );
  });

  for (
    const [form, value] of [
      ["in seconds", () => "90"],
      ["as a date", () => new Date(Date.now() + 90_000).toUTCString()],
    ] as const
  ) {
    Deno.test(`SseConnection respects Retry-After ${form} after status ${status}`, async () => {
      const delays: number[] = [];
      await using server = new HttpServer(
        () => eventResponse("data: a\n\n"),
        () =>
          new Response("No", { status, headers: { "retry-after": value() } }),
        () => eventResponse("data: b\n\n"),
      );
      await using sse = await connectSse(server.url, {
        reconnect: {
          initialDelay: 0,
          maxDelay: 0,
          onReconnect({ delay, error }) {
            if (error.code !== "status") return;
            delays.push(delay);
            sse.reconnect();
          },
        },
      });
      assertEquals(await data(sse), "a");
      assertEquals(await data(sse), "b");
      assertEquals(delays.length, 1);
      assertEquals(Math.round(delays[0] / 10_000), 9);
    });
  }
}

for (const status of [204, 205]) {
  Deno.test(`SseConnection ends without reconnecting if the first status is ${status}`, async () => {
    const { options, infos } = recordReconnects();
    await using server = new HttpServer(() => new Response(null, { status }));
    await using sse = await connectSse(server.url, { reconnect: options });
    assertEquals(await sse.next(), done);
    assertEquals(sse.response.status, status);
    assertEquals(server.requests.length, 1);
    assertEquals(infos, []);
  });

  Deno.test(`SseConnection ends if a reconnect gets status ${status}`, async () => {
    const { options, infos } = recordReconnects();
    await using server = new HttpServer(
      () => eventResponse("data: a\n\n"),
      () => new Response(null, { status }),
    );
    await using sse = await connectSse(server.url, { reconnect: options });
    assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
    assertEquals(sse.response.status, status);
    assertEquals(server.requests.length, 2);
    assertEquals(codes(infos), ["truncated"]);
  });

  Deno.test(`SseConnection ends at status ${status} even if until was not met`, async () => {
    const { options } = recordReconnects();
    await using server = new HttpServer(
      () => eventResponse("data: a\n\n"),
      () => new Response(null, { status }),
    );
    await using sse = await connectSse(server.url, {
      reconnect: options,
      until: "[DONE]",
    });
    assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
  });
}

for (
  const status of [400, 401, 403, 404, 405, 407, 409, 410, 418, 501, 505]
) {
  Deno.test(`SseConnection.next() rejects without a retry after status ${status}, with the body in the error`, async () => {
    const { options } = recordReconnects();
    await using server = new HttpServer(
      () => eventResponse("data: a\n\n"),
      () => new Response("Go away", { status }),
    );
    await using sse = await connectSse(server.url, { reconnect: options });
    assertEquals(await data(sse), "a");
    const error = await assertSseError(sse.next(), "status");
    assertEquals(error.body, "Go away");
    assertStrictEquals(sse.response, error.response);
    assertEquals(await sse.next(), done);
    assertEquals(server.requests.length, 2);
  });
}

Deno.test("SseConnection.next() rejects without a retry after a wrong content type, with the body in the error", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n"),
    () => new Response("<p>Sign in", { headers: { "content-type": "text/x" } }),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  const error = await assertSseError(sse.next(), "content-type");
  assertEquals(error.body, "<p>Sign in");
  assertEquals(await sse.next(), done);
  assertEquals(server.requests.length, 2);
});

Deno.test("SseConnection.next() rejects an event that is too large, disconnects, and does not reconnect", async () => {
  const { options } = recordReconnects();
  const stream = new OpenResponse(`data: a\n\ndata: ${"b".repeat(100)}\n\n`);
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, {
    maxEventSize: 20,
    reconnect: options,
  });
  assertEquals(await data(sse), "a");
  await assertSseError(sse.next(), "event-too-large");
  await stream.cancelled;
  assertEquals(await sse.next(), done);
  assertEquals(server.requests.length, 1);
});

Deno.test('SseConnection.next() rejects with "reconnect-failed" after maxAttempts in a row', async () => {
  const { options, infos } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n"),
    () => new Response("One", { status: 500 }),
    () => new Response("Two", { status: 502 }),
    () => new Response("Three", { status: 503 }),
  );
  await using sse = await connectSse(server.url, {
    reconnect: { ...options, maxAttempts: 3 },
  });
  assertEquals(await data(sse), "a");
  const error = await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(server.requests.length, 4);
  assertEquals(infos.map(({ attempt }) => attempt), [1, 2, 3]);
  const cause = error.cause as SseError;
  assertEquals(cause.code, "status");
  assertEquals(cause.response?.status, 503);
  assertStrictEquals(error.response, cause.response);
  assertEquals(error.body, "Three");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection cancels the body of a temporary error response, even if it never ends", async () => {
  const { options } = recordReconnects();
  const refusal = new OpenResponse("No", { status: 503 });
  await using server = new HttpServer(
    () => refusal.response,
    () => eventResponse("data: a\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(await data(sse), "a");
  await refusal.cancelled;
});

Deno.test('connectSse rejects with "reconnect-failed" if no server listens', async () => {
  const { options, infos } = recordReconnects();
  await using server = await RawServer.listen(() => {});
  server.refuse();
  const error = await assertSseError(
    connectSse(server.url, { reconnect: { ...options, maxAttempts: 2 } }),
    "reconnect-failed",
  );
  assertEquals((error.cause as SseError).code, "network");
  assertEquals(error.response, undefined);
  assertEquals(codes(infos), ["network", "network"]);
});

Deno.test("SseConnection resets the number of attempts after an event, not after a connection", async () => {
  const { options, infos } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n"),
    () => eventResponse(""),
    () => eventResponse(": comment\n\nid: 5\n\nevent: x\n\ndata: cut off\n"),
    () => eventResponse("data: b\n\n"),
    () => eventResponse(""),
    () => eventResponse(""),
  );
  await using sse = await connectSse(server.url, {
    reconnect: { ...options, maxAttempts: 3 },
  });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(
    infos.map(({ attempt }) => attempt),
    [1, 2, 3, 1, 2, 3],
  );
});

for (
  const [kind, until, expected] of [
    ["a string", "[DONE]", ["a", "b"]],
    [
      "a function",
      ({ data }: { data: string }) => data === "[DONE]",
      ["a", "b", "[DONE]"],
    ],
  ] as const
) {
  Deno.test(`SseConnection ends and disconnects when until (${kind}) is met after a reconnect`, async () => {
    const { options, infos } = recordReconnects();
    const stream = new OpenResponse("data: b\n\ndata: [DONE]\n\ndata: c\n\n");
    await using server = new HttpServer(
      () => eventResponse("data: a\n\ndata: [DO"),
      () => stream.response,
    );
    await using sse = await connectSse(server.url, {
      reconnect: options,
      until,
    });
    const got = await Array.fromAsync(sse, ({ data }) => data);
    assertEquals(got, [...expected]);
    await stream.cancelled;
    assertEquals(server.requests.length, 2);
    assertEquals(codes(infos), ["truncated"]);
  });
}

Deno.test("SseConnection does not reconnect if the last event of the body meets until", async () => {
  const { options, infos } = recordReconnects();
  await using server = new HttpServer(() =>
    eventResponse("data: a\n\ndata: [DONE]\n\n")
  );
  await using sse = await connectSse(server.url, {
    reconnect: options,
    until: "[DONE]",
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
  assertEquals(infos, []);
});

Deno.test("SseConnection.response is the response of the newest connection", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n", { headers: { "x-server": "first" } }),
    () => eventResponse("data: b\n\n", { headers: { "x-server": "second" } }),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  await sse.next();
  const first = sse.response;
  assertEquals(first.headers.get("x-server"), "first");
  await sse.next();
  assertNotStrictEquals(sse.response, first);
  assertEquals(sse.response.headers.get("x-server"), "second");
});

Deno.test("SseConnection sends the caller's headers with every attempt, and lastEventId until an event sets another id", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse(""),
    () => eventResponse("id: 7\ndata: a\n\n"),
    () => eventResponse("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, {
    headers: { authorization: "Bearer x", accept: "text/event-stream, x/y" },
    lastEventId: "5",
    reconnect: options,
  });
  await sse.next();
  await sse.next();
  assertEquals(
    server.requests.map(({ headers }) => [
      headers.get("authorization"),
      headers.get("accept"),
      headers.get("cache-control"),
      headers.get("last-event-id"),
    ]),
    ["5", "5", "7"].map(
      (id) => ["Bearer x", "text/event-stream, x/y", "no-cache", id],
    ),
  );
});

Deno.test("SseConnection sends no Last-Event-ID after an event with an empty id", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("id: 1\ndata: a\n\nid\ndata: b\n\n"),
    () => eventResponse("data: c\n\n"),
  );
  await using sse = await connectSse(server.url, {
    lastEventId: "0",
    reconnect: options,
  });
  assertEquals(
    [await data(sse), await data(sse), await data(sse)],
    ["a", "b", "c"],
  );
  assertEquals(server.requests[1].headers.get("last-event-id"), null);
});

Deno.test("SseConnection sends the id of an event without data", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("id: 1\ndata: a\n\nid: 2\n\nid: 3\n"),
    () => eventResponse("data: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  const first = await sse.next();
  assertEquals([first.value?.id, sse.lastEventId], ["1", "2"]);
  const second = await sse.next();
  assertEquals([second.value?.data, second.value?.id], ["b", "2"]);
  assertEquals(server.requests[1].headers.get("last-event-id"), "2");
});

for (const id of ["\x01", "a\x1fb", "é\x7f"]) {
  Deno.test(`SseConnection fails without a retry if a header cannot contain the id ${JSON.stringify(id)}`, async () => {
    const { options } = recordReconnects();
    await using server = new HttpServer(() =>
      eventResponse(`id: ${id}\ndata: a\n\n`)
    );
    await using sse = await connectSse(server.url, {
      reconnect: { ...options, maxAttempts: 5 },
    });
    assertEquals(await data(sse), "a");
    const error = await assertSseError(sse.next(), "reconnect-failed");
    assertStringIncludes(error.message, JSON.stringify(id));
    assertEquals((error.cause as SseError).code, "truncated");
    assertEquals(await sse.next(), done);
    assertEquals(server.requests.length, 1);
  });
}

Deno.test("SseConnection ignores a BOM at the start of every connection", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("\uFEFFdata: a\n\n"),
    () => eventResponse("\uFEFFdata: b\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals([await data(sse), await data(sse)], ["a", "b"]);
});

Deno.test("SseConnection.reconnectionTime keeps the server's retry across reconnects until the server sends another", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("retry: 3\ndata: a\n\n"),
    () => eventResponse("data: b\n\n"),
    () => eventResponse("retry: 4\n"),
    () => eventResponse("data: c\n\n"),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  assertEquals(sse.reconnectionTime, undefined);
  await sse.next();
  assertEquals(sse.reconnectionTime, 3);
  await sse.next();
  assertEquals(sse.reconnectionTime, 3);
  await sse.next();
  assertEquals(sse.reconnectionTime, 4);
});

Deno.test("SseConnection.next() resolves overlapping calls in order across reconnects", async () => {
  const { options } = recordReconnects();
  await using server = new HttpServer(
    () => eventResponse("data: a\n\ndata: b\n\n"),
    () => new Response("No", { status: 503 }),
    () => eventResponse("data: c\n\ndata: d\n\n"),
    () => new Response(null, { status: 204 }),
  );
  await using sse = await connectSse(server.url, { reconnect: options });
  const results = await Promise.all(
    Array.from({ length: 6 }, () => data(sse)),
  );
  assertEquals(results, ["a", "b", "c", "d", undefined, undefined]);
  assertEquals(server.requests.length, 4);
});

Deno.test("SseConnection reconnects only when next() needs an event", async () => {
  using time = new FakeTime();
  const { options, infos } = recordReconnects();
  let requests = 0;
  await using sse = await connectSse("http://in.process/", {
    reconnect: options,
    fetch() {
      requests++;
      return eventResponse("data: a\n\ndata: b\n\n");
    },
  });
  assertEquals(await data(sse), "a");
  assertEquals(await data(sse), "b");
  await time.tickAsync(60_000);
  await time.runMicrotasks();
  assertEquals(requests, 1);
  assertEquals(infos, []);
  const pending = data(sse);
  await time.tickAsync();
  assertEquals(await pending, "a");
  assertEquals(requests, 2);
});

Deno.test("connectSse does not retry if fetch does not return a Response", async () => {
  const { options, infos } = recordReconnects();
  const error = await connectSse("http://in.process/", {
    reconnect: options,
    fetch: () => "no response" as unknown as Response,
  }).catch((error) => error);
  assertInstanceOf(error, TypeError);
  assertEquals(infos, []);
});

Deno.test({
  name: "connectSse does not retry if Deno lacks the net permission",
  permissions: { net: false },
  async fn() {
    const { options, infos } = recordReconnects();
    const error = await assertSseError(
      connectSse("http://127.0.0.1/", { reconnect: options }),
      "network",
    );
    assertInstanceOf(error.cause, Deno.errors.NotCapable);
    assertEquals(infos, []);
  },
});
