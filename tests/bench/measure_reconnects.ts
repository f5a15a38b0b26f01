/**
 * Connecting and disconnecting over and over, in a process of its own:
 * `measure_reconnects.ts WAY PORT HUNDREDS` prints the bytes of heap and of RSS
 * that are in use after each hundred times, garbage collected.
 */
import process from "node:process";
import { connectSse } from "../../mod.ts";
import { gc } from "./gc.ts";

const [way, port, hundreds] = Deno.args;
const open = `http://127.0.0.1:${port}/idle/50`;
const ending = `http://127.0.0.1:${port}/LLM%2C%20one%20a%20chunk/0`;
// All ways share a signal that lives on, as a program's own often does.
const { signal } = new AbortController();
const timeouts = { idleTimeout: 60_000, connectTimeout: 60_000 };

const ways: Record<string, () => AsyncGenerator<void>> = {
  /** What the platform itself leaves. */
  async *fetch() {
    while (true) {
      const response = await fetch(open);
      const reader = response.body!.getReader();
      await reader.read();
      await reader.cancel();
      yield;
    }
  },
  /** A connection of its own each time. */
  async *close() {
    while (true) {
      const sse = await connectSse(open, { signal, reconnect: true });
      await sse.next();
      await sse.close();
      yield;
    }
  },
  /** One that the client tells to reconnect. */
  async *reconnect() {
    await using sse = await connectSse(open, {
      signal,
      ...timeouts,
      reconnect: true,
    });
    while (true) {
      await sse.next();
      sse.reconnect();
      yield;
    }
  },
  /** One that reconnects because the server ends it. */
  async *end() {
    await using sse = await connectSse(ending, {
      signal,
      ...timeouts,
      reconnect: { initialDelay: 0 },
    });
    while (true) {
      await sse.next();
      yield;
    }
  },
};

const figures: { heap: number; rss: number }[] = [];
let count = 0;
for await (const _ of ways[way]()) {
  if (++count % 100 > 0) continue;
  figures.push(await settled());
  if (figures.length === Number(hundreds)) break;
}
console.log(JSON.stringify(figures));

async function settled() {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, rss };
}
