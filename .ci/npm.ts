/**
 * Writes the folder that `npm publish` takes: `deno run -A .ci/npm.ts [FOLDER]`,
 * by default `npm`. `deno pack` makes JavaScript, declarations and most of
 * package.json from deno.json. This adds the fields that deno.json does not have.
 */
const root = new URL("../", import.meta.url).pathname;
const [folder = "npm"] = Deno.args;

const tarball = await Deno.makeTempFile({ suffix: ".tgz" });
try {
  // Source maps would contain the paths of the machine that builds the package.
  const options = ["--no-source-maps", "--allow-dirty", "--output", tarball];
  await run(Deno.execPath(), "pack", "--quiet", ...options);
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const path = await Deno.realPath(folder);
  await run("tar", "-xzf", tarball, "--strip-components=1", "-C", path);
} finally {
  await Deno.remove(tarball);
}

const [, description] = (await Deno.readTextFile(`${root}mod.ts`))
  .replaceAll(/\n \* /g, " ")
  .match(/^\/\*\* ([^]*?)\.\s/)!;
await edit("package.json", (text) => {
  const fields = {
    description: description.replaceAll("`", ""),
    keywords: ["sse", "server-sent-events", "eventsource", "fetch", "llm"],
    repository: { type: "git", url: "git+https://github.com/x/sse.git" },
    // The first version in which `require` loads ES modules.
    engines: { node: ">=20.19" },
    bin: { sse: "bin.js" },
    // A package with a scope is private by default.
    publishConfig: { access: "public" },
    // Without it, esbuild keeps classes that nothing uses.
    sideEffects: false,
  };
  return JSON.stringify({ ...JSON.parse(text), ...fields }, null, 2) + "\n";
});

// The command line reads its version from there.
await edit(
  "src/cli.js",
  (text) => text.replace("../deno.json", "../package.json"),
);
await Deno.writeTextFile(
  `${folder}/bin.js`,
  `#!/usr/bin/env node
import { main } from "./src/cli.js";
process.exit(await main(process.argv.slice(2)));
`,
);

async function edit(
  file: string,
  change: (text: string) => string,
): Promise<void> {
  const path = `${folder}/${file}`;
  await Deno.writeTextFile(path, change(await Deno.readTextFile(path)));
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success } = await new Deno.Command(command, {
    args,
    cwd: root,
    stdout: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
}
