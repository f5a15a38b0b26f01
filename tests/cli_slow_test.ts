/** Runs the cases of the command line on Node and Bun. */
import { testCli } from "./cli/cases.ts";
import { npmRuntime } from "./cli/runtimes.ts";
import { installFromNpm } from "./runtimes/install.ts";
import { notRunFor } from "./support/not_run.ts";
import { binaryOf } from "./support/runtime_binary.ts";
import { slowTestsNotRun } from "./support/slow_test.ts";

const notRun = slowTestsNotRun ?? notRunFor(
  "Tests of the command line on other runtimes",
  await installFromNpm().then(() => undefined, String),
);

if (notRun === undefined) {
  for (const name of ["Node 20", "Node 22", "Node 24", "Bun"] as const) {
    testCli(await npmRuntime(name, await binaryOf(name)));
  }
}
