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

/** How many ms a runtime may take. */
const DEADLINE = 60_000;

/** How many ms the process may take to end after the last case. */
const TIME_TO_END = 5000;

/** The one row that no case of the suite can tell. */
const ENDS = "the process ends by itself";

const NO_RESULT = "No result came";

/** How a runtime did. */
interface Outcome {
  name: string;
  /** Why it was not run. */
  notRun?: string;
  /** By case: what went wrong, `""` where nothing did. */
  errors: Map<string, string>;
  /** What it printed, where it did not run as it should. */
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

/** Makes one file of the suite and the module. */
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
    // A browser stays open where a program ends.
    if (browser) stop();
    else timer = setTimeout(stop, TIME_TO_END);
  };
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);

  let asItShould = errors.size === cases.length;
  for (const { name } of cases) {
    if (!errors.has(name)) errors.set(name, NO_RESULT);
  }
  if (!browser) {
    if (stopped) errors.set(ENDS, "It had to be stopped");
    else errors.set(ENDS, code === 0 ? "" : `Its exit status is ${code}`);
    asItShould &&= errors.get(ENDS) === "";
  }
  if (runtime.extra) {
    const { row, run: runExtra } = runtime.extra;
    const ran = runExtra(binary, run);
    errors.set(row, await ran.then(() => "", (error) => `${error}`));
  }
  if (asItShould) return { name, errors };
  const decoder = new TextDecoder();
  const printed = decoder.decode(stdout) + decoder.decode(stderr);
  return { name, errors, printed };
}

/** Prints it all; gives the exit status. */
function report(outcomes: Outcome[]): number {
  const rows = [
    ...all.map(({ name }) => name),
    ENDS,
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
      const how = notRun !== undefined
        ? "not run"
        : error === undefined
        ? "none"
        : error === ""
        ? "passed"
        : "failed";
      count[how]++;
      return marks[how];
    }));
  }

  for (const [what, names] of failures(outcomes)) {
    console.log(`\n${what}\n  on ${names.join(", ")}`);
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

/** What went wrong, each with the runtimes where it did. */
function failures(outcomes: Outcome[]): Map<string, string[]> {
  const failures = new Map<string, string[]>();
  for (const { name, errors } of outcomes) {
    for (const [row, error] of errors) {
      if (error === "" || error === NO_RESULT) continue;
      const what = `${row}\n  ${error}`;
      failures.set(what, [...failures.get(what) ?? [], name]);
    }
  }
  return failures;
}
