/**
 * What one large event takes, in a process of its own:
 * `measure_memory.ts CONTENDER SHAPE BYTES CHUNK_SIZE` reads it once and prints
 * how it ended and by how much the process and its heap had grown at most.
 */
import process from "node:process";
import type { Tally } from "./contender.ts";
import { gc } from "./gc.ts";
import { largeEvent, type Shape } from "./large_event.ts";
import type { Workload } from "./workloads.ts";

const [contender, shape, bytes, chunkSize] = Deno.args;
const { read } = await import(`./contenders/${contender}.ts`) as {
  read(stream: Pick<Workload, "chunks">): Tally | Promise<Tally>;
};

await read({ chunks: largeEvent("one line", 1024, 1024) });
gc();
const before = process.memoryUsage();
let heap = 0;
let bytesRead = 0;
const chunks = largeEvent(shape as Shape, Number(bytes), Number(chunkSize));

let end: string;
try {
  const { events } = await read({ chunks: watched() });
  end = events === 1 ? "event" : "no event";
} catch (error) {
  end = (error as { code?: string }).code ?? String(error);
}
console.log(JSON.stringify({
  end,
  bytesRead,
  heap,
  rss: process.resourceUsage().maxRSS * 1024 - before.rss,
}));

function* watched() {
  let count = 0;
  for (const chunk of chunks) {
    bytesRead += chunk.length;
    yield chunk;
    if (++count % 64 === 0) {
      const { heapUsed, external } = process.memoryUsage();
      const grown = heapUsed + external - before.heapUsed - before.external;
      if (grown > heap) heap = grown;
    }
  }
}
