// How connectSse reads the options of `fetch`: as `fetch` does.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  readSse,
  sseFetch,
} from "../../mod.ts";
import { EventSource } from "../../src/event_source.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { allData } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { foreignSignal } from "../support/foreign_signal.ts";
import { HttpServer } from "../support/http_server.ts";
import { events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { RawServer } from "../support/raw_server.ts";

const noDelay = { initialDelay: 0, maxDelay: 0 };

/** Options that are getters of a class, with a private member. */
class Options {
  readonly #method = "PUT";
  get method(): string {
    return this.#method;
  }
  get body(): string {
    return "hi";
  }
  get headers(): Record<string, string> {
    return { "X-Key": "k" };
  }
  get credentials(): RequestCredentials {
    return "omit";
  }
  get until(): string {
    return "[DONE]";
  }
}

const sources: Record<string, () => object> = {
  "a Request": () =>
    new Request("http://other/", {
      method: "PUT",
      body: "hi",
      headers: { "X-Key": "k" },
      credentials: "omit",
    }),
  "a prototype": () =>
    Object.create({
      method: "PUT",
      body: "hi",
      headers: { "X-Key": "k" },
      credentials: "omit",
    }),
  "getters of a class": () => new Options(),
};
for (const [what, options] of Object.entries(sources)) {
  for (const reconnect of [undefined, noDelay]) {
    const how = reconnect ? "with reconnect" : "without reconnect";
    Deno.test(`connectSse takes the options from ${what}, ${how}`, async () => {
      const { fetch, requests } = inTurn(
        async (request) => eventResponse(`data: ${await request.text()}\n\n`),
      );
      const given = Object.defineProperties(options(), {
        fetch: { value: fetch },
        reconnect: { value: reconnect },
      });
      await using sse = await connectSse(url, given);
      assertEquals((await sse.next()).value?.data, "hi");
      if (reconnect) assertEquals((await sse.next()).value?.data, "hi");
      for (const request of requests) {
        assertEquals(request.url, url);
        assertEquals([request.method, request.credentials], ["PUT", "omit"]);
        assertEquals(request.headers.get("X-Key"), "k");
        assertEquals(request.headers.get("Accept"), "text/event-stream");
        assertEquals(request.headers.get("Cache-Control"), "no-cache");
      }
    });
  }
}

Deno.test("connectSse over HTTP sends the method, headers and body of a Request that is the options", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  const request = new Request(server.url, {
    method: "POST",
    body: "ask",
    headers: { "X-Key": "k" },
  });
  await using sse = await connectSse(server.url, request);
  await sse.next();
  const { method, body, headers } = await server.request();
  assertEquals([method, body, headers.get("x-key")], ["POST", "ask", "k"]);
});

Deno.test("connectSse aborts with the signal of a Request that is the options", async () => {
  const abort = new AbortController();
  const stream = new OpenResponse();
  const options = Object.assign(
    new Request(url, { signal: abort.signal }),
    { fetch: () => stream.response },
  );
  const sse = await connectSse(url, options);
  abort.abort();
  await stream.cancelled;
  await assertRejects(() => sse.next(), DOMException);
});

Deno.test("connectSse and readSse take their own options from a prototype", async () => {
  const options = new Options();
  const data = "data: a\n\ndata: [DONE]\n\ndata: b\n\n";
  assertEquals(await allData(readSse(eventResponse(data), options)), ["a"]);
  const own: ConnectSseOptions = Object.create(
    { fetch: events(data), until: "[DONE]" } satisfies ConnectSseOptions,
  );
  assertEquals(await allData(await connectSse(url, own)), ["a"]);
});

Deno.test("connectSse uses client also if input is a function that returns a Request", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  using client = Deno.createHttpClient({ proxy: { url: server.url } });
  // No server listens on this port. The proxy responds instead.
  for (
    const input of [
      () => "http://localhost:4/",
      () => new Request("http://localhost:4/"),
    ]
  ) {
    await using sse = await connectSse(input, { client });
    assertEquals((await sse.next()).value?.data, "a");
  }
});

Deno.test("connectSse passes dispatcher to each request, also if input is a function that returns a Request", async () => {
  const seen: unknown[] = [];
  const dispatcher = { name: "mine" };
  const NativeRequest = globalThis.Request;
  class SpyRequest extends NativeRequest {
    constructor(input: RequestInfo | URL, init?: RequestInit) {
      super(input, init);
      if (init) seen.push((init as { dispatcher?: unknown }).dispatcher);
    }
  }
  globalThis.Request = SpyRequest;
  try {
    for (const input of [url, () => url, () => new Request(url)]) {
      const fetch = events("data: a\n\n");
      await using sse = await connectSse(input, { fetch, dispatcher });
      await sse.next();
    }
  } finally {
    globalThis.Request = NativeRequest;
  }
  assertEquals(seen, [dispatcher, dispatcher, dispatcher]);
});

Deno.test("connectSse takes a signal of another realm with a body and reconnect", async () => {
  const { signal, abort } = foreignSignal();
  const stream = new OpenResponse("data: a\n\n");
  const { fetch, requests } = inTurn(failing, () => stream.response);
  const sse = await connectSse(url, {
    method: "POST",
    body: "ask",
    signal,
    fetch,
    reconnect: noDelay,
  });
  await sse.next();
  assertEquals(await requests[1].text(), "ask");
  const reason = new Error("enough");
  abort(reason);
  await stream.cancelled;
  await assertRejects(() => sse.next(), Error, "enough");
});

Deno.test("connectSse cancels a request body that never ends when it has failed", async () => {
  for (const reconnect of [false, { ...noDelay, maxAttempts: 1 }]) {
    for (const source of ["option", "Request"]) {
      const cancelled = Promise.withResolvers<void>();
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve));
          controller.enqueue(new Uint8Array(10));
        },
        cancel: () => cancelled.resolve(),
      }, { highWaterMark: 0 });
      const init = { method: "POST", body, duplex: "half" } as RequestInit;
      const options: ConnectSseOptions = { connectTimeout: 20, reconnect };
      await using server = await RawServer.listen(() => {}); // No response.
      const connecting = source === "option"
        ? connectSse(server.url, { ...init, ...options })
        : connectSse(new Request(server.url, init), options);
      await assertSseError(
        deadline(connecting, "the failure"),
        reconnect ? "reconnect-failed" : "connect-timeout",
      );
      await deadline(cancelled.promise, `the ${source} to be canceled`);
    }
  }
});

Deno.test("readSse reads a stream of which a part was read", async () => {
  const stream = new OpenResponse("read already");
  const body = stream.response.body!;
  const reader = body.getReader();
  await reader.read();
  reader.releaseLock();
  stream.send("data: a\n\ndata: b\n\n");
  const sse = readSse(body);
  assertEquals((await sse.next()).value?.data, "a");
  await sse.close();
  await stream.cancelled;
});

Deno.test("next() rejects with a TypeError if fetch gives a response without body, as in React Native", async () => {
  const response = eventResponse("data: a\n\n");
  Object.defineProperty(response, "body", { value: undefined });
  for (const reconnect of [false, true]) {
    const sse = await connectSse(url, { fetch: () => response, reconnect });
    const error = await assertRejects(() => sse.next(), TypeError);
    assert(error.message.includes("expo/fetch"), error.message);
    assertEquals(sse.state, "closed");
  }
});

Deno.test("connectSse uses a client that is a getter or on a prototype", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  using client = Deno.createHttpClient({ proxy: { url: server.url } });
  class ClientOptions {
    get client() {
      return client;
    }
  }
  // No server listens on this port. The proxy responds instead.
  const target = "http://localhost:4/";
  for (const options of [Object.create({ client }), new ClientOptions()]) {
    for (const input of [target, () => target, () => new Request(target)]) {
      await using sse = await connectSse(input, options);
      assertEquals((await sse.next()).value?.data, "a");
    }
    await (await sseFetch()(target, options)).text();
  }
});

Deno.test("errors about a string that is no URL contain none of its secrets", async () => {
  for (
    const input of [
      "/events?s3cr3t",
      "events?a&s3cr3t",
      "/events#s3cr3t",
      "//user:s3cr3t@host/x",
      "https//user:s3cr3t@h/",
      "https:user:s3cr3t@h:99999/",
      "https://user:pa s3cr3t@host:99999/",
      "/events?token=abc s3cr3t",
      // A pattern of `replaceAll`.
      "/events/$&?s3cr3t",
    ]
  ) {
    const error = await assertRejects(() => connectSse(input));
    assert(!Deno.inspect(error).includes("s3cr3t"), Deno.inspect(error));
    const thrown = assertThrows(() => new EventSource(input));
    assert(!Deno.inspect(thrown).includes("s3cr3t"), Deno.inspect(thrown));
  }
});

Deno.test("connectSse shows no password of a string that is taken for a URL of another scheme", async () => {
  const { message } = await assertRejects(
    () => connectSse("user:pa/s3cr3t@host/x"),
    TypeError,
  );
  assertEquals(message, 'Expected an HTTP URL, got "host/x"');
});

Deno.test("connectSse passes on the error of a fetch made by sseFetch", async () => {
  const fetch = sseFetch({ fetch: events('{"error":"No"}') });
  let requests = 0;
  const sse = await connectSse(url, {
    fetch: (request) => {
      requests++;
      return fetch(request);
    },
    reconnect: noDelay,
  });
  await assertSseError(sse.next(), "malformed");
  assertEquals(requests, 1);
});

Deno.test("sseFetch gives a fetch that copies its options, as that of Next.js, all of them", async () => {
  await using server = new HttpServer(events("data: a\n\n"));
  const { fetch } = globalThis;
  globalThis.fetch = (input, init) => fetch(input, { ...init });
  try {
    const init = { method: "POST", body: "ask", headers: { "X-Key": "k" } };
    const response = await sseFetch()(server.url, init);
    assertEquals(await response.text(), "data: a\n\n");
  } finally {
    globalThis.fetch = fetch;
  }
  const [{ method, headers, body }] = server.requests;
  assertEquals([method, headers.get("x-key"), body], ["POST", "k", "ask"]);
});
