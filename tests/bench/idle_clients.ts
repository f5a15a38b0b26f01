/**
 * The memory of an event log whose clients read one message and then stop. Run
 * by itself, it measures.
 */
import process from "node:process";
import { sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { collectGarbage, runChild } from "./child.ts";
import { type Options, printTable, threeDigits } from "./print.ts";

const CLIENTS = 1000;
const MESSAGES = 100_000;

/** MB of heap by the number of messages appended. */
type Heap = Record<number, number>;

if (import.meta.main) console.log(JSON.stringify(await measure()));

async function measure(): Promise<Heap> {
  const log = new MemoryEventLog({ maxMessages: 1000 });
  const request = new Request("http://localhost/");
  const data = "x".repeat(200);
  const readers = Array.from(
    { length: CLIENTS },
    () => sseResponse(resume(log, request)).body!.getReader(),
  );
  const first = readers.map((reader) => reader.read());
  await log.append({ data });
  await Promise.all(first);

  const heap: Heap = {};
  for (let n = 1; n <= MESSAGES; n++) {
    await log.append({ data });
    if (n % (MESSAGES / 10) !== 0) continue;
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    heap[n] = (heapUsed + external) / 1e6;
  }
  // The readers must be reachable until here.
  for (const reader of readers) await reader.cancel();
  return heap;
}

export async function idleClients({ markdown }: Options) {
  console.error("idle clients");
  const heap = await runChild<Heap>("idle_clients.ts");
  printTable(
    `A log with ${CLIENTS} clients that stopped reading`,
    ["messages", "heap MB"],
    Object.entries(heap).map(([messages, mb]) => [messages, threeDigits(mb)]),
    markdown,
  );
}
