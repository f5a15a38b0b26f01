/**
 * The memory of clients that are slow, and of clients that have stopped reading.
 * Run by itself, as `slow_clients.ts stopped`, `slow_clients.ts redis PORT` or
 * `slow_clients.ts kv`, it measures one case.
 */
import process from "node:process";
import { sseResponse } from "../../mod.ts";
import { KvEventLog } from "../../src/event_log/kv.ts";
import {
  type EventLog,
  MemoryEventLog,
  resume,
} from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { RawRedis } from "../event_log/raw_redis.ts";
import { RedisServer, redisVersion } from "../event_log/redis_server.ts";
import { collectGarbage, runChild } from "./child.ts";
import { median, type Options, printTable, threeDigits } from "./print.ts";

const STOPPED_CLIENTS = 1000;
const STOPPED_MESSAGES = 100_000;

const SLOW_CLIENTS = 40;
const SLOW_MESSAGES = 150;
const SLOW_SIZE = 200_000;

/** MB of heap by the number of messages appended. */
type Heap = Record<number, number>;

/** Appends to a log in memory whose clients have read one message each. */
async function measureStopped(): Promise<Heap> {
  const log = new MemoryEventLog({ maxMessages: 1000 });
  const request = new Request("http://localhost/");
  const data = "x".repeat(200);
  const readers = Array.from(
    { length: STOPPED_CLIENTS },
    () => sseResponse(resume(log, request)).body!.getReader(),
  );
  const first = readers.map((reader) => reader.read());
  await log.append({ data });
  await Promise.all(first);

  const heap: Heap = {};
  for (let n = 1; n <= STOPPED_MESSAGES; n++) {
    await log.append({ data });
    if (n % (STOPPED_MESSAGES / 10) !== 0) continue;
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    heap[n] = (heapUsed + external) / 1e6;
  }
  // The readers must be reachable until here.
  for (const reader of readers) await reader.cancel();
  return heap;
}

async function openLog(kind: string, port: number): Promise<EventLog> {
  if (kind === "kv") {
    const path = `${await Deno.makeTempDir()}/kv`;
    return new KvEventLog(await Deno.openKv(path), ["slow"]);
  }
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  const redis = new RedisConnection({ send, sendBlocking });
  return new RedisEventLog(redis, crypto.randomUUID());
}

/** The MB by which memory grows. */
interface Growth {
  /** Reachable objects and buffers, as they are after garbage collection. */
  reachable: number;
  /** Resident memory, with the garbage that V8 has not collected yet. */
  resident: number;
}

/**
 * Measures the memory of clients that read at different speeds, each from the
 * first message.
 */
async function measureSlow(log: EventLog): Promise<Growth> {
  for (let i = 0; i < SLOW_MESSAGES; i++) {
    await log.append({ data: "x".repeat(SLOW_SIZE) });
  }
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => sseResponse(resume(log, request)),
  );
  const { port } = server.addr;
  await readFor(port, [0], 2000); // Warms up.
  const delays = Array.from({ length: SLOW_CLIENTS }, (_, i) => 2 + i);

  /** Returns the MB by which a size in bytes grows. */
  async function growth(interval: number, size: () => number) {
    collectGarbage();
    const before = size();
    let largest = before;
    const timer = setInterval(() => {
      largest = Math.max(largest, size());
    }, interval);
    await readFor(port, delays, 10_000);
    clearInterval(timer);
    return (largest - before) / 1e6;
  }

  // First, because the other measurement collects garbage.
  const resident = await growth(5, process.memoryUsage.rss);
  const reachable = await growth(250, () => {
    // The second collection counts the buffers that the first one has freed.
    collectGarbage();
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  });
  return { reachable, resident };
}

/** Reads with a client for each delay, which is the time in ms between its reads. */
async function readFor(
  port: number,
  delays: number[],
  duration: number,
): Promise<void> {
  const head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const signal = AbortSignal.timeout(duration);
  async function read(delay: number) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    signal.addEventListener("abort", () => connection.close());
    await connection.write(new TextEncoder().encode(head));
    const buffer = new Uint8Array(65_536);
    while (!signal.aborted) {
      await connection.read(buffer).catch(() => {}); // Closed by the signal.
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
  await Promise.all(delays.map(read));
}

export async function slowClients({ rounds, markdown }: Options) {
  console.error("clients that stopped reading");
  const heap = await runChild<Heap>("slow_clients.ts", "stopped");
  printTable(
    `A log in memory with ${STOPPED_CLIENTS} clients that stopped reading`,
    ["messages", "heap MB"],
    Object.entries(heap).map(([messages, mb]) => [messages, threeDigits(mb)]),
    markdown,
  );

  const rows: string[][] = [];
  async function measureRounds(title: string, ...args: (string | number)[]) {
    const found: Growth[] = [];
    while (found.length < rounds) {
      console.error(`round ${found.length + 1}/${rounds}: slow, ${title}`);
      found.push(await runChild<Growth>("slow_clients.ts", ...args));
    }
    const middle = (of: keyof Growth) =>
      threeDigits(median(found.map((growth) => growth[of])));
    rows.push([title, middle("reachable"), middle("resident")]);
  }
  if (redisVersion() === undefined) {
    console.log("\nRedis: not run, as redis-server is not installed");
  } else {
    await using server = await RedisServer.start("everysec");
    await measureRounds("Redis", "redis", server.port);
  }
  await measureRounds("Deno KV", "kv");
  printTable(
    `${SLOW_CLIENTS} slow clients, messages of ${SLOW_SIZE / 1000} KB`,
    ["", "more MB reachable", "more MB resident"],
    rows,
    markdown,
  );
}

if (import.meta.main) {
  const [kind, port] = Deno.args;
  const result = kind === "stopped"
    ? await measureStopped()
    : await measureSlow(await openLog(kind, Number(port)));
  console.log(JSON.stringify(result));
  Deno.exit(); // The server and the clients of the stores are still open.
}
