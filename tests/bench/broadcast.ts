/**
 * A message to many clients over HTTP: event logs against peers and ready-made
 * bytes. Run by itself, as `broadcast.ts BROADCASTER`, it measures a server, and
 * as `broadcast.ts clients PORT`, it is the clients of one.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createChannel, createResponse } from "npm:better-sse@0.16.1";
import { Hono } from "npm:hono@4.13.19";
import { type SSEStreamingApi, streamSSE } from "npm:hono@4.13.19/streaming";
import { encodeSse, sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { runChild, spawnChild } from "./child.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";

const CLIENTS = 400;
const BLOCKS = 10;
const MESSAGES_PER_BLOCK = 50;
const data = JSON.stringify({ text: "x".repeat(100) });

/** CPU time of the server's process, a message and client. */
interface Cost {
  ns: number;
  /** The time as a multiple of that of ready-made bytes. */
  ratio: number;
}

interface Broadcaster {
  /** Starts a server, which calls `onClient` for each client. Returns its port. */
  listen(onClient: () => void): number | Promise<number>;
  /** Sends a message to all clients. */
  send(id: number, data: string): unknown;
}

/** Returns a `listen` that answers each client with a response. */
function serve(
  respond: (request: Request) => Response | Promise<Response>,
): Broadcaster["listen"] {
  return (onClient) =>
    Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const response = await respond(request);
        onClient();
        return response;
      },
    ).addr.port;
}

const encode = (id: number, data: string) =>
  new TextEncoder().encode(encodeSse({ id: String(id), data }));

/** Ready-made bytes, pushed into streams without backpressure. */
function floor(): Broadcaster {
  const controllers: ReadableStreamDefaultController[] = [];
  return {
    listen: serve(() =>
      new Response(
        new ReadableStream({ start: (it) => void controllers.push(it) }),
      )
    ),
    send(id, data) {
      const bytes = encode(id, data);
      for (const controller of controllers) controller.enqueue(bytes);
    },
  };
}

/** Ready-made bytes, written to a set of responses without backpressure. */
function nodeHttp(): Broadcaster {
  const responses = new Set<ServerResponse>();
  return {
    listen(onClient) {
      const server = createServer((_request, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.flushHeaders();
        responses.add(response);
        response.on("close", () => responses.delete(response));
        onClient();
      });
      return new Promise((resolve) => {
        server.listen(0, "127.0.0.1", () => {
          resolve((server.address() as AddressInfo).port);
        });
      });
    },
    send(id, data) {
      const bytes = encode(id, data);
      for (const response of responses) response.write(bytes);
    },
  };
}

function eventLog(heartbeat?: number): Broadcaster {
  const log = new MemoryEventLog();
  return {
    listen: serve((request) =>
      sseResponse(resume(log, request), { heartbeat })
    ),
    send: (_id, data) => log.append({ data }),
  };
}

function betterSse(): Broadcaster {
  const channel = createChannel();
  return {
    listen: serve((request) =>
      createResponse(request, (session) => {
        channel.register(session);
      })
    ),
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
    listen: serve((request) => app.fetch(request)),
    send: (id, data) =>
      Promise.all(
        streams.map((stream) => stream.writeSSE({ id: `${id}`, data })),
      ),
  };
}

const broadcasters: Record<string, () => Broadcaster> = {
  "ready-made bytes": floor,
  "node:http": nodeHttp,
  "MemoryEventLog": () => eventLog(),
  "with a heartbeat": () => eventLog(15_000),
  "better-sse channel": betterSse,
  "hono streamSSE": hono,
};

/** Ready-made bytes take turns with the broadcaster, so that noise is the same. */
async function measure(name: string): Promise<Cost> {
  const base = await Audience.of(floor());
  const audience = await Audience.of(broadcasters[name]());
  const times: { floor: number; ns: number }[] = [];
  for (let block = -2; block < BLOCKS; block++) {
    const time = { floor: await base.send(), ns: await audience.send() };
    if (block >= 0) times.push(time); // The first blocks warm up.
  }
  await base.close();
  await audience.close();
  return {
    ns: median(times.map(({ ns }) => ns)),
    ratio: median(times.map(({ ns, floor }) => ns / floor)),
  };
}

/** The clients of one broadcaster, in a process of their own. */
class Audience {
  readonly #broadcaster: Broadcaster;
  readonly #clients: Deno.ChildProcess;
  #id = 0;

  private constructor(broadcaster: Broadcaster, clients: Deno.ChildProcess) {
    this.#broadcaster = broadcaster;
    this.#clients = clients;
  }

  /** Resolves when all clients are connected. */
  static async of(broadcaster: Broadcaster): Promise<Audience> {
    const connected = Promise.withResolvers<void>();
    let count = 0;
    const port = await broadcaster.listen(() => {
      if (++count === CLIENTS) connected.resolve();
    });
    const clients = spawnChild("broadcast.ts", "clients", port);
    await connected.promise;
    return new Audience(broadcaster, clients);
  }

  /** Sends a block. Returns nanoseconds of CPU time a message and client. */
  async send(): Promise<number> {
    const start = process.cpuUsage();
    for (let i = 0; i < MESSAGES_PER_BLOCK; i++) {
      this.#broadcaster.send(++this.#id, data);
      // Longer than it takes to send a message to all clients.
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    const { user, system } = process.cpuUsage(start);
    return (user + system) * 1000 / (MESSAGES_PER_BLOCK * CLIENTS);
  }

  /** Ends the clients. Throws if they have missed messages. */
  async close(): Promise<void> {
    this.#clients.kill();
    const { stdout } = await this.#clients.output();
    const received = Number(new TextDecoder().decode(stdout));
    if (received !== CLIENTS * this.#id) {
      throw new Error(`${received} of ${CLIENTS * this.#id} messages arrived`);
    }
  }
}

/** Reads messages until the process is told to end. Prints their number. */
async function readAll(port: number): Promise<void> {
  let messages = 0;
  Deno.addSignalListener("SIGTERM", () => {
    console.log(messages);
    Deno.exit();
  });
  async function read(stream: ReadableStream<Uint8Array>) {
    for await (const chunk of stream) {
      // Each message has one "{".
      for (const byte of chunk) if (byte === 0x7b) messages++;
    }
  }
  const head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (let i = 0; i < CLIENTS; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode(head));
    read(connection.readable);
  }
}

export async function broadcast({ rounds, markdown, contender }: Options) {
  const rows: string[][] = [];
  for (const name of Object.keys(broadcasters).filter(contender)) {
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: ${name}`);
      costs.push(await runChild<Cost>("broadcast.ts", name));
    }
    rows.push([
      name,
      threeDigits(median(costs.map(({ ns }) => ns))),
      ratio(median(costs.map((cost) => cost.ratio))),
    ]);
  }
  printTable(
    `A message to ${CLIENTS} clients over HTTP`,
    ["", "CPU ns a client", "over ready-made bytes"],
    rows,
    markdown,
  );
}

// At the end, after the classes.
if (import.meta.main) {
  const [name, port] = Deno.args;
  if (name === "clients") {
    await readAll(Number(port));
  } else {
    console.log(JSON.stringify(await measure(name)));
    Deno.exit(); // The streams never end by themselves.
  }
}
