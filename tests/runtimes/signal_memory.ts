/**
 * Measures the memory that 100,000 connections with one shared signal leak. Some
 * runtimes never release the dependent signals of a signal.
 */
import { output } from "./install.ts";

const ROUNDS = 100_000;

/**
 * The heap grows when code is compiled late. This limit allows 40 bytes for each
 * connection.
 */
const MAX_GROWTH = 4 * 2 ** 20;

const SCRIPT = `
const { connectSse } = await import("./module.mjs");
const { signal } = new AbortController();
const fetch = () =>
  new Response("data: a\\n\\n", {
    headers: { "content-type": "text/event-stream" },
  });
async function connect(rounds) {
  for (let i = 0; i < rounds; i++) {
    const sse = await connectSse("http://in.process/", { fetch, signal });
    await sse.next();
    await sse.close();
  }
}
async function heapUsed() {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve));
    gc();
  }
  return process.memoryUsage().heapUsed;
}
// Enough that the tables of the engine, which grow in steps, have grown.
await connect(${ROUNDS * 1.5});
const before = await heapUsed();
await connect(${ROUNDS});
console.log(await heapUsed() - before);
`;

/** Throws if the heap of this Node binary grows with each connection. */
export async function checkSignalMemory(
  binary: string | URL,
  directory: string,
): Promise<void> {
  const path = `${directory}/signal_memory.mjs`;
  await Deno.writeTextFile(path, SCRIPT);
  await output(Deno.execPath(), [
    "bundle",
    "--quiet",
    `--output=${directory}/module.mjs`,
    import.meta.resolve("../../mod.ts"),
  ]);
  const growth = Number(await output(binary, ["--expose-gc", path]));
  if (growth < MAX_GROWTH) return;
  throw new Error(`The heap has grown by ${growth} bytes`);
}
