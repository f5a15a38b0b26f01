/** What large events cost: time by size and by chunks, and memory. */
import { runChild } from "./child.ts";
import type { Shape } from "./large_event.ts";
import { median, number, printTable, ratio } from "./print.ts";
import type { Options } from "./table.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Contenders by the names of their files. */
const titles: Record<string, string> = {
  join_floor: "floor",
  connect_sse: "connectSse",
  sse_event_stream: "SseEventStream",
  sse_decoder: "SseDecoder",
};

const series: { contender: string; shape: Shape }[] = [
  { contender: "join_floor", shape: "one line" },
  { contender: "connect_sse", shape: "one line" },
  { contender: "connect_sse", shape: "lines of 100" },
  { contender: "sse_event_stream", shape: "one line" },
  { contender: "sse_decoder", shape: "one line" },
];

export async function scaling(options: Options) {
  for (const chunkSize of [1 * KiB, 4 * KiB]) {
    await doubling(
      `Doubling an event's size, in chunks of ${chunkSize / KiB} KiB: ` +
        "CPU time in ms, and over that of half the size",
      [1, 2, 4, 8, 16, 32, 64].map((size) => ({
        step: `${size} MiB`,
        bytes: size * MiB,
        chunkSize,
      })),
      options,
    );
  }
  await doubling(
    "Doubling the chunks of a 16 MiB event: CPU time in ms, and over that of " +
      "half as many",
    [16, 8, 4, 2, 1].map((size) => ({
      step: `${16 * KiB / size} × ${size} KiB`,
      bytes: 16 * MiB,
      chunkSize: size * KiB,
    })),
    options,
  );
  await memory(options);
}

async function doubling(
  title: string,
  steps: { step: string; bytes: number; chunkSize: number }[],
  { rounds, ms, markdown, contender: wanted }: Options,
) {
  const columns = series.filter(({ contender }) => wanted(titles[contender]));
  // By column, then step, then round.
  const times = columns.map(() => steps.map((): number[] => []));
  for (let round = 0; round < rounds; round++) {
    for (const [s, { step, bytes, chunkSize }] of steps.entries()) {
      console.error(`round ${round + 1}/${rounds}: ${step}`);
      for (const [c, { contender, shape }] of columns.entries()) {
        const child = await runChild<{ ms: number }>(
          "measure_scaling.ts",
          contender,
          shape,
          bytes,
          chunkSize,
          ms,
        );
        times[c][s].push(child.ms);
      }
    }
  }
  printTable(
    title,
    [
      "event",
      ...columns.flatMap(({ contender, shape }) => [
        `${titles[contender]}, ${shape}`,
        "",
      ]),
    ],
    steps.map(({ step }, s) => [
      step,
      ...columns.flatMap((_, c) => [
        number(median(times[c][s])),
        s === 0 ? "" : ratio(
          median(times[c][s].map((ms, round) => ms / times[c][s - 1][round])),
        ),
      ]),
    ]),
    markdown,
  );
}

interface Memory {
  end: string;
  bytesRead: number;
  heap: number;
  rss: number;
}

const sizes: [Shape, number][] = [
  ["one line", 64 * MiB],
  ["one line, beyond Latin-1", 64 * MiB],
  ["lines of 100", 64 * MiB],
  ["endless line", 256 * MiB],
  ["endless lines", 256 * MiB],
  ["endless comment", 256 * MiB],
  ["endless unknown field", 256 * MiB],
];

async function memory({ markdown, contender: wanted }: Options) {
  const rows = [];
  for (const [contender, title] of Object.entries(titles)) {
    if (!wanted(title)) continue;
    for (const [shape, bytes] of sizes) {
      if (title === "floor" && shape.startsWith("endless")) continue;
      const { end, bytesRead, heap, rss } = await runChild<Memory>(
        "measure_memory.ts",
        contender,
        shape,
        bytes,
        4 * KiB,
      );
      rows.push([
        `${title}, ${shape}`,
        end,
        number(bytesRead / MiB),
        number(heap / MiB),
        number(rss / MiB),
        ratio(rss / bytesRead),
      ]);
    }
  }
  printTable(
    "Memory at its peak, in MiB beyond what the process had before",
    ["event", "end", "bytes read", "heap", "RSS", "RSS / bytes read"],
    rows,
    markdown,
  );
}
