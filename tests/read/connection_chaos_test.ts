import { readThroughChaos, restartThroughChaos } from "./connection_chaos.ts";

Deno.test("SseConnection reads 2,000 events once and in order from a server that fails in every way", () =>
  readThroughChaos(2000, 1));

Deno.test("SseConnection reads each event once and in order if the client calls reconnect(), restarts and makes overlapping calls", () =>
  restartThroughChaos(500, 2));
