/** Thousands of mostly idle connections at once. */
import { runChild, withServer } from "./child.ts";
import { clients } from "./http_clients.ts";
import { median, printTable, ratio, threeDigits } from "./print.ts";
import type { Options } from "./print.ts";

const COUNT = 2000;
const EVERY_MS = 5000;
const FOR_MS = 10_000;

interface Cost {
  rss: number;
  heap: number;
  cpu: number;
  events: number;
}

export async function connections({ rounds, markdown, contender }: Options) {
  const names = Object.keys(clients).filter(contender);
  const costs: Record<string, Cost[]> = {};
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const name of names) {
      console.error(`round ${round + 1}: ${COUNT} connections, ${name}`);
      await withServer(async (port) => {
        const child = runChild<Cost>(
          "measure_connections.ts",
          name,
          port,
          COUNT,
          EVERY_MS,
          FOR_MS,
        );
        (costs[name] ??= []).push(await child);
      });
    }
  }

  const middle = (name: string, of: keyof Cost) =>
    median(costs[name].map((cost) => cost[of]));
  const overRaw = (name: string, of: keyof Cost) =>
    ratio(
      median(
        costs[name].map((cost, i) => cost[of] / costs["raw body"]?.[i][of]),
      ),
    );
  printTable(
    `${COUNT} connections, an event each every ${EVERY_MS / 1000} s`,
    [
      "client",
      "KiB each (RSS)",
      "over raw",
      "heap KiB each",
      "over raw",
      "CPU ms a second",
      "over raw",
    ],
    names.map((name) => [
      name,
      threeDigits(middle(name, "rss")),
      overRaw(name, "rss"),
      threeDigits(middle(name, "heap")),
      overRaw(name, "heap"),
      threeDigits(middle(name, "cpu")),
      overRaw(name, "cpu"),
    ]),
    markdown,
  );
}
