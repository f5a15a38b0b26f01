/**
 * Events over loopback HTTP, from a server in another process. Run by itself, as
 * `http.ts CLIENT PORT WORKLOAD EVENTS`, it measures one client on one stream.
 */
import process from "node:process";
import { runChild, withServer } from "./child.ts";
import { clients } from "./http_clients.ts";
import {
  median,
  type Options,
  printTable,
  ratio,
  threeDigits,
} from "./print.ts";
import { makeWorkload } from "./workloads.ts";

/** Nanoseconds an event. */
interface Cost {
  cpu: number;
  real: number;
}

/**
 * Workloads, and how many of their events are read at a time. With 40,000 of the
 * first, the engine's compilers took half of what a client adds to the raw body.
 */
const streams: [workload: string, events: number][] = [
  ["LLM, one a chunk", 160_000],
  ["LLM, 16 KiB", 400_000],
];

if (import.meta.main) {
  const [name, port, workload, events] = Deno.args;
  const { blocks } = makeWorkload(workload);
  const times = Math.ceil(Number(events) / blocks);
  const url = (times: number) =>
    `http://127.0.0.1:${port}/${encodeURIComponent(workload)}/${times}`;
  await measure(name, url(Math.ceil(times / 4)), Math.ceil(times / 4) * blocks);
  console.log(
    JSON.stringify(await measure(name, url(times), times * blocks)),
  );
}

async function measure(
  name: string,
  url: string,
  events: number,
): Promise<Cost> {
  let count = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await clients[name](url, () => count++);
  const { user, system } = process.cpuUsage(cpu);
  const ms = performance.now() - start;
  if (name !== "raw body" && count !== events) {
    throw new Error(`${name} saw ${count} events of ${events}`);
  }
  return { cpu: (user + system) * 1000 / events, real: ms * 1e6 / events };
}

export async function http(options: Options) {
  for (const [workload, events] of streams) {
    await withServer((port) => compare(workload, events, port, options));
  }
}

async function compare(
  workload: string,
  events: number,
  port: number,
  { rounds, markdown, contender }: Options,
) {
  const names = Object.keys(clients).filter(contender);
  const costs: Record<string, Cost[]> = {};
  for (let round = 0; round < rounds; round++) {
    console.error(`round ${round + 1}/${rounds}: ${workload} over HTTP`);
    for (const name of names) {
      const cost = await runChild<Cost>(
        "http.ts",
        name,
        port,
        workload,
        events,
      );
      (costs[name] ??= []).push(cost);
    }
  }
  printTable(
    `Over loopback HTTP: ${workload}`,
    ["client", "events/s", "CPU ns an event", "over the raw body's"],
    names.map((name) => [
      name,
      threeDigits(1e9 / median(costs[name].map(({ real }) => real))),
      threeDigits(median(costs[name].map(({ cpu }) => cpu))),
      ratio(
        median(
          costs[name].map(({ cpu }, i) => cpu / costs["raw body"]?.[i].cpu),
        ),
      ),
    ]),
    markdown,
  );
}
