import { testCli } from "./cli/cases.ts";
import { deno, npmRuntime } from "./cli/runtimes.ts";
import { isInstalled, notRunFor } from "./support/not_run.ts";

testCli(deno);

const notRun = notRunFor(
  "Tests of the command line on Node",
  isInstalled("node") ? undefined : "node is not installed",
);
if (notRun === undefined) testCli(await npmRuntime("Node", "node"));
