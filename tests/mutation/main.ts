/**
 * Makes small changes to the module, one at a time, and prints those that no
 * test notices: `deno task mutate [FILE …]`. FILE is one of the files below,
 * relative to `src/`, also with lines, as `read/parser.ts:100-200`.
 *
 * All files take hours, so this is not part of CI.
 */

const root = new URL("../..", import.meta.url).pathname;

/**
 * The tests that should notice changes to each file: the quick ones of its
 * folder.
 */
const tests: Record<string, string[]> = {
  "read/parser.ts": [
    "parser",
    "decoder",
    "decoder_end",
    "event_stream",
    "inbox",
  ],
  "read/string_builder.ts": ["string_builder", "decoder"],
  "read/event_stream.ts": ["event_stream"],
  "read/inbox.ts": [
    "inbox",
    "inbox_comments",
    "connection",
    "reconnect_resume",
    "reconnect_callbacks",
    "request_last_event",
    "connect_read_sse",
  ],
  "read/reconnect.ts": [
    "reconnect",
    "reconnect_causes",
    "reconnect_delay",
    "reconnect_restart",
    "reconnect_resume",
    "reconnect_callbacks",
  ],
  "read/request.ts": [
    "request",
    "request_body",
    "request_last_event_id",
    "request_options",
    "connect",
    "sse_fetch",
  ],
  "read/sse_fetch.ts": ["sse_fetch"],
  "read/exchange.ts": [
    "exchange",
    "refusal",
    "connect_read_sse",
    "connection",
    "connection_abort",
    "connection_cleanup",
    "reconnect_callbacks",
    "reconnect_restart",
    "sse_fetch",
  ],
  "read/connection.ts": [
    "connection",
    "connection_abort",
    "connection_cleanup",
    "connection_open",
    "connection_race",
    "connection_random",
    "connection_reconnect",
    "connection_reject",
    "connection_state",
    "connect",
    "connect_read_sse",
    "exchange",
    "inbox",
    "inbox_comments",
    "reconnect",
    "reconnect_callbacks",
    "reconnect_delay",
    "reconnect_restart",
    "reconnect_resume",
    "refusal",
    "request",
    "request_options",
  ],
  "write/encoder.ts": ["encoder", "../event_log/memory"],
  "write/response.ts": [
    "response",
    "response_function",
    "response_proxy",
    "response_send_timeout",
    "../event_log/memory",
  ],
  "write/subscription.ts": [
    "subscription",
    "response",
    "../event_log/memory",
  ],
  "event_log/memory.ts": ["memory"],
  "event_log/message.ts": ["memory", "stored"],
  "event_log/reader.ts": ["reader", "memory", "stored"],
  "event_log/record.ts": ["record", "memory", "stored"],
  "event_log/resume.ts": ["memory", "stored"],
  "event_log/stored.ts": ["stored", "reader", "sql"],
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
  if (!(name in tests)) {
    const known = Object.keys(tests).join(", ");
    throw new Error(`Expected one of ${known}, got ${name}`);
  }
  const [folder] = name.split("/");
  const paths = tests[name].map((test) => `tests/${folder}/${test}_test.ts`);
  const config = {
    testRunner: "command",
    commandRunner: { command: await commandOf(paths) },
    mutate: [`src/${file}`],
    reporters: ["clear-text"],
    // No test compares each word of a message.
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

/**
 * Returns the command that runs the tests. Those without a server run first: they
 * are fast, and notice most mutants. If a mutant never answers, they fail at once,
 * because no server keeps the process alive.
 */
async function commandOf(paths: string[]): Promise<string> {
  const inProcess: string[] = [];
  const others: string[] = [];
  for (const path of paths) {
    const hasServer = /support\/\w*_server\.ts/.test(
      await Deno.readTextFile(root + path),
    );
    (hasServer ? others : inProcess).push(path);
  }
  // A mutant that loops forever would outlive the shell that Stryker kills.
  const test = (paths: string[], seconds: number, flags = "") =>
    `TEST_SCALE=0.03 DENO_JOBS=4 timeout ${seconds} deno test -A --no-check ` +
    `--quiet --fail-fast --import-map=tests/offline/import_map.json ${flags} ` +
    paths.join(" ");
  return [
    ...inProcess.length > 0 ? [test(inProcess, 30)] : [],
    ...others.length > 0 ? [test(others, 60, "--parallel")] : [],
  ].join(" && ");
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
