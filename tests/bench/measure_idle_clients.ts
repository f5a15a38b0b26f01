/**
 * Clients that read one message and then no more, in a process of their own:
 * `measure_idle_clients.ts CLIENTS MESSAGES` prints the MB of heap in use after
 * tenths of the messages.
 */
import process from "node:process";
import { sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { gc } from "./gc.ts";

const [clients, messages] = Deno.args.map(Number);
const log = new MemoryEventLog({ maxMessages: 1000 });
const request = new Request("http://localhost/");
const data = "x".repeat(200);
const readers = Array.from(
  { length: clients },
  () => sseResponse(resume(log, request)).body!.getReader(),
);
const first = readers.map((reader) => reader.read());
await log.append({ data });
await Promise.all(first);

const heap: Record<number, number> = {};
for (let n = 1; n <= messages; n++) {
  await log.append({ data });
  if (n % (messages / 10) !== 0) continue;
  gc();
  const { heapUsed, external } = process.memoryUsage();
  heap[n] = (heapUsed + external) / 1e6;
}
console.log(JSON.stringify(heap));
// So that they are in use until here.
for (const reader of readers) await reader.cancel();
