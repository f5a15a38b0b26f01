/** The runtimes that the command-line tool is tested on. */
import { output } from "../runtimes/install.ts";
import type { CliRuntime } from "./program.ts";

export const deno: CliRuntime = {
  name: "Deno",
  command: (permissions) => [
    Deno.execPath(),
    "run",
    "--no-prompt",
    ...permissions,
    "src/cli.ts",
  ],
};

/** Returns a runtime that starts the tool as the npm package does. */
export async function npmRuntime(
  name: string,
  binary: string,
): Promise<CliRuntime> {
  const script = await (bin ??= writeBin());
  return { name, command: () => [binary, script] };
}

let bin: Promise<string> | undefined;

/** Bundles the tool as JavaScript, once in a process. */
async function writeBin(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "cli-" });
  addEventListener(
    "unload",
    () => Deno.removeSync(directory, { recursive: true }),
  );
  await output(Deno.execPath(), [
    ...["bundle", "--quiet", "--no-check", `--output=${directory}/cli.mjs`],
    new URL("../../src/cli.ts", import.meta.url).pathname,
  ]);
  await Deno.writeTextFile(
    `${directory}/bin.mjs`,
    `import { main } from "./cli.mjs";
process.exit(await main(process.argv.slice(2)));
`,
  );
  return `${directory}/bin.mjs`;
}
