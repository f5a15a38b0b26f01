/** The runtimes: how to install each of them, and how to run the suite in it. */
import { chromium, installFromNpm, output } from "./install.ts";
import type { Context } from "./protocol.ts";
import { checkSignalMemory } from "./signal_memory.ts";
import { runWorkerExample } from "./worker_example.ts";

export interface Runtime {
  /** A column of the table. */
  name: string;
  browser?: boolean;
  /** Installs the runtime if needed. Returns the path of its binary. */
  install(): Promise<string | URL>;
  /**
   * Writes the files that the runtime needs into the directory, which contains
   * `suite.mjs`. Returns the arguments for the binary.
   */
  prepare(run: Run): Promise<string[]> | string[];
  /** An additional test of this runtime, with a row of its own. */
  extra?: {
    row: string;
    run(binary: string | URL, run: Run): Promise<void>;
  };
}

interface Run {
  version: string;
  directory: string;
  context: Context;
  /** The URL of a page that runs the suite. */
  page: string;
}

export const runtimes: Runtime[] = [
  {
    name: "Deno",
    install: () => Promise.resolve(Deno.execPath()),
    prepare: async (run) => [
      "run",
      "--no-config",
      "--no-prompt",
      "--allow-net=127.0.0.1",
      await writeScript(run),
    ],
  },
  {
    name: "Node 22",
    install: () => fromNpm("node22/bin/node"),
    prepare: async (run) => [await writeScript(run)],
    extra: {
      row: "10⁵ connections with one signal leak no memory",
      run: (binary, { directory }) => checkSignalMemory(binary, directory),
    },
  },
  {
    name: "Node 24",
    install: () => fromNpm("node24/bin/node"),
    prepare: async (run) => [await writeScript(run)],
  },
  {
    name: "Bun",
    install: () => fromNpm("bun/bin/bun"),
    prepare: async (run) => ["run", await writeScript(run)],
  },
  {
    name: "workerd",
    install: () => fromNpm("workerd/bin/workerd"),
    // Its version is the newest compatibility date that it supports.
    prepare: (run) => writeWorker(run, run.version),
    extra: {
      row: "examples/worker.ts",
      run: (binary, { directory, version }) =>
        runWorkerExample(binary, directory, version),
    },
  },
  {
    // With this compatibility date or an older one, the option `cache` of a request
    // throws.
    name: "workerd 2024-11-10",
    install: () => fromNpm("workerd/bin/workerd"),
    prepare: (run) => writeWorker(run, "2024-11-10"),
    extra: {
      row: "examples/worker.ts",
      run: (binary, { directory }) =>
        runWorkerExample(binary, directory, "2024-11-10"),
    },
  },
  {
    name: "Chromium",
    browser: true,
    install: chromium,
    prepare: ({ directory, page }) => [
      // Chromium refuses to run as root with a sandbox. It loads only our page.
      "--no-sandbox",
      "--disable-background-networking",
      `--user-data-dir=${directory}/chromium`,
      page,
    ],
  },
];

/** Returns the version that the binary prints. */
export async function versionOf(binary: string | URL): Promise<string> {
  const text = await output(binary, ["--version"]);
  return text.match(/\d[\d.-]*/)?.[0] ?? text.trim();
}

let installed: Promise<void> | undefined;

/**
 * Returns the URL of a file of a package in `deno.json`. The first call installs
 * all packages.
 */
async function fromNpm(path: string): Promise<URL> {
  await (installed ??= installFromNpm());
  return new URL(import.meta.resolve(path));
}

async function writeScript({ directory, context }: Run): Promise<string> {
  const path = `${directory}/start.mjs`;
  await Deno.writeTextFile(
    path,
    `import { run } from "./suite.mjs";
await run(${JSON.stringify(context)});
`,
  );
  return path;
}

async function writeWorker(
  { directory, context }: Run,
  compatibilityDate: string,
): Promise<string[]> {
  const path = `${directory}/config.capnp`;
  await Deno.writeTextFile(
    `${directory}/worker.mjs`,
    `import { run } from "./suite.mjs";
export default { test: () => run(${JSON.stringify(context)}) };
`,
  );
  await Deno.writeTextFile(
    path,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [
        (name = "worker.mjs", esModule = embed "worker.mjs"),
        (name = "suite.mjs", esModule = embed "suite.mjs"),
      ],
      compatibilityDate = "${compatibilityDate}")),
    (name = "internet", network = (allow = ["local"])),
  ],
);
`,
  );
  return ["test", path];
}
