/**
 * The benchmarks: `deno task bench [BENCHMARK] [OPTIONS]`. BENCHMARK is one of
 *
 * - `table` (the default): bytes in, events out, against peers and the floor;
 * - `size`: bytes of the bundled module;
 * - `http`: events over loopback HTTP;
 * - `connections`: many idle connections at once;
 * - `broadcast`: a message to many clients of an event log over HTTP;
 * - `slow-clients`: the memory that slow clients take;
 * - `redis`: messages through Redis and back;
 * - `sql`: messages through SQLite and PostgreSQL, beside bare statements;
 * - `all` of them.
 *
 * `--rounds=5` sets how often each is measured, and `--ms=500` how long a
 * contender of the table is measured in a round. `--only=connectSse,floor` and
 * `--workload=LLM,CRLF` select contenders and workloads by the start of their
 * names. `--isolated` gives each contender of the table a process of its own.
 * `--markdown` prints Markdown. Only `size` can fail.
 */
import { parseArgs } from "node:util";
import { broadcast } from "./broadcast.ts";
import { connections } from "./connections.ts";
import { http } from "./http.ts";
import type { Options } from "./print.ts";
import { redis } from "./redis.ts";
import { size } from "./size.ts";
import { slowClients } from "./slow_clients.ts";
import { sql } from "./sql.ts";
import { table } from "./table.ts";

const commands: Record<string, (options: Options) => Promise<void>> = {
  table,
  size,
  http,
  connections,
  broadcast,
  "slow-clients": slowClients,
  redis,
  sql,
};

const { values, positionals } = parseArgs({
  args: Deno.args.filter((arg) => arg !== "--"),
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    ms: { type: "string", default: "500" },
    only: { type: "string", default: "" },
    workload: { type: "string", default: "" },
    isolated: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
  },
});
const options: Options = {
  rounds: Number(values.rounds),
  ms: Number(values.ms),
  isolated: values.isolated,
  markdown: values.markdown,
  contender: startsWithOneOf(values.only),
  workload: startsWithOneOf(values.workload),
};

const [benchmark = "table"] = positionals;
if (benchmark !== "all" && !(benchmark in commands)) {
  const names = Object.keys(commands).join(", ");
  console.error(`Expected one of ${names} or all, got ${benchmark}`);
  Deno.exit(2);
}
for (const [name, command] of Object.entries(commands)) {
  if (name === benchmark || benchmark === "all") await command(options);
}

function startsWithOneOf(list: string) {
  const starts = list.toLowerCase().split(",");
  return (name: string) =>
    starts.some((start) => name.toLowerCase().startsWith(start));
}
