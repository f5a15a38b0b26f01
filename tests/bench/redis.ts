/**
 * What a log on Redis costs beside bare commands, and how long its messages take
 * from one process to another. Run by itself, as `redis.ts PORT MODE`, it measures
 * one of them.
 */
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { RawRedis } from "../event_log/raw_redis.ts";
import { RedisServer, redisVersion } from "../event_log/redis_server.ts";
import { runChild } from "./child.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";

const MESSAGES = 5000;
const BLOCK = 500;
const AT_ONCE = 20;
const data = "x".repeat(100);

/** Microseconds a message. */
interface Cost {
  bare: number;
  log: number;
}

/** Milliseconds from the append to the reader, and commands a message. */
interface Latency {
  p50: number;
  p99: number;
  commands: number;
}

interface Pair {
  append(count?: number): Promise<unknown>;
  /** Reads at least one message. Returns how many. */
  read(): Promise<number>;
}

if (import.meta.main) {
  const [port, mode] = Deno.args;
  const result = Number(mode) > 0
    ? await measureLatency(Number(port), Number(mode))
    : await measureCost(Number(port), mode);
  console.log(JSON.stringify(result));
  Deno.exit();
}

/** Measures bare commands and the log, which take turns. */
async function measureCost(port: number, mode: string): Promise<Cost> {
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  const cost = { bare: 0, log: 0 };
  for (let done = -BLOCK; done < MESSAGES; done += BLOCK) {
    const bare = await measure(openBare(send, sendBlocking), mode);
    const log = await measure(openLog(send, sendBlocking), mode);
    if (done < 0) continue; // Warms up.
    cost.bare += bare * 1000 / MESSAGES;
    cost.log += log * 1000 / MESSAGES;
  }
  return cost;
}

async function measure({ append, read }: Pair, mode: string): Promise<number> {
  await append();
  for (let n = 0; n < 1;) n += await read();
  const start = performance.now();
  if (mode === "append one") {
    for (let i = 0; i < BLOCK; i++) await append();
  } else if (mode === "append many") {
    for (let i = 0; i < BLOCK; i += AT_ONCE) await append(AT_ONCE);
  } else if (mode === "one") {
    for (let i = 0; i < BLOCK; i++) await Promise.all([read(), append()]);
  } else {
    const appended = Array.from({ length: BLOCK }, () => append());
    for (let n = 0; n < BLOCK;) n += await read();
    await Promise.all(appended);
  }
  return performance.now() - start;
}

/** Appends to one of many logs at a time, each of which has a reader. */
async function measureLatency(port: number, logs: number): Promise<Latency> {
  let commands = 0;
  async function connect() {
    const { send } = await RawRedis.connect(port);
    return (command: string[]) => {
      commands++;
      return send(command);
    };
  }
  const reading = new RedisConnection({
    send: await connect(),
    sendBlocking: await connect(),
  });
  const writing = new RedisConnection({ send: await connect() });
  const keys = Array.from({ length: logs }, () => crypto.randomUUID());
  const latencies: number[] = [];
  for (const key of keys) {
    const messages = new RedisEventLog(reading, key).read("");
    (async () => {
      for await (const { data } of messages) {
        latencies.push(performance.now() - Number(data));
      }
    })();
  }
  await delay(1500); // All wait for a message then.
  commands = 0;
  const count = 1000;
  for (let i = 0; i < count; i++) {
    const key = keys[Math.floor(Math.random() * logs)];
    new RedisEventLog(writing, key).append({ data: `${performance.now()}` });
    await delay(10 * Math.random());
  }
  await delay(1000);
  if (latencies.length !== count) {
    throw new Error(`${latencies.length} of ${count} messages arrived`);
  }
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    p50: sorted[count * 0.5],
    p99: sorted[count * 0.99],
    commands: commands / count,
  };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function openBare(
  send: RawRedis["send"],
  sendBlocking: RawRedis["send"],
): Pair {
  const key = crypto.randomUUID();
  const add = ["XADD", key, "MAXLEN", "~", "10000", "*"];
  const message = ["m", `{"data":"${data}"}`];
  const xread = ["XREAD", "COUNT", "100", "BLOCK", "5000", "STREAMS", key];
  let last = "0-0";
  return {
    append: (count = 1) =>
      Promise.all(
        Array.from({ length: count }, () => send([...add, ...message])),
      ),
    async read() {
      const reply = await sendBlocking([...xread, last]) as [
        [unknown, [Uint8Array, Uint8Array[]][]],
      ];
      const [[, entries]] = reply;
      for (const [, fields] of entries) {
        JSON.parse(new TextDecoder().decode(fields[1]));
      }
      last = new TextDecoder().decode(entries.at(-1)![0]);
      return entries.length;
    },
  };
}

function openLog(send: RawRedis["send"], sendBlocking: RawRedis["send"]): Pair {
  const redis = new RedisConnection({ send, sendBlocking });
  const log = new RedisEventLog(redis, crypto.randomUUID());
  const reader = log.read("")[Symbol.asyncIterator]();
  return {
    append: (count = 1) =>
      log.append(
        { data },
        ...Array.from({ length: count - 1 }, () => ({ data })),
      ),
    async read() {
      await reader.next();
      return 1;
    },
  };
}

const modes: [mode: string, title: string][] = [
  ["append one", "append, one at a time"],
  ["append many", `append, ${AT_ONCE} at once`],
  ["one", "append and read, one at a time"],
  ["many", `append and read, ${BLOCK} at once`],
];

export async function redis({ rounds, markdown }: Options) {
  if (redisVersion() === undefined) {
    console.log("\nredis: not run, as redis-server is not installed");
    return;
  }
  await using server = await RedisServer.start("everysec");
  async function measureRounds<T>(mode: string): Promise<T[]> {
    const results: T[] = [];
    while (results.length < rounds) {
      console.error(`round ${results.length + 1}/${rounds}: Redis, ${mode}`);
      results.push(await runChild<T>("redis.ts", server.port, mode));
    }
    return results;
  }

  const costs: string[][] = [];
  for (const [mode, title] of modes) {
    const found = await measureRounds<Cost>(mode);
    costs.push([
      title,
      threeDigits(median(found.map(({ bare }) => bare))),
      threeDigits(median(found.map(({ log }) => log))),
      ratio(median(found.map(({ log, bare }) => log / bare))),
    ]);
  }
  printTable(
    "Through Redis: real time a message in µs",
    ["", "bare commands", "RedisEventLog", "×"],
    costs,
    markdown,
  );

  const latencies: string[][] = [];
  for (const logs of ["1", "10", "100", "1000"]) {
    const found = await measureRounds<Latency>(logs);
    const middle = (of: keyof Latency) =>
      threeDigits(median(found.map((latency) => latency[of])));
    latencies.push([logs, middle("p50"), middle("p99"), middle("commands")]);
  }
  printTable(
    "Followed logs: ms from the append to the reader",
    ["logs", "p50", "p99", "commands a message"],
    latencies,
    markdown,
  );
}
