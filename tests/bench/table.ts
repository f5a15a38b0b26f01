/**
 * Bytes in, events out: all contenders on all workloads.
 *
 * A workload has a process of its own, in which the contenders take turns, so
 * that the noise of the machine is the same for all of them. The minimum of many
 * repetitions is steady to about 3% on a quiet machine; a busy one needs more of
 * them, for example `--ms=2000`. Two things are not steady: the garbage of one
 * contender can be collected in the time of the next, and the engine compiles the
 * code of a stream for all contenders that use it. `--isolated` shows what they
 * contribute.
 *
 * Run by itself, as `table.ts WORKLOAD MS CONTENDER…`, it measures one workload.
 */
import { runChild } from "./child.ts";
import { type Contender, contenders } from "./contenders.ts";
import { type Options, printTable, ratio, threeDigits } from "./print.ts";
import { makeWorkload, workloadNames } from "./workloads.ts";

/** Nanoseconds a block by contender, for one workload. */
type Times = Record<string, number>;

if (import.meta.main) {
  const [workload, ms, ...names] = Deno.args;
  console.log(JSON.stringify(await measure(workload, Number(ms), names)));
}

/** Measures each contender for some milliseconds. */
async function measure(
  workloadName: string,
  ms: number,
  names: string[],
): Promise<Times> {
  const workload = makeWorkload(workloadName);
  const expected = JSON.stringify(workload.tally);
  for (const name of names) {
    const found = JSON.stringify(await contenders[name].read(workload));
    if (found !== expected) {
      throw new Error(
        `Expected ${expected} in "${workloadName}", ${name} found ${found}`,
      );
    }
  }
  const times: Times = {};
  const spent: Times = {};
  let pending = names;
  while (pending.length > 0) {
    for (const name of pending) {
      const start = performance.now();
      await contenders[name].read(workload);
      const time = performance.now() - start;
      spent[name] = (spent[name] ?? 0) + time;
      const ns = time * 1e6 / workload.blocks;
      times[name] = Math.min(times[name] ?? Infinity, ns);
    }
    // In random order, as a contender may pay for the garbage of the one before.
    pending = pending.filter((name) => spent[name] < ms)
      .toSorted(() => Math.random() - 0.5);
  }
  return times;
}

export async function table(options: Options) {
  const { rounds, ms, isolated, markdown, contender, workload } = options;
  const names = Object.keys(contenders).filter(contender);
  const processes = isolated ? names.map((name) => [name]) : [names];
  const rows: [name: string, times: Times][] = [];
  for (const name of workloadNames.filter(workload)) {
    const times: Times = {};
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1}/${rounds}: ${name}`);
      for (const group of processes) {
        const found = await runChild<Times>("table.ts", name, ms, ...group);
        for (const [contender, ns] of Object.entries(found)) {
          times[contender] = Math.min(times[contender] ?? Infinity, ns);
        }
      }
    }
    rows.push([name, times]);
  }

  // The other ways to read a stream are in the table of ratios alone.
  const shown = names.filter((name) => !name.endsWith(")"));
  printTable(
    "Nanoseconds an event (with heartbeats: an event or comment): less is better",
    ["workload", ...shown],
    rows.map(([workload, times]) => [
      workload,
      ...shown.map((name) => threeDigits(times[name])),
    ]),
    markdown,
  );
  printTable(
    "The fastest peer's time as a multiple of ours: more is better",
    ["workload", ...comparisons.map(({ title }) => title)],
    rows.map(([workload, times]) => [
      workload,
      ...comparisons.map(({ of }) => ratio(of(times))),
    ]),
    markdown,
  );
}

/** The shortest time among peers of some kinds, read in one way. */
function fastest(times: Times, kinds: Contender["kind"][], way = ""): number {
  const names = Object.keys(times).filter((name) =>
    kinds.includes(contenders[name].kind) &&
    (way === "" ? !name.endsWith(")") : name.endsWith(way))
  );
  return Math.min(...names.map((name) => times[name]));
}

const comparisons: { title: string; of: (times: Times) => number }[] = [
  {
    title: "connectSse: streams",
    of: (times) => fastest(times, ["stream"]) / times.connectSse,
  },
  {
    title: "connectSse: all",
    of: (times) => fastest(times, ["stream", "callback"]) / times.connectSse,
  },
  {
    title: "connectSse: floor",
    of: (times) => times.floor / times.connectSse,
  },
  {
    title: "SseEventStream",
    of: (times) => fastest(times, ["stream"]) / times.SseEventStream,
  },
  ...["getReader()", "pipeTo()"].map((way) => ({
    title: way,
    of: (times: Times) =>
      fastest(times, ["stream"], way) / times[`SseEventStream ${way}`],
  })),
  {
    title: "SseDecoder: feed",
    of: (times) => fastest(times, ["push"]) / times.SseDecoder,
  },
];
