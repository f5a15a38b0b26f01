// `SseAttempt.lastEvent`: requests to APIs that continue a stream after a position
// in the data of its events. Each API is a server in the same process, whose
// client has to get every event exactly once and in order.

import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
  type SseAttempt,
  type SseConnection,
} from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";

const noDelay = { initialDelay: 0, maxDelay: 0 };

/** An API whose streams can be continued, and a client for it. */
interface Api {
  /** Whether a POST request starts the stream. */
  readonly isPosted: boolean;
  /** The whole stream, as the first request gets it: its events. */
  readonly stream: string[];
  /** What a client gets if it gets each event once. */
  readonly expected: string[];
  /**
   * Returns the events that the response to a request contains, or undefined if
   * the request is wrong.
   *
   * @param posts The number of POST requests so far.
   * @param requests The number of other requests before this one.
   */
  answer(
    request: Request,
    posts: number,
    requests: number,
  ): Promise<string[] | undefined> | string[] | undefined;
  makeClient(): Client;
}

interface Client {
  readonly input: (attempt: SseAttempt) => Request;
  readonly until: ConnectSseOptions["until"];
  /** What the client has got so far. */
  readonly received: string[];
  /** Handles the next event of the connection. */
  handle(event: ServerSentEvent): void;
}

const words = ["Of ", "the ", "scattering ", "☃", "."];

/** Returns an event with this name. */
function block(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Whether a request is a POST to this URL, with `true` as these properties. */
async function isStart(request: Request, url: string, ...properties: string[]) {
  if (request.method !== "POST" || request.url !== url) return false;
  const body = await request.json();
  return properties.every((name) => body[name] === true);
}

/** OpenAI's Responses API in background mode: each event has a number. */
const openAi: Api = {
  isPosted: true,
  stream: openAiStream(1),
  expected: ["0", ...words.map((word, index) => `${index + 1} ${word}`), "6"],

  async answer(request, posts) {
    const url = "https://api.openai.com/v1/responses";
    if (await isStart(request, url, "background", "stream")) {
      return openAiStream(posts);
    }
    const prefix = `${url}/resp_${posts}?stream=true&starting_after=`;
    if (!request.url.startsWith(prefix)) return undefined;
    const after = request.url.slice(prefix.length);
    if (!/^\d+$/.test(after)) return undefined;
    return openAiStream(posts).slice(Number(after) + 1);
  },

  makeClient() {
    interface ResponseEvent {
      type: string;
      sequence_number: number;
      response?: { id: string };
      delta?: string;
    }
    const url = "https://api.openai.com/v1/responses";
    const received: string[] = [];
    let id = "";
    return {
      received,
      input({ lastEvent }) {
        if (lastEvent === undefined) {
          const body = JSON.stringify({ background: true, stream: true });
          return new Request(url, { method: "POST", body });
        }
        const { sequence_number } = lastEvent.json<ResponseEvent>();
        const query = `stream=true&starting_after=${sequence_number}`;
        return new Request(`${url}/${id}?${query}`);
      },
      until: (event) =>
        event.json<ResponseEvent>().type === "response.completed",
      handle(event) {
        const { sequence_number, response, delta } = event.json<
          ResponseEvent
        >();
        if (response) id = response.id;
        received.push(
          delta ? `${sequence_number} ${delta}` : `${sequence_number}`,
        );
      },
    };
  },
};

function openAiStream(answer: number): string[] {
  const response = { id: `resp_${answer}` };
  return [
    { type: "response.created", response },
    ...words.map((delta) => ({ type: "response.output_text.delta", delta })),
    { type: "response.completed", response },
  ].map((it, sequence_number) => block(it.type, { ...it, sequence_number }));
}

/**
 * Google's Gemini Interactions API: all events but the first have an opaque id.
 * Without one, the request gets the whole stream.
 */
const gemini: Api = {
  isPosted: true,
  stream: geminiStream(1),
  expected: [...words, "interaction.completed"],

  async answer(request, posts) {
    const url = "https://generativelanguage.googleapis.com/v1/interactions";
    if (await isStart(request, url, "background", "store", "stream")) {
      return geminiStream(posts);
    }
    if (!request.url.startsWith(`${url}/i-${posts}?stream=true`)) {
      return undefined;
    }
    const after = new URL(request.url).searchParams.get("last_event_id");
    if (after === null) return geminiStream(posts);
    const index = geminiStream(posts).findIndex((it) =>
      it.includes(JSON.stringify(after))
    );
    return index === -1 ? undefined : geminiStream(posts).slice(index + 1);
  },

  makeClient() {
    interface InteractionEvent {
      event_type: string;
      event_id?: string;
      interaction?: { id: string };
      delta?: { text: string };
    }
    const url = "https://generativelanguage.googleapis.com/v1/interactions";
    const received: string[] = [];
    let id = "";
    return {
      received,
      input({ lastEvent }) {
        if (lastEvent === undefined) {
          const body = JSON.stringify({
            background: true,
            store: true,
            stream: true,
          });
          return new Request(url, { method: "POST", body });
        }
        // This throws if reconnect() is called after "[DONE]" has arrived. The
        // stream is complete then, and next() does not throw.
        const { event_id } = lastEvent.json<InteractionEvent>();
        const query = new URLSearchParams({ stream: "true" });
        if (event_id) query.set("last_event_id", event_id);
        return new Request(`${url}/${id}?${query}`);
      },
      until: "[DONE]",
      handle(event) {
        const { event_type, interaction, delta } = event.json<
          InteractionEvent
        >();
        if (interaction) id = interaction.id;
        if (event_type === "interaction.created") return;
        received.push(delta ? delta.text : event_type);
      },
    };
  },
};

function geminiStream(answer: number): string[] {
  const interaction = { id: `i-${answer}` };
  return [
    { event_type: "interaction.created", interaction },
    ...words.map((text, index) => ({
      event_type: "step.delta",
      event_id: `${9 - index}+/=&☃`,
      delta: { text },
    })),
    { event_type: "interaction.completed", event_id: "end", interaction },
  ].map((it) => block(it.event_type, it)).concat("data: [DONE]\n\n");
}

/**
 * Durable Streams: only `control` events have a position, which is that after the
 * `data` events before them.
 */
const durableStreams: Api = {
  isPosted: false,
  stream: durableStream(0, 1),
  expected: words,

  answer(request, _posts, requests) {
    const prefix = "https://example.com/stream?live=sse&offset=";
    if (!request.url.startsWith(prefix)) return undefined;
    const offset = request.url.slice(prefix.length);
    if (!/^(-1|\d{8})$/.test(offset)) return undefined;
    // Each connection has other batches.
    return durableStream(Math.max(Number(offset), 0), 1 + requests % 3);
  },

  makeClient() {
    interface Control {
      streamNextOffset: string;
      streamClosed?: boolean;
    }
    const received: string[] = [];
    /** The position after `received`. */
    let position = "-1";
    /** The data after this position. */
    let batch: string[] = [];
    let handled: ServerSentEvent | undefined;
    /** The last one of the events that the server sends again. */
    let stale: ServerSentEvent | undefined;
    return {
      received,
      input({ lastEvent }) {
        let offset = position;
        if (lastEvent?.event === "control") {
          offset = lastEvent.json<Control>().streamNextOffset;
        } else {
          batch = [];
          stale = lastEvent === handled ? undefined : lastEvent;
        }
        return new Request(
          `https://example.com/stream?live=sse&offset=${offset}`,
        );
      },
      until: (event) =>
        event.event === "control" &&
        event.json<Control>().streamClosed === true,
      handle(event) {
        handled = event;
        if (stale !== undefined) {
          if (event === stale) stale = undefined;
        } else if (event.event === "data") {
          batch.push(event.json<string>());
        } else {
          received.push(...batch);
          batch = [];
          position = event.json<Control>().streamNextOffset;
        }
      },
    };
  },
};

function durableStream(position: number, batchSize: number): string[] {
  const batch = words.slice(position, position + batchSize);
  const next = position + batch.length;
  const streamClosed = next === words.length;
  const streamNextOffset = `${next}`.padStart(8, "0");
  return [
    ...batch.map((word) => `event: data\ndata: ${JSON.stringify(word)}\n\n`),
    block("control", { streamNextOffset, streamClosed }),
    ...streamClosed ? [] : durableStream(next, batchSize),
  ];
}

/** Opens the stream of an API. `respond` makes the nth response, from 0. */
async function open(
  api: Api,
  respond: (stream: string[], index: number) => Response | Promise<Response>,
) {
  const client = api.makeClient();
  const counts = { posts: 0, others: 0, responses: 0 };
  const sse = await connectSse(client.input, {
    async fetch(request) {
      const requests = counts.others;
      counts[request.method === "POST" ? "posts" : "others"]++;
      const stream = await api.answer(request, counts.posts, requests);
      return stream === undefined
        ? new Response(`Unexpected ${request.url}`, { status: 400 })
        : respond(stream, counts.responses++);
    },
    until: client.until,
    reconnect: noDelay,
  });
  return { client, counts, sse };
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** Returns a response with these chunks, which ends as `end` does. */
function respondWith(
  chunks: string[],
  end: (controller: Controller) => void,
): Response {
  const rest = chunks.map((chunk) => new TextEncoder().encode(chunk));
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = rest.shift();
      if (chunk === undefined) end(controller);
      else controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { "content-type": "text/event-stream" },
  });
}

/** Returns chunks of `size` events each. */
function chunksOf(stream: string[], size: number): string[] {
  if (stream.length === 0) return [];
  const chunk = stream.slice(0, size).join("");
  return [chunk, ...chunksOf(stream.slice(size), size)];
}

/** Returns the chunks up to this position in their text. */
function cutChunks(chunks: string[], position: number): string[] {
  if (chunks.length === 0 || position <= 0) return [];
  const [first, ...others] = chunks;
  const rest = cutChunks(others, position - first.length);
  return [first.slice(0, position), ...rest];
}

/** Returns the positions before, in and near the end of each event. */
function cutsOf(stream: string[]): number[] {
  return stream.flatMap(({ length }, index) => {
    const start = stream.slice(0, index).join("").length;
    const cuts = [0, 1, length >> 1, length - 2, length - 1];
    return cuts.map((cut) => start + cut);
  });
}

/** How a connection is lost. */
const losses = {
  "is reset": (controller: Controller) => controller.error(new Error("reset")),
  "ends": (controller: Controller) => controller.close(),
};

/** How a client reads a connection. */
const readers = {
  async "a loop"(client: Client, sse: SseConnection) {
    for await (const event of sse) client.handle(event);
  },
  async "several calls of next()"(client: Client, sse: SseConnection) {
    async function next(count: number) {
      const calls = Array.from({ length: count }, () => sse.next());
      const results = await Promise.all(calls);
      for (const { value } of results) if (value) client.handle(value);
      return !results.at(-1)!.done;
    }
    // The first event has the id of the answer, which the next request needs.
    let isOpen = await next(1);
    while (isOpen) isOpen = await next(3);
  },
};

/** Runs a test with all combinations at once. */
async function forAll(
  values: number[],
  test: (value: number, chunkSize: number) => Promise<void>,
): Promise<void> {
  const chunkSizes = [1, 2, 3, Infinity];
  const runs = values.flatMap((value) =>
    chunkSizes.map((size) => test(value, size))
  );
  await deadline(Promise.all(runs), "the ends", 20);
}

const apis = {
  "OpenAI's Responses API": openAi,
  "Gemini's Interactions API": gemini,
  "Durable Streams": durableStreams,
};

for (const [name, api] of Object.entries(apis)) {
  for (const [reader, read] of Object.entries(readers)) {
    for (const [loss, end] of Object.entries(losses)) {
      Deno.test(`SseAttempt.lastEvent: ${name} is read exactly once by ${reader} if the connection ${loss}`, async () => {
        await forAll(cutsOf(api.stream), async (cut, size) => {
          const { client, counts, sse } = await open(api, (stream, index) => {
            const chunks = chunksOf(stream, size);
            if (index === 0) return respondWith(cutChunks(chunks, cut), end);
            if (index > 1) return respondWith(chunks, losses.ends);
            // The second connection is lost as well, in its second event.
            const length = (stream[0]?.length ?? 0) + 9;
            return respondWith(cutChunks(chunks, length), end);
          });
          await read(client, sse);
          const where = `cut at ${cut}, chunks of ${size}`;
          assertEquals(client.received, api.expected, where);
          // Without an event, there is nothing to continue.
          const isLost = cut < api.stream[0].length;
          if (api.isPosted) assertEquals(counts.posts, isLost ? 2 : 1, where);
        });
      });
    }
  }

  Deno.test(`SseAttempt.lastEvent: ${name} is read exactly once if reconnect() is called before all events of a chunk were returned`, async () => {
    for (const failures of [0, 1, 2]) {
      const positions = api.stream.map((_, index) => index + 1);
      await forAll(positions, async (position, size) => {
        let failing = 0;
        const { client, counts, sse } = await open(api, (stream) => {
          const response = respondWith(chunksOf(stream, size), keepOpen);
          // The requests after reconnect() fail, each in another way.
          return failing === 0
            ? response
            : --failing === 0
            ? Promise.reject(new Error("no network"))
            : new Response("Busy", { status: 503 });
        });
        let count = 0;
        for await (const event of sse) {
          client.handle(event);
          if (++count !== position) continue;
          failing = failures;
          sse.reconnect();
          while (sse.state === "connecting") await macrotask();
        }
        const where = `after event ${position}, chunks of ${size}`;
        assertEquals(client.received, api.expected, where);
        if (api.isPosted) assertEquals(counts.posts, 1, where);
      });
    }
  });

  Deno.test(`SseAttempt.lastEvent: ${name} is read exactly once if reconnect() is called again and again`, async () => {
    await forAll([2, 3], async (interval, size) => {
      const { client, counts, sse } = await open(
        api,
        (stream) => respondWith(chunksOf(stream, size), keepOpen),
      );
      let count = 0;
      for await (const event of sse) {
        client.handle(event);
        if (++count % interval !== 0) continue;
        sse.reconnect();
        // The response arrives before the next event is returned, or after it.
        if (count % 4 === 0) await macrotask();
      }
      const where = `after ${interval} events each, chunks of ${size}`;
      assertEquals(client.received, api.expected, where);
      if (api.isPosted) assertEquals(counts.posts, 1, where);
    });
  });
}

function keepOpen() {}

function macrotask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Returns an `input` that records the data of `lastEvent` in each attempt. */
function recorder() {
  const lastEvents: (ServerSentEvent | undefined)[] = [];
  return {
    lastEvents,
    get data() {
      return lastEvents.map((event) => event?.data);
    },
    input({ lastEvent }: SseAttempt) {
      lastEvents.push(lastEvent);
      return url;
    },
  };
}

Deno.test("SseAttempt.lastEvent is undefined until an event has arrived", async () => {
  const { fetch } = inTurn(
    failing,
    () => new Response("Wait", { status: 503 }),
    // Neither a comment nor an id is an event, and neither is half an event.
    events(": comment\n\nid: 7\n\ndata: half"),
    events("id: 7\ndata: half\n"),
    events("data: [DONE]\n\n"),
  );
  const attempts = recorder();
  const sse = await connectSse(attempts.input, {
    fetch,
    until: "[DONE]",
    lastEventId: "6",
    reconnect: noDelay,
  });
  assertEquals(await Array.fromAsync(sse), []);
  assertEquals(attempts.lastEvents, Array(5).fill(undefined));
});

Deno.test("SseAttempt.lastEvent is the newest event of all connections", async () => {
  const { fetch } = inTurn(
    events("data: a\n\ndata: b\n\ndata: half"),
    failing,
    () => new Response("Wait", { status: 503 }),
    events(""),
    events(": comment\n\nid: 7\n\n"),
    events("data: c\n\n"),
    events("event: d\ndata: d\n\n"),
    events("data: [DONE]\n\n"),
  );
  const attempts = recorder();
  const sse = await connectSse(attempts.input, {
    fetch,
    until: "[DONE]",
    reconnect: noDelay,
  });
  const received = await Array.fromAsync(sse);
  assertEquals(
    attempts.data,
    [undefined, "b", "b", "b", "b", "b", "c", "d"],
  );
  // It is the same object that the caller has got.
  assertStrictEquals(attempts.lastEvents.at(-1), received.at(-1));
});

Deno.test("SseAttempt.lastEvent is an event that was not returned yet", async () => {
  const streams = [
    new OpenResponse("data: a\n\ndata: b\n\ndata: c\n\n: comment\n\nid: 1\n\n"),
    new OpenResponse("data: d\n\ndata: e\n\n"),
    new OpenResponse("data: f\n\n"),
  ];
  const { fetch } = inTurn(
    () => streams[0].response,
    failing,
    () => streams[1].response,
    () => streams[2].response,
  );
  const attempts = recorder();
  const comments: string[] = [];
  await using sse = await connectSse(attempts.input, {
    fetch,
    onComment: (comment) => comments.push(comment),
    reconnect: noDelay,
  });
  const next = async () => (await sse.next()).value;
  const reconnect = async () => {
    sse.reconnect();
    while (sse.state === "connecting") await macrotask();
  };
  assertEquals((await next())?.data, "a");
  await reconnect();
  assertEquals(attempts.data, [undefined, "c", "c"]);
  await streams[0].cancelled;

  const returned = [await next(), await next(), await next()];
  assertEquals(returned.map((event) => event?.data), ["b", "c", "d"]);
  assertEquals(comments, ["comment"]);
  await reconnect();
  assertEquals(attempts.data, [undefined, "c", "c", "e"]);
  assertStrictEquals(attempts.lastEvents[1], returned[1]);
  assertEquals((await next())?.data, "e");
  assertEquals((await next())?.data, "f");
});

Deno.test("lastEvent is the newest event that has arrived also if reconnect() has dropped it", async () => {
  const attempts: unknown[] = [];
  const { fetch } = inTurn(
    events("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"),
    events("data: c\n\n"),
  );
  await using sse = await connectSse(({ lastEvent, lastEventId }) => {
    attempts.push([lastEvent?.data, lastEventId]);
    return url;
  }, { fetch, reconnect: { resume: false, initialDelay: 0 } });
  await sse.next();
  sse.reconnect();
  await sse.next();
  assertEquals(attempts, [[undefined, ""], ["b", "2"]]);
});
