/**
 * Prints the size of each FILE as each bundler writes it, minified, in bytes:
 * `node tests/npm/bundle.mjs FILE…`. Run on Node, for which the bundlers are made.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

// `deno check` looks for imports in the deno.json of the repository.
const require = createRequire(import.meta.url);
const nodeResolve = require("@rollup/plugin-node-resolve");
const esbuild = require("esbuild");
const { rollup } = require("rollup");
const vite = require("vite");
const webpack = require("webpack");

const minified = { format: "esm", minify: true };

/** Each returns the code of a bundle. */
const bundlers = {
  async esbuild(input) {
    const result = await esbuild.build({
      ...minified,
      bundle: true,
      entryPoints: [input],
      // It warns that a bare import has no effect.
      logLevel: "silent",
      write: false,
    });
    return result.outputFiles[0].text;
  },
  async rollup(input) {
    const bundle = await rollup({
      input,
      plugins: [nodeResolve()],
      // It warns that the bundle is empty.
      onLog: () => {},
    });
    const { output: [{ code }] } = await bundle.generate({ format: "es" });
    // Rollup does not minify.
    return (await esbuild.transform(code, minified)).code;
  },
  async vite(input) {
    const rolldownOptions = { input };
    const result = await vite.build({
      configFile: false,
      logLevel: "silent",
      build: { modulePreload: false, rolldownOptions, write: false },
    });
    return result.output[0].code;
  },
  async webpack(input) {
    const path = await mkdtemp(join(tmpdir(), "webpack-"));
    try {
      const options = { mode: "production", entry: input, output: { path } };
      await new Promise((resolve, reject) =>
        webpack(options, (error, stats) => {
          const failure = error ?? stats.compilation.errors[0];
          failure ? reject(failure) : resolve();
        })
      );
      return await readFile(join(path, "main.js"), "utf8");
    } finally {
      await rm(path, { recursive: true });
    }
  },
};

const sizes = {};
for (const [name, bundle] of Object.entries(bundlers)) {
  sizes[name] = [];
  for (const file of process.argv.slice(2)) {
    sizes[name].push(Buffer.byteLength((await bundle(file)).trim()));
  }
}
console.log(JSON.stringify(sizes));
