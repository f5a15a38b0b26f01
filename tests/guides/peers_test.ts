/**
 * Checks the statements of comparison.md and migrating.md about other packages.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { createEventBuffer } from "npm:better-sse@0.16.1";
import { EventSourcePlus } from "npm:event-source-plus@0.1.15";
import { createEventSource } from "npm:eventsource-client@1.2.0";
import { EventSource } from "npm:eventsource@5.1.5";
import { fetchEventSource } from "npm:@microsoft/fetch-event-source@2.0.1";
import { connectSse, encodeSse } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { eventResponse } from "../support/open_response.ts";

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

/** Registers a test without sanitizers, as some clients leave timers behind. */
function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
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
