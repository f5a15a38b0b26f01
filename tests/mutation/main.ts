/**
 * Changes the module a little, time and again, and prints what no test noticed:
 * `deno task mutate [FILE …]`, with FILE as `decoder.ts` or `decoder.ts:100-200`.
 *
 * It takes hours for all files, so it is no part of what must pass.
 */

const root = new URL("../..", import.meta.url).pathname;

/** The tests that are to notice, of each file: the quick ones. */
const tests: Record<string, string[]> = {
  "decoder.ts": ["until", "comments", "event_stream", "decoder"],
  "event_stream.ts": ["event_stream", "comments"],
  "reconnect.ts": [
    "reconnect/policy",
    "resume",
    "reconnect/delay",
    "reconnect/callbacks",
  ],
  "exchange.ts": [
    "refusal",
    "timeout",
    "abort",
    "connection",
    "read_sse",
    "reconnect/callbacks",
  ],
  "connection.ts": [
    "connection",
    "comments",
    "timeout",
    "until",
    "abort",
    "on_open",
    "resume",
    "read_sse",
    "input",
    "last_event_id",
    "reconnect/call",
    "reconnect/callbacks",
    "reconnect/delay",
    "reconnect/random",
    "reconnect/race",
    "refusal",
    "connect",
  ],
};

const files = Deno.args.length > 0 ? Deno.args : Object.keys(tests);
const directory = await Deno.makeTempDir({ prefix: "mutation-" });
try {
  await run("bash", [
    "-c",
    "git ls-files -z --cached --others --exclude-standard |" +
    ' tar --null -T - -cf - | tar -xf - -C "$0"',
    directory,
  ], root);
  for (const file of files) await mutate(file);
} finally {
  await Deno.remove(directory, { recursive: true });
}

async function mutate(file: string): Promise<void> {
  const [name] = file.split(":");
  const paths = tests[name].map((test) => `tests/${test}_test.ts`);
  const config = {
    testRunner: "command",
    commandRunner: {
      command: "SSE_FUZZ_CASES=300 deno test -P -A --no-check --quiet " +
        "--fail-fast --import-map=tests/offline/import_map.json " +
        paths.join(" "),
    },
    mutate: [`src/${file}`],
    reporters: ["clear-text"],
    // What no message is read for.
    mutator: { excludedMutations: ["StringLiteral"] },
    concurrency: navigator.hardwareConcurrency,
    timeoutMS: 30_000,
    tempDirName: `${directory}/.stryker`,
  };
  await Deno.writeTextFile(
    `${directory}/stryker.json`,
    JSON.stringify(config),
  );
  await run("npx", [
    "--yes",
    "--package=@stryker-mutator/core@9.6.1",
    "stryker",
    "run",
    "stryker.json",
  ], directory);
}

/** Runs a command, and prints what it prints. */
async function run(
  command: string,
  args: string[],
  cwd: string,
): Promise<void> {
  const { success } = await new Deno.Command(command, { args, cwd }).spawn()
    .status;
  if (!success) throw new Error(`${command} failed`);
}
