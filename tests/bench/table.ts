/** Bytes in, events out: every contender on every workload. */
import { runChild } from "./child.ts";
import { contenders, type Kind, ways } from "./contender.ts";
import { median, number, printTable, ratio } from "./print.ts";
import { workloadNames } from "./workloads.ts";

export interface Options {
  rounds: number;
  /** How long each measurement lasts. */
  ms: number;
  markdown: boolean;
  contender: (name: string) => boolean;
  workload: (name: string) => boolean;
}

/** Nanoseconds by contender, of one workload in one round. */
type Round = Partial<Record<string, number>>;

/** Measures each contender in a process of its own. */
async function measure(
  names: string[],
  workload: string,
  ...rest: (string | number)[]
): Promise<Round> {
  const round: Round = {};
  for (const name of names) {
    const child = runChild<{ ns: number }>(
      "measure.ts",
      name,
      workload,
      ...rest,
    );
    round[name] = (await child).ns;
  }
  return round;
}

export async function table(options: Options) {
  const names = Object.keys(contenders).filter((name) =>
    options.contender(contenders[name].title)
  );
  const workloads = workloadNames.filter(options.workload);
  const measured = new Map<string, Round[]>();
  for (let round = 0; round < options.rounds; round++) {
    for (const workload of workloads) {
      console.error(`round ${round + 1}/${options.rounds}: ${workload}`);
      const result = await measure(names, workload, options.ms);
      measured.set(workload, [...measured.get(workload) ?? [], result]);
    }
  }

  printTable(
    "CPU time an event in ns (a block, among heartbeats): less is better",
    ["workload", ...names.map((name) => contenders[name].title)],
    workloads.map((workload) => [
      workload,
      ...names.map((name) =>
        number(median(measured.get(workload)!.map((round) => round[name]!)))
      ),
    ]),
    options.markdown,
  );

  const medians = workloads.map((workload) =>
    comparisons.map(({ of }) =>
      median(measured.get(workload)!.map(of).map((value) => value ?? NaN))
    )
  );
  printTable(
    "The same as ratios of times within a round",
    ["workload", ...comparisons.map(({ title }) => title)],
    [
      ...workloads.map((name, i) => [name, ...medians[i].map(ratio)]),
      [
        "median",
        ...comparisons.map((_, i) => ratio(median(medians.map((m) => m[i])))),
      ],
    ],
    options.markdown,
  );
}

/** Streams of events by each way to read them, over the fastest peer's. */
export async function streams(options: Options) {
  const names = Object.keys(contenders).filter((name) =>
    name === "sse_event_stream" || contenders[name].kind === "stream"
  );
  const workloads = workloadNames.filter(options.workload);
  const rows: string[][] = [];
  for (const workload of workloads) {
    const ratios: Record<string, number[]> = {};
    for (let round = 0; round < options.rounds; round++) {
      console.error(`round ${round + 1}/${options.rounds}: ${workload}`);
      for (const way of Object.keys(ways)) {
        const result = await measure(names, workload, options.ms, way);
        const value = fastest(result, "stream") / result.sse_event_stream!;
        (ratios[way] ??= []).push(value);
      }
    }
    rows.push([
      workload,
      ...Object.values(ratios).map((values) => ratio(median(values))),
    ]);
  }
  printTable(
    "Fastest stream / SseEventStream, by the way it is read",
    ["workload", ...Object.keys(ways)],
    rows,
    options.markdown,
  );
}

/** A peer's time over ours is above 1 where ours is faster. */
const comparisons: { title: string; of: (round: Round) => number }[] = [
  {
    title: "connectSse / floor",
    of: (round) => round.connect_sse! / round.floor!,
  },
  {
    title: "fastest stream / connectSse",
    of: (round) => fastest(round, "stream", "iterator") / round.connect_sse!,
  },
  {
    title: "fastest peer / connectSse",
    of: (round) =>
      fastest(round, "stream", "iterator", "callback") / round.connect_sse!,
  },
  {
    title: "fastest stream / SseEventStream",
    of: (round) =>
      fastest(round, "stream", "iterator") / round.sse_event_stream!,
  },
  {
    title: "feed / SseDecoder",
    of: (round) => round.eventsource_parser_feed! / round.sse_decoder!,
  },
];

function fastest(round: Round, ...kinds: Kind[]): number {
  const times = Object.entries(contenders)
    .filter(([name, { kind }]) => kinds.includes(kind) && name in round)
    .map(([name]) => round[name]!);
  return times.length ? Math.min(...times) : NaN;
}
