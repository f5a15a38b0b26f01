/**
 * Messages to many clients in the same process, in a process of its own:
 * `measure_broadcast.ts BROADCASTER CLIENTS BLOCKS` prints the nanoseconds of CPU
 * time a message and client, those of the floor, and the bytes of heap that a
 * client takes while idle.
 *
 * The two take turns, so that what else the machine does meanwhile is the same
 * for both.
 */
import process from "node:process";
import { type Broadcaster, broadcasters, floor } from "./broadcasters.ts";
import { gc } from "./gc.ts";
import { median } from "./print.ts";

const [name, clients, blocks] = Deno.args;
const count = Number(clients);
const MESSAGES = 10;
const data = JSON.stringify({ text: "x".repeat(100) });
let received = 0;
let allReceived = () => {};
let id = 0;

const base = await start(floor());
const { bytes, ...broadcaster } = await start(broadcasters[name]());
for (let i = 0; i < 10; i++) { // warms up
  await send(base);
  await send(broadcaster);
}
const times: { floor: number; ns: number }[] = [];
while (times.length < Number(blocks)) {
  times.push({ floor: await send(base), ns: await send(broadcaster) });
}
console.log(JSON.stringify({
  ns: median(times.map(({ ns }) => ns)),
  floor: median(times.map(({ floor }) => floor)),
  ratio: median(times.map(({ ns, floor }) => ns / floor)),
  bytes,
}));
Deno.exit(); // the streams never end by themselves

/** Has all clients connect, and begin to read. */
async function start(broadcaster: Broadcaster) {
  const responses = await open(broadcaster, 100);
  const before = await settled();
  responses.push(...await open(broadcaster, count - 100));
  const bytes = (await settled() - before) / (count - 100);
  for (const response of responses) read(response);
  await tick();
  return { ...broadcaster, bytes };
}

async function open(broadcaster: Broadcaster, count: number) {
  const responses: Response[] = [];
  while (responses.length < count) responses.push(await broadcaster.respond());
  return responses;
}

/** Reads until all have come, as a server does that passes chunks on. */
async function read(response: Response) {
  const reader = response.body!.getReader();
  while (true) {
    const { value } = await reader.read();
    // Whatever is none of ours, as a first `retry:`.
    if (value!.length < data.length) continue;
    if (++received === count) allReceived();
  }
}

/** Sends some messages; nanoseconds of CPU time a message and client. */
async function send(broadcaster: Broadcaster): Promise<number> {
  const start = process.cpuUsage();
  for (let i = 0; i < MESSAGES; i++) {
    received = 0;
    const all = new Promise<void>((resolve) => allReceived = resolve);
    broadcaster.send(++id, data);
    await all;
    // All ask for the next one.
    await tick();
  }
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1000 / (MESSAGES * count);
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

async function settled() {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().heapUsed;
}
