/** What a log on Redis costs beside bare commands. */
import { RedisServer, redisVersion } from "../event_log/redis_server.ts";
import { runChild } from "./child.ts";
import { median, printTable, ratio, threeDigits } from "./print.ts";
import type { Options } from "./print.ts";

const MESSAGES = 5000;

interface Cost {
  bare: number;
  log: number;
}

export async function redis({ rounds, markdown }: Options) {
  if (redisVersion() === undefined) {
    console.log("\nredis: not run, as redis-server is not installed");
    return;
  }
  await using server = await RedisServer.start("everysec");
  const rows: string[][] = [];
  for (
    const [what, title] of [
      ["one", "one at a time: appended, and read again"],
      ["many", "500 at once: appended, and read again"],
    ]
  ) {
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round++) {
      costs.push(
        await runChild<Cost>("measure_redis.ts", server.port, what, MESSAGES),
      );
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
