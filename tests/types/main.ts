/**
 * Checks the type declarations of the module with the types of each environment
 * and the strictest compiler options: `deno run -A tests/types/main.ts`.
 */
import config from "../../deno.json" with { type: "json" };
import { output } from "../runtimes/install.ts";

const root = new URL("../..", import.meta.url).pathname;

/** Maps each environment to the options in the `tsconfig.json` of a program. */
const environments: Record<string, { lib: string[]; types: string[] }> = {
  "the DOM": {
    lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"],
    types: [],
  },
  "@types/node": { lib: ["esnext"], types: ["node"] },
  "a web worker": {
    lib: [
      "esnext",
      "webworker",
      "webworker.iterable",
      "webworker.asynciterable",
    ],
    types: [],
  },
  "@cloudflare/workers-types": {
    lib: ["esnext"],
    types: ["@cloudflare/workers-types"],
  },
};

const directory = await Deno.makeTempDir({ prefix: "types-" });
try {
  await output(Deno.execPath(), ["install", "--quiet"], {
    cwd: import.meta.dirname,
  });
  await Deno.symlink(
    `${import.meta.dirname}/node_modules`,
    `${directory}/node_modules`,
  );
  await declare();
  for (const [name, options] of Object.entries(environments)) {
    await check(options);
    console.log(`${name}: ok`);
  }
  await output(Deno.execPath(), [
    "check",
    "--no-config",
    import.meta.resolve("./beside_node.ts"),
  ]);
  console.log("Deno, beside @types/node: ok");
} finally {
  await Deno.remove(directory, { recursive: true });
}

/** Writes the declarations and the program, with its imports adjusted. */
async function declare(): Promise<void> {
  await tsc({
    compilerOptions: {
      rootDir: root,
      outDir: `${directory}/module`,
      declaration: true,
      emitDeclarationOnly: true,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: true,
      target: "esnext",
      module: "esnext",
      moduleResolution: "bundler",
      ...environments["the DOM"],
    },
    // The command line has declarations of Node.
    files: Object.values(config.exports)
      .filter((file) => file !== "./src/cli.ts")
      .map((file) => `${root}${file}`),
  });
  const program = await Deno.readTextFile(
    new URL("consumer.ts", import.meta.url),
  );
  await Deno.writeTextFile(
    `${directory}/program.ts`,
    program.replace(/"\.\.\/\.\.\/(.*)\.ts"/g, '"./module/$1.js"'),
  );
}

async function check(
  options: { lib: string[]; types: string[] },
): Promise<void> {
  await tsc({
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
      target: "esnext",
      module: "esnext",
      moduleResolution: "bundler",
      ...options,
    },
    files: [`${directory}/program.ts`],
  });
}

async function tsc(options: unknown): Promise<void> {
  const path = `${directory}/tsconfig.json`;
  await Deno.writeTextFile(path, JSON.stringify(options));
  await output(`${import.meta.dirname}/node_modules/.bin/tsc`, ["-p", path]);
}
