/** Runs the programs of the guide on engines, with the real clients. */
import { assertEquals } from "@std/assert";
import type { SqlConnection } from "../../src/event_log/sql.ts";
import { SQL_EVENT_LOG_SCHEMA, SqlEventLog } from "../../src/event_log/sql.ts";
import { Reader } from "../event_log/contract.ts";
import { PostgresServer, whyNoPostgres } from "../event_log/postgres_server.ts";
import { runBlock } from "../support/guide.ts";
import { slowTest, slowTestsNotRun } from "../support/slow_test.ts";

slowTest("engines: SQLite keeps a log for each path", async () => {
  const { default: app } = await runBlock("engines", "openDatabase");
  const at = (path: string, init?: RequestInit) =>
    app.fetch(new Request(`http://localhost/${path}`, init));
  for (const body of ["1", "2"]) {
    assertEquals((await at("a", { method: "POST", body })).status, 204);
  }
  const response: Response = await at("a");
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  while (!text.includes("data: 2")) text += (await reader.read()).value;
  assertEquals(text.match(/(?<=data: )\d/g), ["1", "2"]);
  await reader.cancel();
});

const notRun = slowTestsNotRun ?? whyNoPostgres();
for (const name of ["connectPg", "connectPostgres"]) {
  Deno.test({
    name: `engines: ${name}`,
    ignore: notRun !== undefined,
    // The clients have no end in the guide.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      await using server = await PostgresServer.start();
      const migrating = new Deno.Command("/usr/bin/env", {
        args: [
          "psql",
          ...["--quiet", "--set", "ON_ERROR_STOP=1", server.url],
          ...SQL_EVENT_LOG_SCHEMA.postgres.flatMap((it) => ["--command", it]),
        ],
      });
      assertEquals((await migrating.output()).success, true);
      const module = await runBlock("engines", `${name}(`);
      const sql: SqlConnection = module[name](server.url);
      const reader = new Reader(new SqlEventLog(sql, "log").read(""));
      const messages = reader.data(2);
      for (const data of ["1", "2"]) {
        await new SqlEventLog(sql, "log").append({ data });
      }
      assertEquals(await messages, ["1", "2"]);
      await reader.return();
    },
  });
}
