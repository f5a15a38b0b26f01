// Runs `deno SUBCOMMAND ARGS`. If JSR cannot be reached, stand-ins from npm take
// the place of @std.

import { stripVTControlCharacters } from "node:util";
import config from "../../deno.json" with { type: "json" };
import importMap from "./import_map.json" with { type: "json" };

/** Returns whether each `jsr:` module that the import map replaces can be loaded. */
async function canLoadFromJsr(): Promise<boolean> {
  const packages: Record<string, string> = config.imports;
  const modules = Object.keys(importMap.imports).flatMap((name) => {
    const found = Object.keys(packages).find((it) =>
      name === it || name.startsWith(it + "/")
    );
    return found ? [packages[found] + name.slice(found.length)] : [];
  });
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--no-config", ...modules],
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(8000),
  }).spawn().status;
  return success;
}

/**
 * Copies the lines of a test report. Leaves out the dots of `--reporter=dot`,
 * each of which is a line of its own if stdout is not a terminal.
 */
async function printReport(
  report: ReadableStream<BufferSource>,
): Promise<void> {
  let partial = "";
  const print = (line: string) => {
    // Deno may color the dots also in a pipe.
    if (!/^[.,]?$/.test(stripVTControlCharacters(line))) console.log(line);
  };
  for await (const text of report.pipeThrough(new TextDecoderStream())) {
    const lines = (partial + text).split("\n");
    partial = lines.pop()!;
    lines.forEach(print);
  }
  print(partial);
}

const [subcommand, ...args] = Deno.args;
if (!await canLoadFromJsr()) {
  console.error("JSR cannot be reached: npm packages stand in for @std.");
  args.unshift(`--import-map=${import.meta.resolve("./import_map.json")}`);
}
const isPiped = subcommand === "test" && !Deno.stdout.isTerminal();
const child = new Deno.Command(Deno.execPath(), {
  args: [subcommand, ...args],
  // With `--parallel`: many tests wait for processes and timeouts, so that twice
  // as many workers as cores finish sooner.
  env: { DENO_JOBS: String(2 * navigator.hardwareConcurrency) },
  stdout: isPiped ? "piped" : "inherit",
}).spawn();
if (isPiped) await printReport(child.stdout);
const { code } = await child.status;
Deno.exit(code);
