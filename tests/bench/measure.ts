/**
 * One contender on one workload, in a process of its own:
 * `measure.ts CONTENDER WORKLOAD MS WAY` prints its nanoseconds of CPU time a
 * block. CPU time of the whole process, so that what a garbage collector's
 * threads do counts and what the machine does besides does not.
 */
import process from "node:process";
import { type Read, type Stream, ways } from "./contender.ts";
import { makeWorkload } from "./workloads.ts";

const [contender, name, ms, way = "for await"] = Deno.args;
const { stream, read = (workload) => ways[way](stream!(workload)) } =
  await import(`./contenders/${contender}.ts`) as {
    read?: Read;
    stream?: Stream;
  };
const workload = makeWorkload(name);

const expected = JSON.stringify(workload.tally);
const found = JSON.stringify(await read(workload));
if (found !== expected) {
  throw new Error(
    `Expected ${expected} in "${name}", but ${contender} found ${found}`,
  );
}

await readFor(2 * Number(ms)); // warms up
console.log(JSON.stringify({ ns: await readFor(Number(ms)) }));

/** Reads over and over for so many ms; nanoseconds a block. */
async function readFor(ms: number): Promise<number> {
  const start = process.cpuUsage();
  let runs = 0;
  while (true) {
    await read(workload);
    runs++;
    const { user, system } = process.cpuUsage(start);
    const us = user + system;
    if (us >= ms * 1000) return us * 1000 / (runs * workload.blocks);
  }
}
