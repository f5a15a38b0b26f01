/**
 * Checks the npm package: `deno run -A tests/npm/main.ts`. Builds it, installs the
 * tarball in a new project, and uses it there on Node and Bun, with TypeScript and
 * with bundlers.
 */
import config from "../../deno.json" with { type: "json" };
import { installFromNpm, output } from "../runtimes/install.ts";
import { binaryOf } from "../support/runtime_binary.ts";

/** Maximum size of a bundle that imports only `encodeSse`, in bytes. */
const MAX_ENCODE_SIZE = 1400;

const root = new URL("../..", import.meta.url).pathname;
const tools = `${import.meta.dirname}/node_modules`;
const directory = await Deno.makeTempDir({ prefix: "npm-" });
const project = `${directory}/project`;

/** Maps the name of each entry point to its file. */
const entryPoints = Object.entries(config.exports)
  .map(([name, file]) => [name.replace(".", config.name), file]);
/** The names of those that a program imports. */
const modules = entryPoints.map(([name]) => name)
  .filter((name) => !name.endsWith("/cli"));

try {
  await Promise.all([
    installFromNpm(),
    output(Deno.execPath(), ["install", "--quiet"], {
      cwd: import.meta.dirname,
    }),
  ]);
  const tarball = await pack();
  await install(tarball);
  await Promise.all([
    checkPackage(tarball),
    checkRuntimes(),
    checkTypes(),
    checkBundlers(),
  ]);
} finally {
  await Deno.remove(directory, { recursive: true });
}

/** Makes what `npm publish` uploads. Returns its path. */
async function pack(): Promise<string> {
  const folder = `${directory}/package`;
  await output(Deno.execPath(), ["run", "-A", `${root}.ci/npm.ts`, folder]);
  const args = ["pack", "--json", "--pack-destination", directory, folder];
  const [{ filename, size }] = JSON.parse(await output("npm", args));
  console.log(`${filename}: ${size.toLocaleString("en")} bytes`);
  return `${directory}/${filename}`;
}

async function checkPackage(tarball: string): Promise<void> {
  const text = await output("tar", ["-xzOf", tarball]);
  if (text.includes(root) || text.includes("sourceMappingURL")) {
    throw new Error(`Expected a package without source maps and ${root}`);
  }
  await run(`${tools}/publint/src/cli.js`, ["run", "--strict", tarball]);
  // The package has ES modules only.
  const attw = `${tools}/@arethetypeswrong/cli/dist/index.js`;
  await run(attw, ["--profile", "esm-only", tarball]);
  console.log("publint, @arethetypeswrong/cli: ok");
}

async function install(tarball: string): Promise<void> {
  await Deno.mkdir(project);
  await write("package.json", '{ "private": true, "type": "module" }');
  const options = ["--offline", "--no-audit", "--no-fund", "--silent"];
  await output("npm", ["install", ...options, tarball], { cwd: project });
  await Deno.symlink(`${tools}/@types`, `${project}/node_modules/@types`);
}

/** Imports each entry point and reads a stream, with `import` and `require`. */
async function checkRuntimes(): Promise<void> {
  const use = `
    const { connectSse, sseResponse, MemoryEventLog, record } =
      Object.assign({}, ...modules);
    const log = new MemoryEventLog();
    const fetch = () => sseResponse([{ data: "1" }, { data: "2" }]);
    await record(log, await connectSse("http://in.process/", { fetch }));
    let text = "";
    for await (const { data } of log.read("")) text += data;
    console.log(modules.length, text);
  `;
  const names = JSON.stringify(modules);
  await write(
    "program.mjs",
    `const modules = await Promise.all(${names}.map((it) => import(it)));
    ${use}`,
  );
  await write(
    "program.cjs",
    `const modules = ${names}.map((it) => require(it));
    (async () => {${use}})();`,
  );
  for (const runtime of ["Node 20", "Node 22", "Node 24", "Bun"] as const) {
    const binary = await binaryOf(runtime);
    const sse = ["node_modules/.bin/sse", "--version"];
    const version = await output(binary, sse, { cwd: project });
    if (version !== `sse ${config.version}\n`) {
      throw new Error(`${runtime} printed as the version: ${version}`);
    }
    for (const program of ["program.mjs", "program.cjs"]) {
      const printed = await output(binary, [program], { cwd: project });
      if (printed !== `${modules.length} 12\n`) {
        throw new Error(`${runtime} printed for ${program}: ${printed}`);
      }
    }
    console.log(`${runtime}: ok`);
  }
}

/** Compiles the program of `tests/types` with the package's declarations. */
async function checkTypes(): Promise<void> {
  let program = await Deno.readTextFile(
    new URL("../types/consumer.ts", import.meta.url),
  );
  for (const [name, file] of entryPoints) {
    program = program.replace(file.replace("./", "../../"), name);
  }
  await write("consumer.ts", program);
  let imported = "";
  let required = "";
  for (const [i, [name]] of entryPoints.entries()) {
    imported += `export * as m${i} from "${name}";\n`;
    required += `export import m${i} = require("${name}");\n`;
  }
  await write("imported.ts", imported);
  await write("required.cts", required);
  for (const typescript of ["typescript5", "typescript6"]) {
    const tsc = new URL(import.meta.resolve(`${typescript}/bin/tsc`)).pathname;
    const resolutions = ["nodenext", "node16", "bundler"];
    await Promise.all(resolutions.map(async (moduleResolution) => {
      const files = ["consumer.ts", "imported.ts"];
      // With "node16", `require` cannot load ES modules.
      if (moduleResolution === "nodenext") files.push("required.cts");
      const compilerOptions = {
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true,
        target: "esnext",
        lib: ["esnext"],
        types: ["node"],
        module: moduleResolution === "bundler" ? "esnext" : moduleResolution,
        moduleResolution,
      };
      const options = JSON.stringify({ compilerOptions, files });
      await write(`${moduleResolution}.json`, options);
      await run(tsc, ["--project", `${moduleResolution}.json`]);
    }));
    console.log(`${typescript}, ${resolutions.join(", ")}: ok`);
  }
}

async function checkBundlers(): Promise<void> {
  await write(
    "bare.mjs",
    modules.map((name) => `import "${name}";\n`).join(""),
  );
  await write(
    "encode.mjs",
    `import { encodeSse } from "${config.name}";\nconsole.log(encodeSse);\n`,
  );
  const files = [`${project}/bare.mjs`, `${project}/encode.mjs`];
  const printed = await output("node", [
    `${import.meta.dirname}/bundle.mjs`,
    ...files,
  ]);
  const sizes: Record<string, [number, number]> = JSON.parse(printed);
  for (const [bundler, [bare, encode]] of Object.entries(sizes)) {
    console.log(`${bundler}: ${bare} bytes unused, ${encode} for encodeSse`);
    if (bare > 0 || encode > MAX_ENCODE_SIZE) {
      throw new Error(`Expected at most 0 and ${MAX_ENCODE_SIZE} bytes`);
    }
  }
}

async function write(file: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${project}/${file}`, text);
}

/** Runs a program of a package in the project. */
async function run(path: string, args: string[]): Promise<void> {
  await output("node", [path, ...args], { cwd: project });
}
