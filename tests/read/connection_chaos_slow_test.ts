// `SSE_CHAOS_EVENTS` and `SSE_CHAOS_SEED` make it longer, or different.

import { slowTest } from "../support/slow_test.ts";
import { readThroughChaos, restartThroughChaos } from "./connection_chaos.ts";

const length = Number(Deno.env.get("SSE_CHAOS_EVENTS") ?? 20_000);
const seed = Number(Deno.env.get("SSE_CHAOS_SEED") ?? 3);

slowTest(
  `SseConnection reads ${length} events once and in order from a server that dies in all ways`,
  () => readThroughChaos(length, seed),
);

slowTest(
  "SseConnection reads each event once and in order if the client reconnects, restarts and reads several at once",
  () => restartThroughChaos(Math.ceil(length / 4), seed + 1),
);
