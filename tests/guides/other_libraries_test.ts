/**
 * Tests the programs of other_libraries.md and its statements about other
 * packages.
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { createEventBuffer } from "npm:better-sse@0.16.1";
import { EventSourcePlus } from "npm:event-source-plus@0.1.15";
import { ServerSentEventParseStream } from "npm:deno-std@1.4.0/http/server_sent_event_parse_stream.js";
import { ServerSentEventStream } from "npm:deno-std@1.4.0/http/server_sent_event_stream.js";
import { createEventSource } from "npm:eventsource-client@1.2.0";
import { createParser } from "npm:eventsource-parser@4.1.3";
import { EventSource } from "npm:eventsource@5.1.5";
import { fetchEventSource } from "npm:@microsoft/fetch-event-source@2.0.1";
import {
  createResumableStreamContext,
  type Publisher,
  type Subscriber,
} from "npm:resumable-stream@2.2.13/generic";
import {
  connectSse,
  encodeSse,
  readSse,
  SseDecoder,
  SseError,
  SseEventStream,
} from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { eventResponse } from "../support/open_response.ts";

/** Answers a guide's requests instead of example.com. */
function answerFrom({ fetch }: SseScript) {
  return answer((request) => fetch(request));
}

/** The lines that a program prints with `console.log`. */
async function printed(text: string): Promise<string> {
  using output = logged();
  await runBlock("other_libraries", text);
  return output.lines.map((values) => values.join(" ")).join("\n");
}

// What the program in the README of httpx-sse 0.4.3 prints, as run with its
// source for the same bytes. The second line of data is a line of its own.
for (
  const [name, stream, expected] of [
    [
      "the README's server",
      [1, 2, 3].map((n) => `data: ${n}\r\n\r\n`).join(""),
      "message 1  None\nmessage 2  None\nmessage 3  None",
    ],
    [
      "a server that sets all fields",
      ': ping\r\n\r\nretry: 1000\r\nid: 1\r\ndata: 1\r\n\r\nevent: login\r\ndata: {"user_id": "4135"}\r\n\r\n' +
      "data: two\r\ndata: lines\r\n\r\nid: 7\r\ndata: last\r\n\r\ndata: cut o",
      'message 1 1 1000\nlogin {"user_id": "4135"} 1 None\n' +
      "message two\nlines 1 None\nmessage last 7 None",
    ],
  ]
) {
  Deno.test(`other_libraries: the port of httpx-sse's program prints what Python prints for ${name}`, async () => {
    const server = new SseScript([{ bytes: stream }]);
    using _ = answerFrom(server);
    assertEquals(await printed("await using eventSource"), expected);
  });
}

// For these bytes, httpx-sse prints "message  7 None" twice, "message  7 5" and
// "message last 7 None".
Deno.test("other_libraries: a block without data is no event, and its retry is on the next event", async () => {
  const server = new SseScript([
    { bytes: "id: 7\n\n: ping\n\nretry: 5\n\ndata: last\n\n" },
  ]);
  using _ = answerFrom(server);
  assertEquals(await printed("await using eventSource"), "message last 7 5");
});

Deno.test("other_libraries: the port of stamina's program reconnects after a failure and ends at a clean end", async () => {
  const server = new SseScript(
    [{ retry: 1, id: "1", data: "a" }, "cut"],
    [{ id: "2", data: "b" }],
  );
  using _ = answerFrom(server);
  assertEquals(
    await deadline(printed("shouldReconnect"), "the end"),
    "message a\nmessage b",
  );
  const ids = server.requests.map(({ lastEventId }) => lastEventId);
  assertEquals(ids, ["", "1"]);
});

Deno.test("other_libraries: the port of stamina's program throws a final error", async () => {
  using _ = answer(() => new Response("No", { status: 401 }));
  const error = await assertRejects(() => printed("shouldReconnect"), SseError);
  assertEquals(error.code, "status");
});

Deno.test("other_libraries: the port with `until` reconnects after a clean end without the marker", async () => {
  const server = new SseScript(
    [{ retry: 1, id: "1", data: "a" }],
    [{ data: "b" }, { data: "[DONE]" }],
  );
  using _ = answerFrom(server);
  assertEquals(
    await deadline(printed('until: "[DONE]"'), "the end"),
    "message a\nmessage b",
  );
  assertEquals(server.requests.length, 2);
});

Deno.test("other_libraries: `reconnect: true` alone reconnects after a clean end until status 204", async () => {
  const { fetch, requests } = new SseScript(
    [{ retry: 1, data: "a" }],
    [{ data: "b" }],
    [{ status: 204 }],
  );
  const sse = await connectSse(url, { fetch, reconnect: true });
  const data = await deadline(
    Array.fromAsync(sse, ({ data }) => data),
    "the end",
  );
  assertEquals(data, ["a", "b"]);
  assertEquals(requests.length, 3);
});

Deno.test("other_libraries: the statuses 408, 425, 429 and all 5xx but 501, 505 and 511 are retried", async () => {
  const retried: number[] = [];
  for (let status = 400; status < 600; status++) {
    let requests = 0;
    const sse = await connectSse("http://localhost/", {
      fetch: () =>
        requests++ === 0
          ? new Response(null, { status })
          : new Response(null, { status: 204 }),
      reconnect: { initialDelay: 0 },
    });
    await sse.next().catch(() => {});
    if (requests > 1) retried.push(status);
  }
  const temporary = Array.from({ length: 100 }, (_, i) => 500 + i)
    .filter((status) => ![501, 505, 511].includes(status));
  assertEquals(retried, [408, 425, 429, ...temporary]);
});

Deno.test("other_libraries: the request headers have defaults, which your own headers replace", async () => {
  const sent: (string | null)[][] = [];
  const own = { Accept: "a/b", "Cache-Control": "no-store" };
  for (const headers of [undefined, own]) {
    await connectSse("http://localhost/", {
      headers,
      fetch({ headers }) {
        sent.push([headers.get("Accept"), headers.get("Cache-Control")]);
        return eventResponse("");
      },
    });
  }
  assertEquals(sent, [
    ["text/event-stream", "no-cache"],
    ["a/b", "no-store"],
  ]);
});

Deno.test("eventsource-parser does not return an unfinished event; SseDecoder.end() does", () => {
  for (const unfinished of ["data: [DONE]", "data: [DONE]\n"]) {
    const events: unknown[] = [];
    const parser = createParser({ onEvent: (event) => events.push(event) });
    parser.feed(unfinished);
    parser.reset({ consume: true });
    parser.feed("\n\n");
    assertEquals(events, []);

    const decoder = new SseDecoder();
    decoder.decode(unfinished);
    assertEquals(decoder.end()?.data, "[DONE]");
  }
});

const BLOCKS = ": hi\n\nid: 1\ndata: a\n\nid: 2\n\nretry: 5\n\ndata: cut o";

function bytes(text: string, size = 1024): ReadableStream<Uint8Array> {
  const all = new TextEncoder().encode(text);
  return ReadableStream.from(
    Array.from(
      { length: Math.ceil(all.length / size) },
      (_, i) => all.slice(i * size, (i + 1) * size),
    ),
  );
}

Deno.test("@std/http returns a cut-off event, comments and blocks without data as messages; SseEventStream does not", async () => {
  const read = (stream: TransformStream<Uint8Array, object>) =>
    Array.fromAsync(bytes(BLOCKS).pipeThrough(stream));
  assertEquals(await read(new ServerSentEventParseStream()), [
    { comment: " hi" },
    { id: "1", data: "a" },
    { id: "2" },
    { retry: 5 },
    { data: "cut o" },
  ]);
  assertEquals(
    (await read(new ServerSentEventParseStream({ ignoreComments: true })))[0],
    { id: "1", data: "a" },
  );
  const events = await read(
    new SseEventStream() as TransformStream<Uint8Array, object>,
  );
  assertEquals(events.map((event) => ({ ...event })), [
    { event: "message", data: "a", id: "1", retry: undefined },
  ]);
});

Deno.test("other_libraries: a cut-off event is truncated, unless it meets `until`", async () => {
  const read = (text: string) =>
    Array.fromAsync(readSse(eventResponse(text), { until: "[DONE]" }));
  assertEquals(await read("data: [DONE]"), []);
  const error = await assertRejects(() => read("data: cut o"), SseError);
  assertEquals(error.code, "truncated");
});

/** The number of characters that @std/http splits for an event of this size. */
async function charactersSplit(size: number): Promise<number> {
  const { split } = String.prototype;
  let count = 0;
  String.prototype.split = function (this: string, ...args: unknown[]) {
    count += this.length;
    return Reflect.apply(split, this, args);
  } as typeof split;
  try {
    const stream = new ServerSentEventParseStream();
    const event = `data: ${"x".repeat(size)}\n\n`;
    for await (const _ of bytes(event).pipeThrough(stream));
  } finally {
    String.prototype.split = split;
  }
  return count;
}

Deno.test("@std/http splits what it has of an event again with each chunk", async () => {
  const ratio = await charactersSplit(128 * 1024) /
    await charactersSplit(64 * 1024);
  // Twice the size takes four times the work.
  assert(ratio > 3.5, `${ratio}`);
});

Deno.test("@std/http writes data that starts with a space so that readers lose it; encodeSse does not", async () => {
  const written: ReadableStream<Uint8Array<ArrayBuffer>> = ReadableStream
    .from([{ data: " x" }])
    .pipeThrough(new ServerSentEventStream());
  const read = (text: string) => new SseDecoder().decode(text)[0].data;
  assertEquals(read(await new Response(written).text()), "x");
  assertEquals(read(encodeSse({ data: " x" })), " x");
});

// The clients below leave timers behind, so that these tests come last.

/** Registers a test without sanitizers, as some clients leave timers behind. */
function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

/** Redis's commands that resumable-stream uses, in memory. */
function pubSub() {
  const listeners = new Map<string, (message: string) => void>();
  const values = new Map<string, string>();
  const client: Publisher & Subscriber = {
    connect: () => Promise.resolve(),
    publish: (channel, message) =>
      Promise.resolve(listeners.get(channel)?.(message)),
    subscribe: (channel, listener) =>
      Promise.resolve(void listeners.set(channel, listener)),
    unsubscribe: (channel) => Promise.resolve(listeners.delete(channel)),
    set: (key, value) => Promise.resolve(void values.set(key, value)),
    get: (key) => Promise.resolve(values.get(key) ?? null),
    // deno-lint-ignore require-await
    async incr(key) {
      const value = Number(values.get(key) ?? 0) + 1;
      if (Number.isNaN(value)) {
        throw new Error("ERR value is not an integer or out of range");
      }
      values.set(key, `${value}`);
      return value;
    },
  };
  return { publisher: client, subscriber: client, listeners };
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

test("resumable-stream continues after a number of characters, ends with null and loses a stream with its process", async () => {
  const { listeners, ...clients } = pubSub();
  const context = createResumableStreamContext({ waitUntil() {}, ...clients });
  let source!: ReadableStreamDefaultController<string>;
  const makeStream = () =>
    new ReadableStream<string>({ start: (it) => void (source = it) });

  const first = await context.resumableStream("a", makeStream);
  source.enqueue("id: 1\ndata: a\n\n");
  const reader = first!.getReader();
  const { value = "" } = await reader.read();
  await reader.cancel();
  source.enqueue("id: 2\ndata: b\n\n");
  const again = (await context.resumableStream("a", makeStream, value.length))!
    .getReader();
  assertEquals((await again.read()).value, "id: 2\ndata: b\n\n");
  source.close();
  assertEquals((await again.read()).done, true);
  assertEquals(await context.resumeExistingStream("a"), null);

  await context.resumableStream("b", makeStream);
  source.enqueue("id: 1\ndata: a\n\n");
  listeners.clear(); // The process that produces the stream is lost.
  // Rejects after about a second. Before that, there is nothing to read.
  const lost = context.resumeExistingStream("b").then(() => "resumed", String);
  assertEquals(await Promise.race([lost, after(50)]), undefined);
});

test("resumable-stream leaves readers waiting if the source fails", async () => {
  const { listeners: _, ...clients } = pubSub();
  const context = createResumableStreamContext({ waitUntil() {}, ...clients });
  const unhandled = Promise.withResolvers<unknown>();
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.resolve(event.reason);
  };
  addEventListener("unhandledrejection", onUnhandled);
  try {
    const stream = await context.resumableStream(
      "a",
      () =>
        new ReadableStream<string>({
          pull: () => Promise.reject(new Error("The source failed")),
        }),
    );
    const read = stream!.getReader().read().then(() => "read");
    const error = await deadline(unhandled.promise, "the rejection");
    assertStringIncludes(String(error), "The source failed");
    assertEquals(await Promise.race([read, after(50)]), undefined);
  } finally {
    removeEventListener("unhandledrejection", onUnhandled);
  }
});

const url = "http://localhost/";

interface ClientOptions {
  fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>;
  onData: (data: string) => void;
}

/** Starts each client. Returns a function that stops it. */
const clients = {
  "@x/sse"({ fetch, onData }: ClientOptions) {
    const controller = new AbortController();
    const { signal } = controller;
    (async () => {
      const sse = await connectSse(url, { fetch, signal, reconnect: true });
      for await (const { data } of sse) onData(data);
    })().catch(() => {});
    return () => controller.abort();
  },
  "eventsource-client"({ fetch, onData }: ClientOptions) {
    const source = createEventSource({
      url,
      fetch,
      onMessage: ({ data }) => onData(data),
    });
    return () => source.close();
  },
  "eventsource"({ fetch, onData }: ClientOptions) {
    const source = new EventSource(url, { fetch });
    source.onmessage = ({ data }) => onData(data);
    return () => source.close();
  },
  "fetch-event-source"({ fetch, onData }: ClientOptions) {
    // The package requires browser globals.
    const document = { removeEventListener() {} };
    Object.assign(globalThis, { window: globalThis, document });
    const controller = new AbortController();
    fetchEventSource(url, {
      fetch,
      signal: controller.signal,
      openWhenHidden: true,
      onmessage: ({ data }) => onData(data),
      onclose() {
        throw new Error("Reconnects");
      },
    });
    return () => controller.abort();
  },
  "event-source-plus"({ fetch, onData }: ClientOptions) {
    const controller = new EventSourcePlus(url, {
      fetch: fetch as typeof globalThis.fetch,
    }).listen({ onMessage: ({ data }) => onData(data) });
    return () => controller.abort();
  },
};
type Name = keyof typeof clients;

/**
 * Reads the responses in turn until the data `"end"` arrives. Returns the data
 * before it and the last event ID of each request.
 */
async function read(name: Name, ...responses: (() => Response)[]) {
  const data: string[] = [];
  const ids: (string | null)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = clients[name]({
    // deno-lint-ignore require-await
    async fetch(input, init) {
      const request = new Request(input, init);
      const response = responses[ids.length] ??
        (() => eventResponse("data: end\n\n"));
      ids.push(request.headers.get("Last-Event-ID"));
      return response();
    },
    onData: (it) => it === "end" ? resolve() : data.push(it),
  });
  try {
    await deadline(promise, `${name} to end`);
  } finally {
    stop();
  }
  return { data, ids };
}

/**
 * Asserts the data or the last event IDs of each client for these responses.
 */
async function compare(
  expected: Partial<Record<Name, unknown>>,
  what: "data" | "ids",
  ...responses: (() => Response)[]
): Promise<void> {
  for (const [name, value] of Object.entries(expected)) {
    const result = await read(name as Name, ...responses);
    assertEquals(result[what], value, name);
  }
}

const reply = (text: string, init?: ResponseInit) => () =>
  eventResponse(`retry: 1\n${text}`, init);

test("fetch-event-source dispatches an empty event for a comment and a blank line", () =>
  compare(
    {
      "@x/sse": [],
      "eventsource-client": [],
      "eventsource": [],
      "fetch-event-source": [""],
      "event-source-plus": [],
    },
    "data",
    () => eventResponse(": heartbeat\n\ndata: end\n\n"),
  ));

test("event-source-plus drops all but the last line of multi-line data", () =>
  compare(
    {
      "@x/sse": ["a\nb"],
      "eventsource-client": ["a\nb"],
      "eventsource": ["a\nb"],
      "fetch-event-source": ["a\nb"],
      "event-source-plus": ["b"],
    },
    "data",
    () => eventResponse("data: a\ndata: b\n\ndata: end\n\n"),
  ));

test("eventsource-client and fetch-event-source read events from a 503 response", () =>
  compare(
    {
      "@x/sse": [],
      "eventsource-client": ["busy"],
      "fetch-event-source": ["busy"],
      "event-source-plus": [],
    },
    "data",
    reply("data: busy\n\n", { status: 503, headers: { "Retry-After": "0" } }),
  ));

test("an error as JSON is an error for @x/sse, and an empty stream for the others", async () => {
  const error = 'retry: 1\n{"error": {"message": "Overloaded"}}\n\n';
  await compare(
    {
      "eventsource-client": [null, null],
      "eventsource": [null, null],
      "fetch-event-source": [null, null],
      "event-source-plus": [null, null],
    },
    "ids",
    () => eventResponse(error),
  );
  const sse = await connectSse(url, {
    fetch: () => eventResponse(error),
    reconnect: true,
  });
  const { code, body } = await assertRejects(() => sse.next(), SseError);
  assertEquals([code, body], [
    "malformed",
    '{"error": {"message": "Overloaded"}}',
  ]);
});

test("fetch-event-source reconnects if onmessage throws", async () => {
  const controller = new AbortController();
  const data: string[] = [];
  let requests = 0;
  const reading = fetchEventSource(url, {
    fetch: () =>
      Promise.resolve(eventResponse(`retry: 1\ndata: ${requests++}\n\n`)),
    signal: controller.signal,
    openWhenHidden: true,
    onmessage(message) {
      data.push(message.data);
      if (data.length === 1) throw new Error("Reconnects");
      controller.abort();
    },
  });
  await deadline(reading, "the second event");
  assertEquals(data, ["0", "1"]);
});

test("eventsource-client and event-source-plus ignore an ID without data", () =>
  compare(
    {
      "@x/sse": [null, "7"],
      "eventsource-client": [null, null],
      "eventsource": [null, "7"],
      "fetch-event-source": [null, "7"],
      "event-source-plus": [null, null],
    },
    "ids",
    reply("id: 7\n\n"),
  ));

test("event-source-plus does not reset the last event ID at an empty ID", () =>
  compare(
    {
      "@x/sse": [null, null],
      "eventsource-client": [null, null],
      "eventsource": [null, null],
      "fetch-event-source": [null, null],
      "event-source-plus": [null, "7"],
    },
    "ids",
    reply("id: 7\ndata: a\n\nid:\ndata: b\n\n"),
  ));

test("@x/sse and eventsource send an ID beyond Latin-1 as UTF-8", () =>
  compare(
    {
      "@x/sse": [null, "\xe2\x98\x83"],
      "eventsource": [null, "\xe2\x98\x83"],
    },
    "ids",
    reply("id: ☃\ndata: a\n\n"),
  ));

test("better-sse writes line breaks in event names, which inject events; encodeSse throws", () => {
  const event = "a\ndata: forged\n\nevent: b";
  assertStringIncludes(
    createEventBuffer().push("data", event, "1").read(),
    "event:a\ndata: forged\n\n",
  );
  assertThrows(
    () => encodeSse({ event, data: "data" }),
    TypeError,
    "event without line ends",
  );
});
