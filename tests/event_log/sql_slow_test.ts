/** Tests `SqlEventLog` on files of SQLite, and in Node and Bun. */
import { assertMatch } from "@std/assert";
import { SqlEventLog } from "../../src/event_log/sql.ts";
import { testContract } from "./contract.ts";
import { Sqlite } from "./sqlite.ts";
import { bundle } from "../support/bundle.ts";
import { binaryOf } from "../support/runtime_binary.ts";
import { slowTest, slowTestsNotRun } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

testContract({
  name: "SqlEventLog on SQLite with a connection for each",
  notRun: slowTestsNotRun,
  steps: 1000,
  async open() {
    const directory = await temporaryDirectory();
    const stack = new AsyncDisposableStack();
    stack.use(directory);
    return {
      shared: true,
      slack: 11,
      log(key = "log", maxMessages) {
        const sqlite = stack.use(new Sqlite(`${directory.path}/logs.db`));
        const sql = sqlite.connection({ pollInterval: 20 });
        return new SqlEventLog(sql, key, { maxMessages });
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  },
});

for (const runtime of ["Node 24", "Bun"] as const) {
  slowTest(
    `SqlEventLog on SQLite passes the contract of event logs in ${runtime}`,
    async () => {
      await using directory = await temporaryDirectory();
      const path = `${directory.path}/contract.mjs`;
      await bundle(`${import.meta.dirname}/sqlite_contract.ts`, path);
      const { stdout, stderr } = await new Deno.Command(
        await binaryOf(runtime),
        {
          args: [path],
        },
      ).output();
      const printed = new TextDecoder().decode(stdout);
      const errors = new TextDecoder().decode(stderr);
      // Nothing but the number of tests.
      assertMatch(printed, /^\d\d tests\n$/, errors);
    },
  );
}
