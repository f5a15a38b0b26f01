// Runs `deno SUBCOMMAND ARGS`, and where JSR cannot be reached puts stand-ins
// from npm in the place of @std.

import config from "../../deno.json" with { type: "json" };
import importMap from "./import_map.json" with { type: "json" };

/** Whether every `jsr:` module that the import map replaces can be loaded. */
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

const [subcommand, ...args] = Deno.args;
if (!await canLoadFromJsr()) {
  console.error("JSR cannot be reached: npm packages stand in for @std.");
  args.unshift(`--import-map=${import.meta.resolve("./import_map.json")}`);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: [subcommand, ...args],
}).spawn().status;
Deno.exit(code);
