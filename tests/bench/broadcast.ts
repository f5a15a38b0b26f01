/** A message to many clients: event logs against peers and the floor. */
import { broadcasters } from "./broadcasters.ts";
import { runChild } from "./child.ts";
import { median, printTable, ratio, threeDigits } from "./print.ts";
import type { Options } from "./print.ts";

const CLIENTS = 10_000;
const BLOCKS = 20;
const IDLE_CLIENTS = 1000;
const IDLE_MESSAGES = 100_000;

interface Cost {
  ns: number;
  ratio: number;
  bytes: number;
}

export async function broadcast({ rounds, markdown, contender }: Options) {
  const rows: string[][] = [];
  for (const name of Object.keys(broadcasters).filter(contender)) {
    const costs: Cost[] = [];
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: ${name}`);
      costs.push(
        await runChild<Cost>("measure_broadcast.ts", name, CLIENTS, BLOCKS),
      );
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

  const heap = await runChild<Record<string, number>>(
    "measure_idle_clients.ts",
    IDLE_CLIENTS,
    IDLE_MESSAGES,
  );
  printTable(
    `A log with ${IDLE_CLIENTS} clients that stopped reading`,
    ["messages", "heap MB"],
    Object.entries(heap).map(([messages, mb]) => [messages, threeDigits(mb)]),
    markdown,
  );
}
