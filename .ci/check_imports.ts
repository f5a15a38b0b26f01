/**
 * Checks the imports of the module: `deno run -A .ci/check_imports.ts [ROOT]`.
 * The rules are those of .github/ARCHITECTURE.md.
 */

interface Import {
  from: string;
  to: string;
}

/** May import `node:` modules, and `deno.json` for the version. */
const CLI = "src/cli.ts";

if (import.meta.main) {
  const broken = await checkModule(Deno.args[0] ?? ".");
  for (const message of broken) console.error(message);
  console.log(`${broken.length} imports or globals break a rule`);
  if (broken.length > 0) Deno.exit(1);
}

/** Returns the violations in the checkout at `path`. */
export async function checkModule(path: string): Promise<string[]> {
  const root = await Deno.realPath(path);
  const config = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
  const entryPoints = Object.values<string>(config.exports)
    .map((path) => path.slice("./".length));
  const files = await sourceFiles(root);
  return [
    ...checkImports(await readImports(root, files), entryPoints),
    ...await checkGlobals(root, files),
  ];
}

async function sourceFiles(root: string): Promise<string[]> {
  const { stdout } = await run("find", `${root}/src`, "-name", "*.ts");
  const paths = stdout.trim().split("\n");
  return ["mod.ts", ...paths.map((path) => path.slice(root.length + 1))];
}

/** Reads the imports of all files, also those of types alone. */
async function readImports(root: string, files: string[]): Promise<Import[]> {
  const all = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = files.map((file) => `import "file://${root}/${file}";\n`);
    await Deno.writeTextFile(all, lines.join(""));
    const { stdout } = await run("deno", "info", "--json", all);
    const { modules } = JSON.parse(stdout) as {
      modules: {
        specifier: string;
        dependencies?: {
          code?: { specifier: string };
          type?: { specifier: string };
        }[];
      }[];
    };
    const nameOf = (specifier: string) =>
      specifier.replace(`file://${root}/`, "");
    return modules.flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map(({ code, type }) => ({
        from: nameOf(specifier),
        to: nameOf((code ?? type)!.specifier),
      }))
    ).filter(({ from }) => files.includes(from));
  } finally {
    await Deno.remove(all);
  }
}

/** The folder that a file belongs to: an import points to the same or down. */
function folderOf(
  file: string,
  entryPoints: string[],
): { name: string; level: number } {
  if (entryPoints.includes(file)) return { name: "entry points", level: 4 };
  const name = file.split("/").slice(0, -1).join("/");
  switch (name) {
    case "src/internal":
      return { name, level: 0 };
    case "src":
      return { name, level: 1 };
    case "src/read":
    case "src/write":
      return { name, level: 2 };
    default:
      return { name, level: 3 };
  }
}

function checkImports(imports: Import[], entryPoints: string[]): string[] {
  const broken: string[] = [];
  for (const { from, to } of imports) {
    const above = folderOf(from, entryPoints);
    const below = folderOf(to, entryPoints);
    const fail = (rule: string) => broken.push(`${from} -> ${to}: ${rule}`);
    if (from === CLI && (to.startsWith("node:") || to === "deno.json")) {
      continue;
    }
    if (!to.startsWith("src/")) {
      fail("the module has no dependencies");
    } else if (entryPoints.includes(to)) {
      fail("nothing imports the file of an entry point");
    } else if (above.name === "src/internal") {
      if (below.name !== "src/internal") fail("internal/ imports only itself");
    } else if (above.name === "src/event_log" && below.name === "src/read") {
      fail("event_log/ does not import read/");
    } else if (above.level < below.level && below.name === "src/event_log") {
      fail("read/ and write/ do not import event_log/");
    } else if (above.level < below.level) {
      fail("an import points down");
    } else if (above.level === below.level && above.name !== below.name) {
      fail("folders of the same level do not import each other");
    }
  }
  for (const circle of circles(imports)) {
    broken.push(`${circle.join(" -> ")}: no circles`);
  }
  return broken;
}

/** The circles of imports, each once. */
function circles(imports: Import[]): string[][] {
  const found: string[][] = [];
  const visited = new Set<string>();
  function visit(file: string, path: string[]) {
    const start = path.indexOf(file);
    if (start >= 0) found.push([...path.slice(start), file]);
    if (visited.has(file)) return;
    visited.add(file);
    for (const { from, to } of imports) {
      if (from === file) visit(to, [...path, file]);
    }
  }
  for (const { from } of imports) visit(from, []);
  return found;
}

/** Checks the types with the library of a browser, without `Deno` and Node's. */
async function checkGlobals(
  root: string,
  files: string[],
): Promise<string[]> {
  const config = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const lib = ["esnext", "dom", "dom.iterable", "dom.asynciterable"];
    await Deno.writeTextFile(
      config,
      JSON.stringify({
        compilerOptions: { lib, exactOptionalPropertyTypes: true },
      }),
    );
    const broken: string[] = [];
    // An import of `node:` declares Node's globals for all files of a check.
    for (const group of [files.filter((file) => file !== CLI), [CLI]]) {
      const paths = group.map((file) => `${root}/${file}`);
      const { success, stderr } = await run(
        "deno",
        "check",
        `--config=${config}`,
        ...paths,
      );
      const faults = stderr.replace(/^Check .*\n/gm, "");
      if (success) continue;
      broken.push(`src/ uses web-platform globals only:\n${faults}`);
    }
    return broken;
  } finally {
    await Deno.remove(config);
  }
}

async function run(command: string, ...args: string[]) {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return {
    success,
    stdout: text.decode(stdout),
    stderr: text.decode(stderr),
  };
}
