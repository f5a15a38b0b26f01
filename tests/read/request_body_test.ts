import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type ConnectSseOptions } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse } from "../support/open_response.ts";

/** Bodies of all kinds. Each test makes its own: a stream can be read once. */
const bodies: Record<string, () => NonNullable<RequestInit["body"]>> = {
  "a string": () => "é☃🎉",
  "an empty string": () => "",
  "bytes": () => Uint8Array.of(0x61, 0x0a, 0x7f, 0x0d),
  "a view of more bytes": () => Uint8Array.of(0x61, 0x62, 0x63).subarray(1, 2),
  "an ArrayBuffer": () => new TextEncoder().encode("buffer").buffer,
  "a Blob": () => new Blob(["<x/>"], { type: "text/xml" }),
  "a Blob without a type": () => new Blob(["blob"]),
  "URLSearchParams": () => new URLSearchParams({ q: "a&b=☃", r: "" }),
  "FormData": () => {
    const form = new FormData();
    form.append("prompt", "Greet me ☃");
    form.append("file", new File(["one"], "ü.txt", { type: "text/plain" }));
    return form;
  },
  "a stream": () => ReadableStream.from(["one", "two"].map(encode)),
};

const encode = (text: string) => new TextEncoder().encode(text);

/** Reads a stream in four attempts, and returns the requests received. */
async function fourAttempts(
  options: (server: HttpServer) => [string | Request, ConnectSseOptions?],
): Promise<{ method: string; type: string | null; body: string }[]> {
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n"),
    () => new Response("No", { status: 503 }),
    () => eventResponse("id: 1\ndata: b\n\n"),
    () => eventResponse("data: [DONE]\n\n"),
  );
  const [input, init] = options(server);
  await using sse = await connectSse(input, {
    ...init,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  assertEquals(
    await Array.fromAsync(sse, ({ data }) => data),
    ["a", "b"],
  );
  return server.requests.map(({ method, headers, body }) => ({
    method,
    type: headers.get("content-type"),
    body,
  }));
}

/** Returns the request that the server receives from a plain `fetch`. */
async function plainFetch(
  body: RequestInit["body"],
): Promise<{ method: string; type: string | null; body: string }> {
  await using server = new HttpServer(() => new Response());
  await (await fetch(server.url, { method: "POST", body })).body?.cancel();
  const [{ method, headers, body: sent }] = server.requests;
  return { method, type: headers.get("content-type"), body: sent };
}

for (const [kind, body] of Object.entries(bodies)) {
  Deno.test(`SseConnection sends ${kind} as the body of every attempt, with the same content type`, async () => {
    const expected = await plainFetch(body());
    const sent = await fourAttempts(({ url }) => [
      url,
      { method: "POST", body: body() },
    ]);
    assertEquals(sent.length, 4);
    for (const request of sent) {
      assertEquals(request, sent[0]);
      if (kind !== "FormData") assertEquals(request, expected);
    }
  });

  Deno.test(`SseConnection sends ${kind} in a Request as the body of every attempt`, async () => {
    const expected = await plainFetch(body());
    const sent = await fourAttempts(({ url }) => [
      new Request(url, { method: "POST", body: body() }),
    ]);
    assertEquals(sent.length, 4);
    for (const request of sent) {
      assertEquals(request, sent[0]);
      if (kind !== "FormData") assertEquals(request, expected);
    }
  });
}

Deno.test("SseConnection sends FormData with a matching boundary at every attempt", async () => {
  const sent = await fourAttempts(({ url }) => [
    url,
    { method: "POST", body: bodies["FormData"]() },
  ]);
  for (const { type, body } of sent) {
    const form = await new Response(body, {
      headers: { "content-type": type! },
    }).formData();
    assertEquals(form.get("prompt"), "Greet me ☃");
    const file = form.get("file") as File;
    assertEquals([file.name, await file.text()], ["ü.txt", "one"]);
  }
});

Deno.test("SseConnection sends all byte values unchanged at every attempt", async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const sent: Uint8Array[] = [];
  const handler = async (request: Request) => {
    sent.push(new Uint8Array(await request.arrayBuffer()));
    return eventResponse(`data: ${sent.length}\n\n`);
  };
  await using sse = await connectSse(url, {
    method: "POST",
    body: bytes,
    fetch: handler,
    until: "3",
    reconnect: { initialDelay: 0 },
  });
  await Array.fromAsync(sse);
  assertEquals(sent, [bytes, bytes, bytes]);
});

for (const method of ["PUT", "PATCH", "DELETE", "QUERY"]) {
  Deno.test(`SseConnection sends the body of ${method} at every attempt`, async () => {
    const sent = await fourAttempts(({ url }) => [
      url,
      { method, body: "again" },
    ]);
    assertEquals(
      sent.map(({ method, body }) => [method, body]),
      Array(4).fill([method, "again"]),
    );
  });
}

Deno.test("SseConnection sends the caller's content type at every attempt", async () => {
  const sent = await fourAttempts(({ url }) => [url, {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
  }]);
  assertEquals(sent.map(({ type }) => type), Array(4).fill("application/json"));
});

Deno.test("SseConnection sends a POST without a body and content type at every attempt", async () => {
  const sent = await fourAttempts(({ url }) => [url, { method: "POST" }]);
  assertEquals(sent, Array(4).fill({ method: "POST", type: null, body: "" }));
});

Deno.test("SseConnection sends the body option instead of the Request's body at every attempt", async () => {
  const sent = await fourAttempts(({ url }) => [
    new Request(url, { method: "POST", body: "old" }),
    { body: "new" },
  ]);
  assertEquals(sent.map(({ body }) => body), Array(4).fill("new"));
});

Deno.test("SseConnection sends the body as it was when connectSse was called", async () => {
  const bytes = encode("as it was");
  const { fetch, requests } = inTurn(
    () => eventResponse("data: a\n\n"),
    () => eventResponse("data: b\n\n"),
  );
  await using sse = await connectSse(url, {
    method: "POST",
    body: bytes,
    fetch,
    reconnect: { initialDelay: 0 },
  });
  bytes.fill(0);
  await sse.next();
  await sse.next();
  assertEquals(await requests[0].text(), "as it was");
  assertEquals(await requests[1].text(), "as it was");
});

Deno.test("SseConnection sends the body again if the first request gets no response", async () => {
  const sent: string[] = [];
  const handler = async (request: Request) => {
    sent.push(await request.text());
    if (sent.length < 3) throw new Error("cable cut");
    return eventResponse("data: a\n\n");
  };
  await using sse = await connectSse(url, {
    method: "POST",
    body: ReadableStream.from(["one", "two"].map(encode)),
    fetch: handler,
    reconnect: { initialDelay: 0 },
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals(sent, ["onetwo", "onetwo", "onetwo"]);
});

Deno.test("SseConnection reads a stream body only once", async () => {
  let started = 0;
  const stream = new ReadableStream({
    pull(controller) {
      if (started++ === 0) controller.enqueue(encode("once"));
      else controller.close();
    },
  });
  const sent = await fourAttempts(({ url }) => [
    url,
    { method: "POST", body: stream },
  ]);
  assertEquals(sent.map(({ body }) => body), Array(4).fill("once"));
  assertEquals(started, 2);
});

Deno.test("connectSse rejects with the error of a stream body, and does not retry", async () => {
  const thrown = new Error("mine");
  const { fetch, requests } = inTurn(() => eventResponse(""));
  const promise = connectSse(url, {
    method: "POST",
    body: new ReadableStream({ pull: () => Promise.reject(thrown) }),
    fetch,
    reconnect: { initialDelay: 0 },
  });
  assertStrictEquals(await assertRejects(() => promise), thrown);
  assertEquals(requests.length, 0);
});

Deno.test("connectSse rejects and cancels a stream body after an abort while reading it", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const reading = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const promise = connectSse(url, {
    method: "POST",
    body: new ReadableStream({
      pull() {
        reading.resolve();
        return new Promise(() => {});
      },
      cancel: () => cancelled.resolve(),
    }),
    signal: controller.signal,
    fetch: () => eventResponse(""),
    reconnect: true,
  });
  const rejected = assertRejects(() => promise);
  await reading.promise;
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "connectSse"), reason);
  await deadline(cancelled.promise, "the stream to be canceled");
});

Deno.test("connectTimeout loses no data of a slow stream body", async () => {
  using time = new FakeTime();
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start: (it) => void (controller = it),
  });
  const codes: string[] = [];
  const { fetch, requests } = inTurn(async (request) =>
    eventResponse(`data: ${await request.text()}\n\n`)
  );
  const connected = connectSse(url, {
    method: "POST",
    body,
    connectTimeout: 500,
    fetch,
    reconnect: {
      jitter: 0,
      onReconnect: ({ error }) => void codes.push(error.code),
    },
  });
  controller.enqueue(encode("slow "));
  await time.tickAsync(500);
  await time.tickAsync(1000);
  await time.tickAsync(500);
  await time.tickAsync(2000);
  controller.enqueue(encode("body"));
  controller.close();
  await using sse = await connected;
  assertEquals((await sse.next()).value?.data, "slow body");
  assertEquals(codes, ["connect-timeout", "connect-timeout"]);
  assertEquals(requests.length, 1);
});

Deno.test("SseConnection uses other fetch options, such as redirect, at every attempt", async () => {
  const { fetch, requests } = inTurn(
    () => eventResponse("data: a\n\n"),
    () => eventResponse("data: b\n\n"),
  );
  await using sse = await connectSse(url, {
    method: "POST",
    body: "x",
    redirect: "manual",
    fetch,
    reconnect: { initialDelay: 0 },
  });
  await sse.next();
  await sse.next();
  assertEquals(requests.map(({ redirect }) => redirect), ["manual", "manual"]);
});

Deno.test("SseConnection does not repeat a POST unless reconnect is set", async () => {
  const { fetch, requests } = inTurn(
    () => new Response("No", { status: 503 }),
  );
  await using sse = await connectSse(url, { method: "POST", body: "x", fetch });
  await assertSseError(sse.next(), "status");
  assertEquals(requests.length, 1);
});

Deno.test("connectSse sends the body of a Request with reconnect if requests have no `body`, as in Firefox", async () => {
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  const request = new Request(url, {
    method: "POST",
    body: "hello",
    headers: { "content-type": "text/x" },
  });
  const property = Object.getOwnPropertyDescriptor(Request.prototype, "body")!;
  Object.defineProperty(Request.prototype, "body", {
    configurable: true,
    get: () => undefined,
  });
  try {
    const sse = await connectSse(request, { fetch, reconnect: true });
    await sse.close();
  } finally {
    Object.defineProperty(Request.prototype, "body", property);
  }
  assertEquals(await requests[0].text(), "hello");
  assertEquals(requests[0].headers.get("content-type"), "text/x");
});

Deno.test("connectSse accepts an undefined `duplex`", async () => {
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  const body = new Blob(["hello"]).stream();
  const sse = await connectSse(url, {
    method: "POST",
    body,
    duplex: undefined,
    fetch,
  } as ConnectSseOptions);
  await sse.close();
  assertEquals(await requests[0].text(), "hello");
});
