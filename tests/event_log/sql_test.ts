/** Tests `SqlEventLog` on `node:sqlite`. */
import { SqlEventLog } from "../../src/event_log/sql.ts";
import { testContract } from "./contract.ts";
import { Sqlite } from "./sqlite.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

testContract({
  name: "SqlEventLog on SQLite",
  steps: 3000,
  open() {
    const sqlite = new Sqlite();
    const sql = sqlite.connection({ pollInterval: Infinity });
    return {
      shared: true,
      slack: 11,
      log: (key = "log", maxMessages) =>
        new SqlEventLog(sql, key, { maxMessages }),
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        sqlite[Symbol.dispose]();
      },
    };
  },
});

testContract({
  name: "SqlEventLog on SQLite with a connection for each",
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
