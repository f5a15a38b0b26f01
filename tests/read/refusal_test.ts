// Responses that are not event streams, called "refused" here: the errors that
// they cause, and the canceling of their bodies.

import {
  assert,
  assertEquals,
  assertFalse,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type ConnectSseOptions, SseError } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { RawServer } from "../support/raw_server.ts";
import { runScript } from "../support/run_script.ts";

const html = { headers: { "content-type": "text/html" } };

/** Returns the error that reading the stream throws. */
async function failure(
  url: string,
  options?: ConnectSseOptions,
): Promise<SseError> {
  try {
    for await (const _ of await connectSse(url, options));
  } catch (error) {
    assert(error instanceof SseError, `${error}`);
    return error;
  }
  throw new Error("Expected an error");
}

const refusals: Record<string, [SseError["code"], ConnectSseOptions, string]> =
  {
    "status": ["status", {}, "HTTP/1.1 401 No\r\n"],
    "content-type": [
      "content-type",
      {},
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
    ],
    "reconnect-failed": [
      "reconnect-failed",
      { reconnect: { initialDelay: 0, maxAttempts: 1 } },
      "HTTP/1.1 503 No\r\n",
    ],
    "status, with reconnect": [
      "status",
      { reconnect: true },
      "HTTP/1.1 401 No\r\n",
    ],
  };
for (const [name, [code, options, head]] of Object.entries(refusals)) {
  Deno.test(`SseError.body is the start of a refused body, and the connection is closed: ${name}`, async () => {
    await using server = await RawServer.listen(async (connection) => {
      await connection.send(`${head}Content-Length: 1000000\r\n\r\n`);
      // Longer than the part that is read, and shorter than Content-Length.
      await connection.send("é ".repeat(60_000));
    });
    const error = await failure(server.url, options);
    assertEquals(error.code, code);
    assertEquals(error.body?.length, 65_536);
    assertStringIncludes(error.message, ": " + "é ".repeat(100).trim());
    for (const { disconnected } of server.connections) await disconnected;
  });
}

Deno.test("SseConnection.next() waits one second for the body of a refused response, not longer", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("Wait", { status: 404 });
  await using sse = await connectSse(url, { fetch: () => stream.response });
  let settled = false;
  const pending = sse.next().catch((error) => error)
    .finally(() => settled = true);
  await time.tickAsync(500);
  stream.send(" and see");
  await time.tickAsync(499);
  await time.runMicrotasks();
  assertFalse(settled);
  await time.tickAsync(1);
  assertEquals((await pending).body, "Wait and see");
  await stream.cancelled;
  assertFalse(time.next());
});

Deno.test("SseError.body is the part of a refused body that arrived before the connection failed", async () => {
  const stream = new OpenResponse("It began", { status: 500 });
  await using sse = await connectSse(url, { fetch: () => stream.response });
  const pending = assertSseError(sse.next(), "status");
  await new Promise((resolve) => setTimeout(resolve));
  stream.fail(new Error("cable cut"));
  assertEquals((await pending).body, "It began");
  assertEquals(await sse.next(), done);
});

Deno.test("SseError.message quotes the start of a refused body on one line, without secrets", async () => {
  const quotes = {
    "": "got 400",
    " \n ": "got 400",
    "a\r\n  b\tc": "got 400: a b c",
    [`${"x".repeat(200)}\n`]: `got 400: ${"x".repeat(200)}`,
    ["x".repeat(201)]: `got 400: ${"x".repeat(200)}…`,
    "no http://u:secret@h/p?key=secret here": "got 400: no http://h/p?… here",
  };
  for (const [body, quote] of Object.entries(quotes)) {
    const error = await failure(url, {
      fetch: () => new Response(body, { status: 400 }),
    });
    assertEquals(error.message, `Expected a status of 2xx, ${quote}`);
    assertEquals(error.body, body);
  }
});

Deno.test("SseError.body is the start of a refused body whose chunks are text, as an in-process handler may send it", async () => {
  for (const reconnect of [false, true]) {
    const body = ReadableStream.from(["N☃", "o ".repeat(100_000)]);
    const sse = await connectSse(url, {
      // The types do not allow text.
      fetch: () => new Response(body as unknown as BodyInit, { status: 401 }),
      reconnect,
    });
    const error = await assertSseError(sse.next(), "status");
    assertEquals(error.body?.slice(0, 5), "N☃o o");
    assertEquals(error.body?.length, 65_536);
  }
});

Deno.test("SseError.message escapes control characters of a refused body and of its content type", async () => {
  await using status = await connectSse(url, {
    fetch: () => new Response("\x1b[2J\0", { status: 401 }),
  });
  const { message } = await assertSseError(status.next(), "status");
  assertStringIncludes(message, "\\u001b[2J\\u0000");
  const headers = { "Content-Type": "text/\x1b[2J" };
  await using type = await connectSse(url, {
    fetch: () => new Response("", { headers }),
  });
  const { message: other } = await assertSseError(type.next(), "content-type");
  assertStringIncludes(other, "text/\\u001b[2J");
});

Deno.test("SseError.body is empty if a refused response has no body", async () => {
  const error = await failure(url, {
    fetch: () => new Response(null, { status: 404, statusText: "Not Found" }),
  });
  assertEquals(error.body, "");
  assertEquals(
    error.message,
    "Expected a status of 2xx, got 404 Not Found",
  );
});

Deno.test("SseError has no body if the caller has read a refused response first", async () => {
  for (const reconnect of [false, true]) {
    await using sse = await connectSse(url, {
      fetch: () => new Response("Sorry", { status: 404 }),
      reconnect,
    });
    assertEquals(await sse.response.text(), "Sorry");
    const error = await assertSseError(sse.next(), "status");
    // With `reconnect`, `connectSse` reads the body before it resolves.
    assertEquals(error.body, reconnect ? "Sorry" : undefined);
    assertEquals("body" in error, reconnect);
  }
});

Deno.test("a refused response can be read before the first next(), even if reconnect has read its start", async () => {
  const stream = new OpenResponse("Who", { status: 401 });
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, { reconnect: true });
  assertEquals(sse.response.status, 401);
  const text = sse.response.text();
  stream.send(" are you?");
  stream.end();
  assertEquals(await text, "Who are you?");
});

Deno.test("shouldReconnect and onReconnect receive the body of a refused response", async () => {
  const { fetch } = inTurn(
    () => new Response("quota: later", { status: 429 }),
    () => new Response("quota: never", { status: 429 }),
  );
  const bodies: (string | undefined)[] = [];
  const sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      shouldReconnect: ({ body }) => body !== "quota: never",
      onReconnect: ({ error }) => void bodies.push(error.body),
    },
  });
  const error = await assertSseError(sse.next(), "status");
  assertEquals([...bodies, error.body], ["quota: later", "quota: never"]);
});

Deno.test("SseConnection.next() rejects with the same error that shouldReconnect received", async () => {
  const errors: SseError[] = [];
  await using sse = await connectSse(url, {
    fetch: () => new Response("Sorry", { status: 403 }),
    reconnect: {
      shouldReconnect: (error) => (errors.push(error), undefined),
    },
  });
  const error = await assertSseError(sse.next(), "status");
  assertEquals(errors.length, 1);
  assertStrictEquals(errors[0], error);
  assertEquals(await sse.next(), done);
});

Deno.test("an abort or close() ends the wait for the body of a refused response", async () => {
  for (const end of ["abort", "close"]) {
    const stream = new OpenResponse("No", { status: 401 });
    const controller = new AbortController();
    await using sse = await connectSse(url, {
      fetch: () => stream.response,
      signal: controller.signal,
    });
    const pending = sse.next().catch((reason) => reason);
    if (end === "abort") controller.abort("enough");
    else await sse.close();
    assertEquals(await pending, end === "abort" ? "enough" : done);
    await stream.cancelled;
  }
});

Deno.test("connectSse checks the status of a response-like object without `ok`", async () => {
  const responseLike = (status: number, type: string) => () => ({
    status,
    statusText: "",
    headers: new Headers({ "content-type": type }),
    body: new Response("data: a\n\n").body,
  } as unknown as Response);
  await using sse = await connectSse(url, {
    fetch: responseLike(200, "text/event-stream"),
  });
  assertEquals((await sse.next()).value?.data, "a");
  const status = await failure(url, {
    fetch: responseLike(300, "text/event-stream"),
  });
  assertEquals([status.code, status.body], ["status", "data: a\n\n"]);
  const type = await failure(url, { fetch: responseLike(200, "text/plain") });
  assertEquals([type.code, type.body], ["content-type", "data: a\n\n"]);
  // Status 0 is that of an opaque response, which hides everything else.
  const opaque = await failure(url, {
    fetch: responseLike(0, "text/event-stream"),
  });
  assertEquals(opaque.code, "status");
});

Deno.test("connectSse parses a long Content-Type in linear time", async () => {
  // Each of these would block the event loop for hours if it took quadratic
  // time. A separate process can be stopped.
  await runScript(`
    import { connectSse } from ${
    JSON.stringify(import.meta.resolve("../../mod.ts"))
  };
    for (const part of ['\\\\"', '"', '\\\\', '",', ";", ",", " ", 'a"b']) {
      const type = "text/event-stream;x=" + part.repeat(500_000);
      const headers = new Headers({ "content-type": type });
      const { body } = new Response("data: a\\n\\n");
      const response = { status: 200, headers, body };
      const sse = await connectSse("http://in.process/", { fetch: () => response });
      if ((await sse.next()).value?.data !== "a") throw new Error(part);
    }
  `);
});

for (
  const type of [
    '"text/event-stream"',
    'text/event-stream"x"y',
    "",
    ",",
    "*/*",
  ]
) {
  Deno.test(`Content-Type ${JSON.stringify(type)} is not accepted as an event stream`, async () => {
    const { code } = await failure(url, {
      fetch: () => eventResponse("", { headers: { "content-type": type } }),
    });
    assertEquals(code, "content-type");
  });
}

for (
  const type of [
    'text/plain;x="a\\\\", text/event-stream',
    'text/plain;x="a", text/event-stream;y="b',
    ", text/event-stream",
  ]
) {
  Deno.test(`Content-Type ${JSON.stringify(type)} is accepted as an event stream`, async () => {
    await using sse = await connectSse(url, {
      fetch: () =>
        eventResponse("data: a\n\n", { headers: { "content-type": type } }),
    });
    assertEquals((await sse.next()).value?.data, "a");
  });
}

Deno.test("anyContentType accepts a wrong or missing content type, but not an error status", async () => {
  for (const init of [html, {}]) {
    const bytes = new TextEncoder().encode("data: a\n\n");
    await using sse = await connectSse(url, {
      anyContentType: true,
      fetch: () => new Response(bytes, init),
    });
    assertEquals((await sse.next()).value?.data, "a");
    assertEquals(await sse.next(), done);
  }
  const { code } = await failure(url, {
    anyContentType: true,
    fetch: () => eventResponse("", { status: 500 }),
  });
  assertEquals(code, "status");
});

Deno.test("SseError.message quotes the status text without control characters and secrets", async () => {
  const response = new Response("", { status: 404 });
  const statusText = `Not \x9b31m http://u:s3cr3t@h/?q=s3cr3t ${
    "x".repeat(500)
  }`;
  Object.defineProperty(response, "statusText", { value: statusText });
  await using sse = await connectSse(url, { fetch: () => response });
  const { message } = await assertSseError(sse.next(), "status");
  assertStringIncludes(message, "Not \\u009b31m http://h/?…");
  assertEquals(message.length < 300, true);
});

Deno.test("an object like a response without a status text is refused as any other", async () => {
  const response = { status: 400, headers: new Headers(), body: null };
  const error = await failure(url, {
    fetch: () => response as unknown as Response,
  });
  assertEquals(error.message, "Expected a status of 2xx, got 400");
});
