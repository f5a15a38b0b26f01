/** How many bytes a program that imports this would ship. */
import { gzipSync } from "node:zlib";
import { printTable } from "./print.ts";
import type { Options } from "./table.ts";

const root = new URL("../../", import.meta.url);
const config = new URL("./deno.json", import.meta.url).pathname;

const entries = [
  ["mod.ts", `export * from "${new URL("mod.ts", root)}";`],
  [
    "SseEventStream alone",
    `export { SseEventStream } from "${new URL("mod.ts", root)}";`,
  ],
  [
    "sseResponse alone",
    `export { sseResponse } from "${new URL("mod.ts", root)}";`,
  ],
  ["event logs", `export * from "${new URL("src/event_logs.ts", root)}";`],
  ["eventsource-parser/stream", `export * from "eventsource-parser/stream";`],
];

export async function size({ markdown }: Options) {
  const rows = [];
  for (const [name, code] of entries) {
    const bundled = await bundle(code);
    const gzipped = gzipSync(bundled, { level: 9 });
    rows.push([
      name,
      bundled.length.toLocaleString("en"),
      gzipped.length.toLocaleString("en"),
    ]);
  }
  printTable(
    "Size in bytes, bundled with `deno bundle --minify`",
    ["entry", "minified", "gzip -9"],
    rows,
    markdown,
  );
}

/** An entry of its own, so that nothing unused is shipped with it. */
async function bundle(code: string): Promise<Uint8Array<ArrayBuffer>> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, code);
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          "bundle",
          "--quiet",
          "--minify",
          "--platform=browser",
          `--config=${config}`,
          entry,
        ],
      },
    ).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return stdout;
  } finally {
    await Deno.remove(entry);
  }
}
