/** `cli_slow_test.ts` runs these cases on Node and Bun. */
import { testCli } from "./cli/cases.ts";
import { deno } from "./cli/runtimes.ts";

testCli(deno);
