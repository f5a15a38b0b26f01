/** How many bytes a program that imports this would ship. */
import { gzipSync } from "node:zlib";
import { printTable } from "./print.ts";
import type { Options } from "./print.ts";

const root = new URL("../../", import.meta.url);

/** What is imported from where, and how many bytes it may be at most. */
const entries: [title: string, code: string, most?: number][] = [
  ["connectSse", from("connectSse", "mod.ts"), 8000],
  [
    "connectSse and sseFetch",
    from("connectSse, sseFetch", "mod.ts"),
    8500,
  ],
  ["readSse", from("readSse", "mod.ts"), 7100],
  ["sseFetch", from("sseFetch", "mod.ts")],
  ["SseEventStream", from("SseEventStream", "mod.ts"), 2250],
  ["SseDecoder", from("SseDecoder", "mod.ts"), 2250],
  ["sseResponse", from("sseResponse", "mod.ts"), 2300],
  ["EventSource", from("EventSource", "src/event_source.ts"), 10150],
  ["MemoryEventLog, resume", from("*", "src/event_log/mod.ts")],
  ["RedisEventLog", fromLog("Redis", "redis.ts")],
  ["KvEventLog", from("KvEventLog", "src/event_log/kv.ts")],
  ["SqlEventLog", fromLog("Sql", "sql.ts"), 8000],
  ["SseScript", from("SseScript", "src/testing.ts"), 2048],
  ["typedEvents", from("typedEvents", "src/typed_events.ts")],
  [
    "eventsource-parser/stream",
    `export * from "npm:eventsource-parser@4.1.3/stream";`,
  ],
];

function from(name: string, file: string): string {
  const what = name === "*" ? "{ MemoryEventLog, resume }" : `{ ${name} }`;
  return `export ${what} from "${new URL(file, root)}";`;
}

function fromLog(name: string, file: string): string {
  return from(`${name}Connection, ${name}EventLog`, `src/event_log/${file}`);
}

/** Prints the sizes; exits with 1 where one is more than it may be. */
export async function size({ markdown }: Options) {
  const rows = [];
  for (const [title, code, most] of entries) {
    const bundled = await bundle(code);
    const { length } = gzipSync(bundled, { level: 9 });
    rows.push([
      title,
      bundled.length.toLocaleString("en"),
      length.toLocaleString("en"),
      most?.toLocaleString("en") ?? "",
    ]);
    if (most !== undefined && length > most) Deno.exitCode = 1;
  }
  printTable(
    "Size in bytes of what is imported, bundled with `deno bundle --minify`",
    ["import", "minified", "gzip -9", "at most"],
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
        args: ["bundle", "--quiet", "--minify", "--platform=browser", entry],
      },
    ).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return stdout;
  } finally {
    await Deno.remove(entry);
  }
}
