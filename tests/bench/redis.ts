/**
 * What a log on Redis costs beside bare commands. Run by itself, as
 * `redis.ts PORT one|many`, it measures both, which take turns.
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
const data = "x".repeat(100);

/** Microseconds a message. */
interface Cost {
  bare: number;
  log: number;
}

interface Pair {
  append(): Promise<unknown>;
  /** Reads at least one message. Returns how many. */
  read(): Promise<number>;
}

if (import.meta.main) {
  const [port, mode] = Deno.args;
  const { send } = await RawRedis.connect(Number(port));
  const { send: sendBlocking } = await RawRedis.connect(Number(port));
  const cost = { bare: 0, log: 0 };
  for (let done = -BLOCK; done < MESSAGES; done += BLOCK) {
    const bare = await measure(openBare(send, sendBlocking), mode);
    const log = await measure(openLog(send, sendBlocking), mode);
    if (done < 0) continue; // Warms up.
    cost.bare += bare * 1000 / MESSAGES;
    cost.log += log * 1000 / MESSAGES;
  }
  console.log(JSON.stringify(cost));
  Deno.exit();
}

async function measure({ append, read }: Pair, mode: string): Promise<number> {
  await append();
  for (let n = 0; n < 1;) n += await read();
  const start = performance.now();
  if (mode === "one") {
    for (let i = 0; i < BLOCK; i++) await Promise.all([read(), append()]);
  } else {
    const appended = Array.from({ length: BLOCK }, append);
    for (let n = 0; n < BLOCK;) n += await read();
    await Promise.all(appended);
  }
  return performance.now() - start;
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
    append: () => send([...add, ...message]),
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
    append: () => log.append({ data }),
    async read() {
      await reader.next();
      return 1;
    },
  };
}

const modes: [mode: string, title: string][] = [
  ["one", "one at a time: appended, and read again"],
  ["many", "500 at once: appended, and read again"],
];

export async function redis({ rounds, markdown }: Options) {
  if (redisVersion() === undefined) {
    console.log("\nredis: not run, as redis-server is not installed");
    return;
  }
  await using server = await RedisServer.start("everysec");
  const rows: string[][] = [];
  for (const [mode, title] of modes) {
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: Redis, ${mode}`);
      costs.push(await runChild<Cost>("redis.ts", server.port, mode));
    }
    rows.push([
      title,
      threeDigits(median(costs.map(({ bare }) => bare))),
      threeDigits(median(costs.map(({ log }) => log))),
      ratio(median(costs.map(({ log, bare }) => log / bare))),
    ]);
  }
  printTable(
    "Real time a message in µs, through Redis and back",
    ["", "XADD and XREAD", "RedisEventLog", ""],
    rows,
    markdown,
  );
}
