/** What comparison.md and migrating.md say of other packages. */
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

interface Listening {
  fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>;
  onData: (data: string) => void;
}

/** Reads with each client, and gives what ends it. */
const clients = {
  "@x/sse"({ fetch, onData }: Listening) {
    const controller = new AbortController();
    const { signal } = controller;
    (async () => {
      const sse = await connectSse(url, { fetch, signal, reconnect: true });
      for await (const { data } of sse) onData(data);
    })().catch(() => {});
    return () => controller.abort();
  },
  "eventsource-client"({ fetch, onData }: Listening) {
    const source = createEventSource({
      url,
      fetch,
      onMessage: ({ data }) => onData(data),
    });
    return () => source.close();
  },
  "eventsource"({ fetch, onData }: Listening) {
    const source = new EventSource(url, { fetch });
    source.onmessage = ({ data }) => onData(data);
    return () => source.close();
  },
  "fetch-event-source"({ fetch, onData }: Listening) {
    // It is for browsers alone.
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
  "event-source-plus"({ fetch, onData }: Listening) {
    const controller = new EventSourcePlus(url, {
      fetch: fetch as typeof globalThis.fetch,
    }).listen({ onMessage: ({ data }) => onData(data) });
    return () => controller.abort();
  },
};
type Name = keyof typeof clients;

/**
 * Reads the responses in turn, until the data `"end"` comes: what came before,
 * and the last event ID of each request.
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

/** What each client makes of the responses. */
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

/** Some leave timers behind. */
function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

const reply = (text: string, init?: ResponseInit) => () =>
  eventResponse(`retry: 1\n${text}`, init);

test("a comment and a blank line: an empty event", () =>
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

test("data of several lines: all of them", () =>
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

test("status 503 with the type of an event stream: no events", () =>
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

test("an id without data: counts", () =>
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

test("an empty id: takes the one before back", () =>
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

test("an id beyond Latin-1: sent as UTF-8", () =>
  compare(
    {
      "@x/sse": [null, "\xe2\x98\x83"],
      "eventsource": [null, "\xe2\x98\x83"],
    },
    "ids",
    reply("id: ☃\ndata: a\n\n"),
  ));

test("better-sse: a line end in a name forges an event, here it throws", () => {
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
