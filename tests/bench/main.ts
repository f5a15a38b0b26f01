/**
 * The benchmarks. `deno task bench [WHAT] [OPTIONS]`, with WHAT one of
 *
 * - `table` (the default): bytes in, events out, against peers and the floor;
 * - `streams`: the same, by each way to read a stream;
 * - `size`: bytes of the bundled module;
 * - `http`: events over loopback HTTP;
 * - `connections`: many idle connections at once;
 * - `broadcast`: a message to many clients of an event log;
 * - `redis`: messages through Redis and back;
 * - `all` of them.
 *
 * `--rounds=5` and `--ms=200` say how long to measure; `--only=connectSse,floor`
 * and `--workload=LLM,CRLF` pick contenders and workloads by the start of their
 * names; `--markdown` prints Markdown. Nothing here passes or fails: it prints.
 */
import { parseArgs } from "node:util";
import { broadcast } from "./broadcast.ts";
import { connections } from "./connections.ts";
import { http } from "./http.ts";
import { redis } from "./redis.ts";
import { size } from "./size.ts";
import type { Options } from "./print.ts";
import { table } from "./table.ts";

const commands: Record<string, (options: Options) => Promise<void>> = {
  table,
  size,
  http,
  connections,
  broadcast,
  redis,
};

const { values, positionals } = parseArgs({
  args: Deno.args.filter((arg) => arg !== "--"),
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    ms: { type: "string", default: "200" },
    only: { type: "string", default: "" },
    workload: { type: "string", default: "" },
    markdown: { type: "boolean", default: false },
  },
});
const options: Options = {
  rounds: Number(values.rounds),
  ms: Number(values.ms),
  markdown: values.markdown,
  contender: startsWithOneOf(values.only),
  workload: startsWithOneOf(values.workload),
};

const [what = "table"] = positionals;
if (what !== "all" && !(what in commands)) {
  console.error(`${what}: not one of ${Object.keys(commands).join(", ")}, all`);
  Deno.exit(2);
}
for (const [name, command] of Object.entries(commands)) {
  if (name === what || what === "all") await command(options);
}

function startsWithOneOf(list: string) {
  const starts = list.toLowerCase().split(",");
  return (name: string) =>
    starts.some((start) => name.toLowerCase().startsWith(start));
}
