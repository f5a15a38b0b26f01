/**
 * Thousands of mostly idle connections at once. Run by itself, as
 * `connections.ts CLIENT PORT`, it measures one client.
 */
import process from "node:process";
import { collectGarbage, runChild, withServer } from "./child.ts";
import { clients } from "./http_clients.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";

const COUNT = 2000;
const EVENT_INTERVAL_MS = 5000;
const DURATION_MS = 10_000;

/** KiB a connection, and milliseconds of CPU time a second for all. */
interface Cost {
  rss: number;
  heap: number;
  cpu: number;
}

if (import.meta.main) {
  const [name, port] = Deno.args;
  console.log(JSON.stringify(await measure(name, Number(port))));
  Deno.exit(); // The connections never end by themselves.
}

async function measure(name: string, port: number): Promise<Cost> {
  const url = `http://127.0.0.1:${port}/idle/${EVENT_INTERVAL_MS}`;
  await open(name, url, 1);
  const before = await settledMemory();
  for (let opened = 0; opened < COUNT; opened += 50) await open(name, url, 50);
  const after = await settledMemory();

  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, DURATION_MS));
  const { user, system } = process.cpuUsage(cpu);
  return {
    rss: (after.rss - before.rss) / COUNT / 1024,
    heap: (after.heapUsed - before.heapUsed) / COUNT / 1024,
    cpu: (user + system) / DURATION_MS,
  };
}

/** Opens more connections, and waits until each has received an event. */
async function open(name: string, url: string, count: number) {
  await Promise.all(
    Array.from({ length: count }, () =>
      new Promise<void>((resolve) => {
        clients[name](url, resolve);
      })),
  );
}

async function settledMemory() {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return process.memoryUsage();
}

export async function connections({ rounds, markdown, contender }: Options) {
  const names = Object.keys(clients).filter(contender);
  const costs: Record<string, Cost[]> = {};
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const name of names) {
      console.error(`round ${round + 1}: ${COUNT} connections, ${name}`);
      await withServer(async (port) => {
        const cost = await runChild<Cost>("connections.ts", name, port);
        (costs[name] ??= []).push(cost);
      });
    }
  }

  const columns = (name: string, of: keyof Cost) => [
    threeDigits(median(costs[name].map((cost) => cost[of]))),
    ratio(
      median(
        costs[name].map((cost, i) => cost[of] / costs["raw body"]?.[i][of]),
      ),
    ),
  ];
  printTable(
    `${COUNT} connections, an event each every ${EVENT_INTERVAL_MS / 1000} s`,
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
      ...columns(name, "rss"),
      ...columns(name, "heap"),
      ...columns(name, "cpu"),
    ]),
    markdown,
  );
}
