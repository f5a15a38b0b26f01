import { slowTest } from "../support/slow_test.ts";
import { scaled } from "../support/scale.ts";
import { readThroughChaos, restartThroughChaos } from "./connection_chaos.ts";

const length = scaled(20_000);

slowTest(
  `SseConnection reads ${length} events once and in order from a server that fails in every way`,
  () => readThroughChaos(length, 3),
);

slowTest(
  "SseConnection reads each event once and in order if the client calls reconnect(), restarts and makes overlapping calls",
  () => restartThroughChaos(Math.ceil(length / 4), 4),
);
