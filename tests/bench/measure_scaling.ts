/**
 * One large event, in a process of its own:
 * `measure_scaling.ts CONTENDER SHAPE BYTES CHUNK_SIZE MS` prints the ms of CPU
 * time of reading it once.
 */
import process from "node:process";
import type { Tally } from "./contender.ts";
import { gc } from "./gc.ts";
import { largeEvent, type Shape } from "./large_event.ts";
import type { Workload } from "./workloads.ts";

const [contender, shape, bytes, chunkSize, ms] = Deno.args;
const { read } = await import(`./contenders/${contender}.ts`) as {
  read(stream: Pick<Workload, "chunks">): Tally | Promise<Tally>;
};

await readFor(64 * 1024, 2 * Number(ms)); // warms up
console.log(JSON.stringify({ ms: await readFor(Number(bytes), Number(ms)) }));

async function readFor(bytes: number, ms: number): Promise<number> {
  const chunks = largeEvent(shape as Shape, bytes, Number(chunkSize));
  gc();
  const start = process.cpuUsage();
  let runs = 0;
  while (true) {
    const { events, length } = await read({ chunks });
    if (events !== 1 || length < 0.9 * bytes) throw new Error("wrongly read");
    runs++;
    const { user, system } = process.cpuUsage(start);
    if (user + system >= ms * 1000) return (user + system) / 1000 / runs;
  }
}
