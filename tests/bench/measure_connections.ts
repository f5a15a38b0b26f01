/**
 * Many mostly idle connections, in a process of their own:
 * `measure_connections.ts CLIENT PORT COUNT EVERY_MS FOR_MS` prints the KiB each
 * takes and the ms of CPU time that all take in a second.
 */
import process from "node:process";
import { gc } from "./gc.ts";
import { clients } from "./http_clients.ts";

const [name, port, count, every, ms] = Deno.args;
const url = `http://127.0.0.1:${port}/idle/${every}`;
let events = 0;

await open(1);
const before = await settled();
for (let opened = 0; opened < Number(count); opened += 50) await open(50);
const after = await settled();

events = 0;
const cpu = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, Number(ms)));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({
  rss: (after.rss - before.rss) / Number(count) / 1024,
  heap: (after.heapUsed - before.heapUsed) / Number(count) / 1024,
  cpu: (user + system) / Number(ms),
  events: events / Number(ms) * 1000,
}));
Deno.exit(); // the connections never end by themselves

/** Opens so many more, and waits until each has brought something. */
async function open(count: number) {
  await Promise.all(
    Array.from({ length: count }, () =>
      new Promise<void>((resolve) => {
        clients[name](url, () => {
          events++;
          resolve();
        });
      })),
  );
}

async function settled() {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return process.memoryUsage();
}
