// The SDKs of LLMs and MCP on `sseFetch` are tested in tests/sdk.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { sseFetch, type SseFetchOptions } from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { foreignSignal } from "../support/foreign_signal.ts";
import { HttpServer } from "../support/http_server.ts";
import { events, failing, url } from "../support/in_process.ts";
import { countListeners } from "../support/listeners.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { Random, randomBytes } from "../support/random.ts";
import { RawServer } from "../support/raw_server.ts";
import { scaled } from "../support/scale.ts";

/** Sends a request with `sseFetch` to an in-process handler. */
function send(
  fetch: SseFetchOptions["fetch"],
  options: SseFetchOptions = {},
  init?: RequestInit,
): Promise<Response> {
  return sseFetch({ fetch, ...options })(url, init);
}

/** Returns the text that arrives, and the error that the body ends with. */
async function readAll(
  response: Response,
): Promise<{ text: string; error: unknown }> {
  const utf8 = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of response.body!) {
      text += utf8.decode(chunk, { stream: true });
    }
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

const codeOf = (error: unknown) =>
  (error as { code?: string } | undefined)?.code;

Deno.test("sseFetch returns a response that is no event stream unchanged", async () => {
  for (
    const response of [
      Response.json({ a: 1 }),
      new Response("No", {
        status: 500,
        headers: { "Content-Type": "text/event-stream" },
      }),
      new Response(null, { status: 204 }),
    ]
  ) {
    assertStrictEquals(await send(() => response, { until: "x" }), response);
    assertEquals(response.bodyUsed, false);
  }
});

Deno.test("sseFetch keeps status, headers and URL of an event stream", async () => {
  await using server = new HttpServer(() =>
    eventResponse("data: a\n\n", { status: 201, headers: { "X-Key": "k" } })
  );
  const response = await sseFetch()(server.url);
  assertEquals(response.status, 201);
  assertEquals(response.headers.get("X-Key"), "k");
  assertEquals(response.url, server.url);
  const clone = response.clone();
  assertEquals(clone.status, 201);
  assertEquals(await response.text(), "data: a\n\n");
  assertEquals(await clone.text(), "data: a\n\n");
});

Deno.test("sseFetch sends the request as it is, without headers of its own", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  const init = { method: "POST", body: "ask", headers: { "X-Key": "k" } };
  const plain = await fetch(server.url, init);
  await plain.text();
  const inputs = [
    [server.url, init],
    [new URL(server.url), init],
    [new Request(server.url, init)],
    [server.url, new Request(server.url, init)],
    [server.url, Object.create(init)],
  ] as [string, RequestInit?][];
  for (const [input, init] of inputs) {
    await (await sseFetch()(input, init)).text();
  }
  // The same through a handler that takes a request.
  for (const [input, init] of inputs.slice(0, 2)) {
    await (await sseFetch({ fetch: (it) => fetch(it) })(input, init)).text();
  }
  const [first, ...others] = server.requests.map((
    { method, body, headers },
  ) => ({
    method,
    body,
    headers: Object.fromEntries(
      [...headers].filter(([name]) => name !== "content-type"),
    ),
  }));
  assertEquals(others.length, 7);
  for (const other of others.slice(0, 2)) assertEquals(other, first);
  for (const { method, body, headers } of others) {
    assertEquals([method, body, headers["x-key"]], ["POST", "ask", "k"]);
    assertEquals(headers["last-event-id"], undefined);
    assertEquals(headers["cache-control"], undefined);
    assertEquals(headers["accept"], "*/*");
  }
});

Deno.test("sseFetch passes the bytes of random streams on unchanged", async () => {
  for (let seed = 1; seed <= scaled(300); seed++) {
    const random = new Random(seed);
    const bytes = randomBytes(random);
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for (let i = 0; i < bytes.length;) {
      const length = 1 + random.below(20);
      chunks.push(bytes.slice(i, i + length));
      i += length;
    }
    const body = ReadableStream.from(chunks.map((it) => it.slice()));
    const response = await send(
      () =>
        new Response(body, {
          headers: { "Content-Type": "text/event-stream" },
        }),
    );
    const received: Uint8Array[] = [];
    try {
      for await (const chunk of response.body!) received.push(chunk);
    } catch (error) {
      assertEquals(codeOf(error), "malformed", `seed ${seed}`);
    }
    // Also the same chunks: nothing is held back or joined.
    assertEquals(received, chunks, `seed ${seed}`);
  }
});

Deno.test("sseFetch passes a heartbeat and half an event on at once", async () => {
  const stream = new OpenResponse();
  const response = await send(() => stream.response, { until: "[DONE]" });
  const reader = response.body!.getReader();
  for (const text of [":\n", "data: ha", "lf\n", "\n", "\r"]) {
    stream.send(text);
    const { value } = await deadline(reader.read(), JSON.stringify(text));
    assertEquals(new TextDecoder().decode(value), text);
  }
  await reader.cancel();
});

Deno.test("sseFetch reads only as fast as the client reads", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulls++;
      controller.enqueue(new TextEncoder().encode(":\n"));
    },
  }, { highWaterMark: 0 });
  const response = await send(() =>
    new Response(body, { headers: { "Content-Type": "text/event-stream" } })
  );
  await microtasks(100);
  assertEquals(pulls, 0);
  const reader = response.body!.getReader();
  await reader.read();
  await reader.read();
  await microtasks(100);
  assertEquals(pulls, 2);
  await reader.cancel();
});

const complete: [until: SseFetchOptions["until"], text: string][] = [
  ["[DONE]", "data: a\n\ndata: [DONE]\n\n"],
  ["[DONE]", "data: a\n\ndata: [DONE]"],
  ["[DONE]", "data: a\r\n\r\ndata: [DONE]\r\n\r\n"],
  [({ event }) => event === "end", "data: a\n\nevent: end\ndata: b\n\n"],
  [({ event }) => event === "end", "data: a\n\nevent: end\ndata: b"],
  [undefined, "data: a\n\n"],
  [undefined, "data: half"],
  [undefined, ""],
];
for (const [until, text] of complete) {
  Deno.test(`sseFetch closes the body of ${JSON.stringify(text)} with until: ${until}`, async () => {
    for (const chunks of [[text], [...text]]) {
      const stream = new OpenResponse();
      chunks.forEach((chunk) => stream.send(chunk));
      stream.end();
      const response = await send(() => stream.response, { until });
      assertEquals(await readAll(response), { text, error: undefined });
    }
  });
}

Deno.test("sseFetch closes the body when until is met although the server does not, and disconnects", async () => {
  const stream = new OpenResponse("data: a\n\ndata: [DONE]\n\n");
  const response = await send(() => stream.response, { until: "[DONE]" });
  const { text, error } = await deadline(readAll(response), "the end");
  assertEquals([text, error], ["data: a\n\ndata: [DONE]\n\n", undefined]);
  await stream.cancelled;
});

Deno.test("sseFetch passes on the rest of the blank line when until is met", async () => {
  for (
    const [chunks, expected] of [
      [["data: x\r\n\r", "\ndata: y\r\n\r\n"], "data: x\r\n\r\n"],
      [["data: x\n\r", "data: y\n\n"], "data: x\n\r"],
      [["data: x\r\n\r", ""], "data: x\r\n\r"],
      [["data: x\r\n\r", "\n", "empty"], "data: x\r\n\r\n"],
    ] as const
  ) {
    const stream = new OpenResponse();
    const response = await send(() => stream.response, { until: "x" });
    const reading = readAll(response);
    stream.send(chunks[0]);
    await new Promise((resolve) => setTimeout(resolve));
    if (chunks[2] === "empty") stream.send(new Uint8Array());
    if (chunks[1] === "") stream.end();
    else stream.send(chunks[1]);
    const { text, error } = await deadline(reading, "the end");
    assertEquals([text, error], [expected, undefined]);
  }
});

Deno.test("sseFetch waits at most a second for the rest of a blank line", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("data: x\r\r");
  const response = await send(() => stream.response, { until: "x" });
  const reading = readAll(response);
  await microtasks(100);
  await time.tickAsync(1000);
  assertEquals(await reading, { text: "data: x\r\r", error: undefined });
  await stream.cancelled;
});

Deno.test("sseFetch closes the body if the connection fails instead of the rest of a blank line", async () => {
  const stream = new OpenResponse();
  const response = await send(() => stream.response, { until: "x" });
  const reading = readAll(response);
  stream.send("data: x\r\n\r");
  await new Promise((resolve) => setTimeout(resolve));
  stream.fail(new Error("reset"));
  assertEquals(await deadline(reading, "the end"), {
    text: "data: x\r\n\r",
    error: undefined,
  });
});

Deno.test("sseFetch returns a response without a body as it is", async () => {
  const headers = { "Content-Type": "text/event-stream" };
  const given = new Response(null, { headers });
  const init = { method: "HEAD" };
  const response = await send(() => given, { until: "[DONE]" }, init);
  assertStrictEquals(response, given);
});

Deno.test("sseFetch fails if the body ends before until is met", async () => {
  for (const until of ["[DONE]", () => false]) {
    const response = await send(events("data: a\n\ndata: half"), { until });
    const { text, error } = await readAll(response);
    assertEquals([text, codeOf(error)], ["data: a\n\ndata: half", "truncated"]);
    assertStrictEquals(
      (error as { response?: Response }).response?.status,
      200,
    );
  }
});

Deno.test("sseFetch fails if the connection fails after the headers", async () => {
  for (const until of [undefined, "[DONE]"]) {
    const { fetch } = new SseScript([{ data: "a" }, "cut"]);
    const response = await send(fetch, { until });
    const { text, error } = await readAll(response);
    assertEquals([text, codeOf(error)], ["data: a\n\n", "network"]);
  }
});

Deno.test("sseFetch rejects with the error of fetch before the headers", async () => {
  await assertRejects(() => send(failing), Error, "cable cut");
  const error = await assertRejects(() => sseFetch()("http://127.0.0.1:9/"));
  assertInstanceOf(error, TypeError);
});

Deno.test("sseFetch fails if a stream has no event, but other text", async () => {
  for (
    const [text, until] of [
      ['{"error":"No"}', undefined],
      ['{"error":"No"}', "[DONE]"],
      ["error: 1\n\ndata: [DONE]\n\n", "[DONE]"],
    ] as const
  ) {
    const { text: received, error } = await readAll(
      await send(events(text), { until }),
    );
    assertEquals([received, codeOf(error)], [text, "malformed"]);
  }
});

Deno.test("sseFetch fails if an event is too large", async () => {
  const stream = new OpenResponse("data: a\n\n");
  const response = await send(() => stream.response, { maxEventSize: 10 });
  stream.send("data: too large");
  const { text, error } = await readAll(response);
  assertEquals(text, "data: a\n\ndata: too large");
  assertEquals(codeOf(error), "event-too-large");
  await stream.cancelled;
});

Deno.test("sseFetch fails with the error that until throws, and with a TypeError if it returns a promise", async () => {
  const thrown = new Error("mine");
  const stream = new OpenResponse("data: a\n\n");
  const throwing = () => {
    throw thrown;
  };
  const response = await send(() => stream.response, { until: throwing });
  assertStrictEquals((await readAll(response)).error, thrown);
  await stream.cancelled;
  // deno-lint-ignore require-await
  const until = (async () => true) as unknown as () => boolean;
  const other = await send(events("data: a\n\n"), { until });
  assertInstanceOf((await readAll(other)).error, TypeError);
});

Deno.test("connectTimeout of sseFetch limits the wait for the headers, and has no default", async () => {
  using time = new FakeTime();
  const never = (_: Request) => new Promise<Response>(() => {});
  const limited = send(never, { connectTimeout: 500, idleTimeout: 100 });
  const failed = assertSseError(limited, "connect-timeout");
  await time.tickAsync(500);
  await failed;
  let isOver = false;
  send(never, { idleTimeout: 100 }).finally(() => isOver = true);
  await time.tickAsync(1e9);
  assertEquals(isOver, false);
});

Deno.test("idleTimeout of sseFetch is the time without a byte while the client reads", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  const response = await send(() => stream.response, { idleTimeout: 100 });
  const reader = response.body!.getReader();
  await time.tickAsync(1000); // Nobody reads.
  for (let i = 0; i < 5; i++) {
    const read = reader.read();
    await time.tickAsync(99);
    stream.send(":\n");
    assertEquals((await read).done, false);
  }
  const failed = assertSseError(reader.read(), "idle-timeout");
  await time.tickAsync(100);
  await failed;
  await stream.cancelled;
});

Deno.test("eventTimeout of sseFetch is the time without an event, whatever comments come, while the client reads", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse();
  const response = await send(() => stream.response, { eventTimeout: 100 });
  const reader = response.body!.getReader();
  const read = async (ms: number, text: string) => {
    const reading = reader.read();
    await time.tickAsync(ms);
    stream.send(text);
    await reading;
  };
  for (let i = 0; i < 3; i++) {
    await read(60, ":\n");
    await time.tickAsync(1000); // Nobody reads.
    await read(39, "data: a\n\n");
  }
  await read(50, ":\n");
  await read(49, "data: half");
  const failed = assertSseError(reader.read(), "event-timeout");
  await time.tickAsync(1);
  await failed;
  await stream.cancelled;
});

Deno.test("eventTimeout of sseFetch fails also if the clock is set back", async () => {
  const { now } = Date;
  let timer: Promise<void> | undefined;
  try {
    const heartbeats = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await (timer = new Promise((resolve) => setTimeout(resolve, 5)));
        Date.now = () => now() - 3_600_000;
        controller.enqueue(new TextEncoder().encode(":\n"));
      },
    });
    const response = await send(
      () => new Response(heartbeats, eventResponse("")),
      { eventTimeout: 50 },
    );
    await assertSseError(
      deadline(response.text(), "the timeout"),
      "event-timeout",
    );
  } finally {
    await timer;
    Date.now = now;
  }
});

Deno.test("an abort before the headers rejects with its reason, also if fetch ignores it", async () => {
  for (const fetch of [undefined, () => new Promise<Response>(() => {})]) {
    await using server = await RawServer.listen(() => {});
    const abort = new AbortController();
    const sent = sseFetch({ fetch })(server.url, { signal: abort.signal });
    if (!fetch) await server.connection();
    const reason = new Error("enough");
    abort.abort(reason);
    assertStrictEquals(
      await assertRejects(() => deadline(sent, "the rejection")),
      reason,
    );
  }
});

Deno.test("an abort after the headers errors the body with its reason, and disconnects", async () => {
  for (const isNative of [true, false]) {
    const stream = new OpenResponse("data: a\n\n");
    await using server = new HttpServer(() => stream.response);
    const abort = new AbortController();
    const guarded = sseFetch(isNative ? {} : { fetch: () => stream.response });
    const response = await guarded(server.url, { signal: abort.signal });
    const reader = response.body!.getReader();
    await reader.read();
    const reading = reader.read();
    const reason = new Error("enough");
    abort.abort(reason);
    const error = await assertRejects(() => deadline(reading, "the read"));
    assertStrictEquals(error, reason);
    await stream.cancelled;
  }
});

Deno.test("sseFetch takes a signal of another realm", async () => {
  const reason = new Error("enough");
  const stream = new OpenResponse("data: a\n\n");
  const { signal, abort } = foreignSignal();
  const count = countListeners(signal);
  const reader = (await send(() => stream.response, {}, { signal })).body!
    .getReader();
  await reader.read();
  abort(reason);
  await stream.cancelled;
  assertStrictEquals(await assertRejects(() => reader.read()), reason);
  assertEquals(count(), 0);

  const connecting = foreignSignal();
  const sent = send(() => new Promise(() => {}), {}, {
    signal: connecting.signal,
  });
  connecting.abort(reason);
  assertStrictEquals(await assertRejects(() => sent), reason);
});

Deno.test("an abort stops a response that is no event stream, as with fetch", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  });
  const abort = new AbortController();
  const response = await sseFetch()(server.url, { signal: abort.signal });
  const text = response.text();
  abort.abort();
  await assertRejects(() => deadline(text, "the rejection"), DOMException);
});

Deno.test("canceling the body disconnects", async () => {
  const stream = new OpenResponse("data: a\n\n");
  await using server = new HttpServer(() => stream.response);
  const response = await sseFetch({ idleTimeout: 1e6 })(server.url);
  await response.body!.cancel();
  await stream.cancelled;
});

Deno.test("sseFetch leaves no listener on the signal after the end of the body", async () => {
  const ends: Record<string, (response: Response) => Promise<unknown>> = {
    "the end": (it) => it.text(),
    "a failure": (it) => assertRejects(() => it.text()),
    "a cancel": (it) => it.body!.cancel(),
  };
  for (const [how, end] of Object.entries(ends)) {
    const { signal } = new AbortController();
    const listeners = countListeners(signal);
    const options = how === "a failure" ? { until: "[DONE]" } : {};
    const response = await send(events("data: a\n\n"), options, { signal });
    assertEquals(listeners(), 1);
    await end(response);
    assertEquals(listeners(), 0, how);
  }
});

Deno.test("sseFetch leaves no listener on the signal after a response that is no event stream, or a failure", async () => {
  const fetches = [() => Response.json({}), failing];
  for (const fetch of fetches) {
    const { signal } = new AbortController();
    const listeners = countListeners(signal);
    await send(fetch, {}, { signal }).catch(() => {});
    assertEquals(listeners(), 0);
  }
});

Deno.test("sseFetch rejects if the signal is aborted already, also if fetch ignores it", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  for (const fetch of [undefined, () => new Promise<Response>(() => {})]) {
    const sent = sseFetch({ fetch })("http://127.0.0.1:9/", { signal });
    const error = await assertRejects(() => deadline(sent, "the rejection"));
    assertStrictEquals(error, reason);
  }
});

Deno.test("connectTimeout and idleTimeout of sseFetch disconnect, also if the client has a signal", async () => {
  const { signal } = new AbortController();
  for (const init of [undefined, { signal }]) {
    await using silent = await RawServer.listen(() => {});
    {
      using time = new FakeTime();
      const sent = sseFetch({ connectTimeout: 50 })(silent.url, init);
      const failed = assertSseError(sent, "connect-timeout");
      const { disconnected } = await silent.connection();
      await time.tickAsync(50);
      await failed;
      await disconnected;
    }

    const stream = new OpenResponse("data: a\n\n");
    await using open = new HttpServer(() => stream.response);
    const response = await sseFetch({ idleTimeout: 50 })(open.url, init);
    assertEquals(codeOf((await readAll(response)).error), "idle-timeout");
    await stream.cancelled;
  }
});

Deno.test("sseFetch closes the body at once if the blank line is complete", async () => {
  using _time = new FakeTime(); // Nothing may wait for it.
  for (const text of ["data: x\n\n", "data: x\r\n\r\n"]) {
    const stream = new OpenResponse(text);
    const response = await send(() => stream.response, { until: "x" });
    let result: unknown;
    readAll(response).then((it) => result = it);
    await microtasks(100);
    assertEquals(result, { text, error: undefined });
  }
});

Deno.test("sseFetch checks its options at once", () => {
  for (const options of [{ until: 5 }, { fetch: 5 }, { maxEventSize: "1" }]) {
    assertThrows(() => sseFetch(options as unknown as SseFetchOptions));
  }
  for (const name of ["idleTimeout", "eventTimeout", "connectTimeout"]) {
    assertThrows(() => sseFetch({ [name]: -1 }), RangeError, name);
  }
});

Deno.test("sseFetch serves several requests at a time, each with an end of its own", async () => {
  const guarded = sseFetch({
    until: "[DONE]",
    fetch: (request) =>
      eventResponse(
        `data: ${new URL(request.url).pathname}\n\ndata: [DONE]\n\n`,
      ),
  });
  const texts = await Promise.all(
    ["a", "b", "c"].map(async (name) =>
      (await guarded(new URL(name, url))).text()
    ),
  );
  assertEquals(texts.map((it) => it.slice(0, 8)), [
    "data: /a",
    "data: /b",
    "data: /c",
  ]);
});

Deno.test("sseFetch can be used as fetch", () => {
  const guarded: typeof globalThis.fetch = sseFetch();
  assert(guarded);
});

Deno.test("sseFetch reads init as fetch does: it may be null, and so may its signal", async () => {
  const aborted = new Request(url, { signal: AbortSignal.abort() });
  const guarded = sseFetch({ fetch: events("data: a\n\n") });
  const response = await guarded(url, null as unknown as undefined);
  assertEquals(await response.text(), "data: a\n\n");
  const other = await guarded(aborted, { signal: null });
  assertEquals(await other.text(), "data: a\n\n");
  await assertRejects(() => guarded(aborted), DOMException);
});

Deno.test("sseFetch rejects with a TypeError if its fetch gives no response", async () => {
  for (const value of [undefined, "text"]) {
    const fetch = (() => value) as unknown as () => Response;
    await assertRejects(
      () => send(fetch),
      TypeError,
      "fetch to give a Response",
    );
  }
});

Deno.test("sseFetch takes its options when it is called, and has no onComment", async () => {
  const options = {
    until: "x" as string,
    onComment() {
      throw new Error("It was called");
    },
    fetch: () => new OpenResponse(": c\n\ndata: x\n\n").response,
  };
  const guardedFetch = sseFetch(options as SseFetchOptions);
  options.until = "y";
  const { text, error } = await readAll(await guardedFetch(url));
  assertEquals([text, error], [": c\n\ndata: x\n\n", undefined]);
});
