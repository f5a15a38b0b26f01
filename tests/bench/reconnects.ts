/**
 * What connects and disconnects leave in memory. The first hundreds warm up code
 * and caches, also those of the bare `fetch`: what counts is whether it goes on.
 */
import { runChild, withServer } from "./child.ts";
import { number, printTable } from "./print.ts";
import type { Options } from "./table.ts";

const TIMES = [100, 1000, 2000];

interface Figure {
  heap: number;
  rss: number;
}

const ways: Record<string, string> = {
  fetch: "fetch, a chunk, cancel()",
  close: "connectSse, an event, close()",
  reconnect: "an event, reconnect()",
  end: "an event, the server's end",
};

export async function reconnects({ markdown }: Options) {
  const rows: string[][] = [];
  for (const [way, title] of Object.entries(ways)) {
    console.error(`${TIMES.at(-1)} times: ${title}`);
    await withServer(async (port) => {
      const figures = await runChild<Figure[]>(
        "measure_reconnects.ts",
        way,
        port,
        TIMES.at(-1)! / 100,
      );
      const after = TIMES.map((times) => figures[times / 100 - 1]);
      rows.push([
        title,
        ...after.map(({ heap }) => number(heap / 1024)),
        ...after.map(({ rss }) => number(rss / 2 ** 20)),
      ]);
    });
  }
  printTable(
    "Connects and disconnects in one process, garbage collected",
    [
      "each time",
      ...TIMES.map((times) => `heap KiB after ${times}`),
      ...TIMES.map((times) => `RSS MiB after ${times}`),
    ],
    rows,
    markdown,
  );
}
