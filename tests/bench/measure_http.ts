/**
 * One client on one stream, in a process of its own:
 * `measure_http.ts CLIENT PORT WORKLOAD EVENTS` prints its nanoseconds of CPU
 * and of real time an event.
 */
import process from "node:process";
import { clients } from "./http_clients.ts";
import { makeWorkload } from "./workloads.ts";

const [name, port, workload, events] = Deno.args;
const client = clients[name];
const { blocks } = makeWorkload(workload);

await read(Math.ceil(Number(events) / blocks / 4)); // warms up
console.log(JSON.stringify(await read(Math.ceil(Number(events) / blocks))));

async function read(times: number) {
  const path = `${encodeURIComponent(workload)}/${times}`;
  let count = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await client(`http://127.0.0.1:${port}/${path}`, () => count++);
  const { user, system } = process.cpuUsage(cpu);
  const ms = performance.now() - start;
  const events = times * blocks;
  if (name !== "raw body" && count !== events) {
    throw new Error(`${name} saw ${count} events of ${events}`);
  }
  return { cpu: (user + system) * 1000 / events, real: ms * 1e6 / events };
}
