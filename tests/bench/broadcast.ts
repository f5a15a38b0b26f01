/**
 * A message to many clients: event logs against peers and the floor. Run by
 * itself, as `broadcast.ts BROADCASTER`, it measures one of them.
 */
import process from "node:process";
import { createChannel, createResponse } from "npm:better-sse@0.16.1";
import { Hono } from "npm:hono@4.13.19";
import { type SSEStreamingApi, streamSSE } from "npm:hono@4.13.19/streaming";
import { encodeSse, sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { collectGarbage, runChild } from "./child.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";

const CLIENTS = 10_000;
const BLOCKS = 20;
const MESSAGES_PER_BLOCK = 10;
const data = JSON.stringify({ text: "x".repeat(100) });

/** CPU time a message and client, and the heap that an idle client takes. */
interface Cost {
  ns: number;
  /** The time as a multiple of the floor's. */
  ratio: number;
  bytes: number;
}

interface Broadcaster {
  /** Responds to one client. */
  respond(): Response | Promise<Response>;
  /** Sends a message to all clients. */
  send(id: number, data: string): unknown;
}

const url = "http://localhost/";

/** Ready-made bytes, pushed into streams without backpressure. */
function floor(): Broadcaster {
  const controllers: ReadableStreamDefaultController[] = [];
  return {
    respond: () =>
      new Response(
        new ReadableStream({ start: (it) => void controllers.push(it) }),
      ),
    send(id, data) {
      const bytes = new TextEncoder().encode(
        encodeSse({ id: String(id), data }),
      );
      for (const controller of controllers) controller.enqueue(bytes);
    },
  };
}

function eventLog(heartbeat?: number): Broadcaster {
  const log = new MemoryEventLog();
  return {
    respond: () => sseResponse(resume(log, new Request(url)), { heartbeat }),
    send: (_id, data) => log.append({ data }),
  };
}

function betterSse(): Broadcaster {
  const channel = createChannel();
  return {
    respond: () =>
      createResponse(new Request(url), (session) => {
        channel.register(session);
      }),
    send: (id, data) =>
      channel.broadcast(data, "message", { eventId: `${id}` }),
  };
}

/** As in its documentation, with a loop over all streams. */
function hono(): Broadcaster {
  const streams: SSEStreamingApi[] = [];
  const app = new Hono();
  app.get("/", (context) =>
    streamSSE(context, async (stream) => {
      streams.push(stream);
      await new Promise(() => {});
    }));
  return {
    respond: () => app.request("/"),
    send: (id, data) =>
      Promise.all(
        streams.map((stream) => stream.writeSSE({ id: `${id}`, data })),
      ),
  };
}

const broadcasters: Record<string, () => Broadcaster> = {
  "ready-made bytes": floor,
  "MemoryEventLog": () => eventLog(),
  "with a heartbeat": () => eventLog(15_000),
  "better-sse channel": betterSse,
  "hono streamSSE": hono,
};

/** The floor takes turns with the broadcaster, so that noise is the same. */
async function measure(name: string): Promise<Cost> {
  const base = await Audience.of(floor());
  const audience = await Audience.of(broadcasters[name]());
  for (let i = 0; i < 10; i++) { // Warms up.
    await base.send();
    await audience.send();
  }
  const times: { floor: number; ns: number }[] = [];
  while (times.length < BLOCKS) {
    times.push({ floor: await base.send(), ns: await audience.send() });
  }
  return {
    ns: median(times.map(({ ns }) => ns)),
    ratio: median(times.map(({ ns, floor }) => ns / floor)),
    bytes: audience.bytes,
  };
}

/** The clients of one broadcaster. */
class Audience {
  readonly bytes: number;
  readonly #broadcaster: Broadcaster;
  #id = 0;
  #received = 0;
  #resolve = () => {};

  private constructor(broadcaster: Broadcaster, bytes: number) {
    this.#broadcaster = broadcaster;
    this.bytes = bytes;
  }

  /** Connects all clients, each of which starts to read. */
  static async of(broadcaster: Broadcaster): Promise<Audience> {
    const responses = await connect(broadcaster, 100);
    const before = await settledHeap();
    responses.push(...await connect(broadcaster, CLIENTS - 100));
    const bytes = (await settledHeap() - before) / (CLIENTS - 100);
    const audience = new Audience(broadcaster, bytes);
    for (const response of responses) audience.#read(response);
    await tick();
    return audience;
  }

  /** Reads without an end, as a server does that writes chunks to a socket. */
  async #read(response: Response) {
    const reader = response.body!.getReader();
    while (true) {
      const { value } = await reader.read();
      // Chunks that are no message, for example a first `retry:`.
      if (value!.length < data.length) continue;
      if (++this.#received === CLIENTS) this.#resolve();
    }
  }

  /** Sends a block. Returns nanoseconds of CPU time a message and client. */
  async send(): Promise<number> {
    const start = process.cpuUsage();
    for (let i = 0; i < MESSAGES_PER_BLOCK; i++) {
      this.#received = 0;
      const all = new Promise<void>((resolve) => this.#resolve = resolve);
      this.#broadcaster.send(++this.#id, data);
      await all;
      await tick(); // Every client requests the next chunk.
    }
    const { user, system } = process.cpuUsage(start);
    return (user + system) * 1000 / (MESSAGES_PER_BLOCK * CLIENTS);
  }
}

async function connect(broadcaster: Broadcaster, count: number) {
  const responses: Response[] = [];
  while (responses.length < count) responses.push(await broadcaster.respond());
  return responses;
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

async function settledHeap(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().heapUsed;
}

export async function broadcast({ rounds, markdown, contender }: Options) {
  const rows: string[][] = [];
  for (const name of Object.keys(broadcasters).filter(contender)) {
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: ${name}`);
      costs.push(await runChild<Cost>("broadcast.ts", name));
    }
    const middle = (of: keyof Cost) => median(costs.map((cost) => cost[of]));
    rows.push([
      name,
      threeDigits(middle("ns")),
      ratio(middle("ratio")),
      threeDigits(middle("bytes")),
    ]);
  }
  printTable(
    `A message to ${CLIENTS} clients in the same process`,
    ["", "CPU ns a client", "over ready-made bytes", "heap bytes a client"],
    rows,
    markdown,
  );
}

// At the end, after the classes.
if (import.meta.main) {
  const [name] = Deno.args;
  console.log(JSON.stringify(await measure(name)));
  Deno.exit(); // The streams never end by themselves.
}
