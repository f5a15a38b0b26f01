/**
 * Runs one suite on every runtime, and prints a table of runtimes by cases:
 * `deno run -A tests/runtimes/main.ts`.
 *
 * Installs runtimes from the npm registry, below this directory. Chromium has to
 * be installed. A runtime that is missing is reported as not run. With `CI=true`
 * on Linux that is a failure.
 */
import { Fixture } from "./fixture.ts";
import { output } from "./install.ts";
import { type Runtime, runtimes, versionOf } from "./runtimes.ts";
import { all, casesFor } from "./suite.ts";

/** Timeout of a runtime, in milliseconds. */
const DEADLINE = 60_000;

/** Time for the process to exit after the last case, in milliseconds. */
const EXIT_TIMEOUT = 5000;

/** A row that the suite cannot test itself. */
const EXITS = "the process exits by itself";

const NO_RESULT = "No result was received";

/** The result of one runtime. */
interface Outcome {
  name: string;
  /** The reason if the runtime was not run. */
  notRun?: string;
  /** Maps each case to its error message, or to `""` if it passed. */
  errors: Map<string, string>;
  /** The output of the process, if the run was not complete. */
  printed?: string;
}

const directory = await Deno.makeTempDir({ prefix: "runtimes-" });
try {
  await bundle();
  await using fixture = await Fixture.listen(
    await Deno.readTextFile(`${directory}/suite.mjs`),
  );
  const outcomes: Outcome[] = [];
  for (const runtime of runtimes) outcomes.push(await test(runtime, fixture));
  Deno.exitCode = report(outcomes);
} finally {
  await Deno.remove(directory, { recursive: true });
}

/** Bundles the suite and the module into one file. */
async function bundle(): Promise<void> {
  await output(Deno.execPath(), [
    "bundle",
    "--quiet",
    `--output=${directory}/suite.mjs`,
    import.meta.resolve("./suite.ts"),
  ]);
}

async function test(runtime: Runtime, fixture: Fixture): Promise<Outcome> {
  const { name, browser = false } = runtime;
  let binary: string | URL;
  let version: string;
  try {
    binary = await runtime.install();
    version = await versionOf(binary);
  } catch (error) {
    return { name, notRun: String(error), errors: new Map() };
  }
  console.log(`${name}: version ${version}`);

  const { origin, crossOrigin, closedOrigin } = fixture;
  const context = { runtime: name, origin, crossOrigin, closedOrigin, browser };
  const page = fixture.page(context);
  const run = { version, directory, context, page };
  const args = await runtime.prepare(run);
  const child = new Deno.Command(binary, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  const cases = casesFor(context);
  const errors = new Map<string, string>();
  let stopped = false;
  const stop = () => {
    stopped = true;
    child.kill();
  };
  let timer = setTimeout(stop, DEADLINE);
  fixture.onResult = ({ name, error = "" }) => {
    errors.set(name, error);
    if (errors.size < cases.length) return;
    clearTimeout(timer);
    // A program exits by itself, but a browser stays open.
    if (browser) stop();
    else timer = setTimeout(stop, EXIT_TIMEOUT);
  };
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);

  let isComplete = errors.size === cases.length;
  for (const { name } of cases) {
    if (!errors.has(name)) errors.set(name, NO_RESULT);
  }
  if (!browser) {
    if (stopped) errors.set(EXITS, "The process had to be killed");
    else errors.set(EXITS, code === 0 ? "" : `The exit status is ${code}`);
    isComplete &&= errors.get(EXITS) === "";
  }
  if (runtime.extra) {
    const { row, run: runExtra } = runtime.extra;
    const ran = runExtra(binary, run);
    errors.set(row, await ran.then(() => "", (error) => `${error}`));
  }
  if (isComplete) return { name, errors };
  const decoder = new TextDecoder();
  const printed = decoder.decode(stdout) + decoder.decode(stderr);
  return { name, errors, printed };
}

/** Prints the results and returns the exit status. */
function report(outcomes: Outcome[]): number {
  const rows = [
    ...all.map(({ name }) => name),
    EXITS,
    ...new Set(runtimes.flatMap(({ extra }) => extra?.row ?? [])),
  ];
  const width = Math.max(...rows.map((row) => row.length));
  const line = (row: string, cell: (outcome: Outcome) => string) =>
    [
      row.padEnd(width),
      ...outcomes.map((outcome) => cell(outcome).padEnd(outcome.name.length)),
    ].join("  ").trimEnd();
  const marks = { passed: "ok", failed: "FAIL", "not run": "?", none: "-" };
  const count = { passed: 0, failed: 0, "not run": 0, none: 0 };

  console.log(`\n${line("", ({ name }) => name)}`);
  for (const row of rows) {
    console.log(line(row, ({ notRun, errors }) => {
      const error = errors.get(row);
      const status = notRun !== undefined
        ? "not run"
        : error === undefined
        ? "none"
        : error === ""
        ? "passed"
        : "failed";
      count[status]++;
      return marks[status];
    }));
  }

  for (const [failure, names] of failures(outcomes)) {
    console.log(`\n${failure}\n  on ${names.join(", ")}`);
  }
  for (const { name, printed } of outcomes) {
    if (printed === undefined) continue;
    console.log(
      `\n${name} did not finish; it printed:\n${printed.slice(-4000)}`,
    );
  }
  const missing = outcomes.filter(({ notRun }) => notRun !== undefined);
  for (const { name, notRun } of missing) {
    console.log(`\n${name} was not run: ${notRun}`);
  }
  console.log(`\n${count.passed} passed, ${count.failed} failed`);
  return count.failed > 0 ||
      (missing.length > 0 && Deno.env.get("CI") === "true" &&
        Deno.build.os === "linux")
    ? 1
    : 0;
}

/** Maps each failure to the names of the runtimes that have it. */
function failures(outcomes: Outcome[]): Map<string, string[]> {
  const failures = new Map<string, string[]>();
  for (const { name, errors } of outcomes) {
    for (const [row, error] of errors) {
      if (error === "" || error === NO_RESULT) continue;
      const failure = `${row}\n  ${error}`;
      failures.set(failure, [...failures.get(failure) ?? [], name]);
    }
  }
  return failures;
}
