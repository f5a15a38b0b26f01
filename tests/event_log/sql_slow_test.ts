/** Tests `SqlEventLog` on files of SQLite. */
import { SqlEventLog } from "../../src/event_log/sql.ts";
import { testContract } from "./contract.ts";
import { Sqlite } from "./sqlite.ts";
import { slowTestsNotRun } from "../support/slow_test.ts";
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
