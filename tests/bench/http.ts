/** Events over loopback HTTP, from a server in another process. */
import { runChild, withServer } from "./child.ts";
import { clients } from "./http_clients.ts";
import { median, printTable, ratio, threeDigits } from "./print.ts";
import type { Options } from "./print.ts";

interface Cost {
  cpu: number;
  real: number;
}

/**
 * Streams, and how many events of them are read at a time. With 40,000 of the
 * first, the engine's compilers took half of what a client adds to the raw body.
 */
const streams: [string, number][] = [
  ["LLM, one a chunk", 160_000],
  ["LLM, 16 KiB", 400_000],
];

export async function http(options: Options) {
  for (const [workload, events] of streams) {
    await withServer((port) => compare(workload, events, port, options));
  }
}

async function compare(
  workload: string,
  events: threeDigits,
  port: number,
  { rounds, markdown, contender }: Options,
) {
  const names = Object.keys(clients).filter(contender);
  const costs: Record<string, Cost[]> = {};
  for (let round = 0; round < rounds; round++) {
    console.error(`round ${round + 1}/${rounds}: ${workload} over HTTP`);
    for (const name of names) {
      const child = runChild<Cost>(
        "measure_http.ts",
        name,
        port,
        workload,
        events,
      );
      (costs[name] ??= []).push(await child);
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
