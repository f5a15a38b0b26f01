/** Clients of PostgreSQL, each wrapped as an application would pass it to a log. */
import pg from "npm:pg@8.23.1";
import postgres from "npm:postgres@3.4.9";
import {
  SQL_EVENT_LOG_SCHEMA,
  type SqlConnectionOptions,
} from "../../src/event_log/sql.ts";

interface Options
  extends
    Required<Pick<SqlConnectionOptions, "dialect" | "listen">>,
    AsyncDisposable {
  query(
    sql: string,
    params: (string | number | null)[],
    name?: string,
  ): Promise<readonly unknown[]>;
}

export const clients = { pg: connectPg, postgres: connectPostgres };

/** Creates the tables of all logs. */
export async function migrate({ query }: Options): Promise<void> {
  for (const sql of SQL_EVENT_LOG_SCHEMA.postgres) await query(sql, []);
}

/** @param options Settings of each session, such as `-c NAME=VALUE`. */
function connectPg(url: string, options = ""): Options {
  const pool = new pg.Pool({ connectionString: url, max: 4, options });
  // Emitted if an idle connection is lost, and thrown if nobody listens to it.
  pool.on("error", () => {});
  return {
    dialect: "postgres",
    query: async (text, values, name) =>
      (await pool.query({ text, values, name })).rows,
    async listen(channel, onNotify, onLost) {
      const client = new pg.Client({ connectionString: url });
      client.on("error", onLost);
      client.on(
        "notification",
        ({ payload }: { payload: string }) => onNotify(payload),
      );
      try {
        await client.connect();
        await client.query(`LISTEN ${channel}`);
      } catch (error) {
        client.end().catch(() => {}); // It may be connected.
        throw error;
      }
      return () => client.end();
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

function connectPostgres(url: string, options = ""): Options {
  const client = postgres(url, {
    max: 4,
    onnotice() {},
    // As a pool that waits for seconds would hide what a log does.
    backoff: () => 0.02,
    connection: options === "" ? {} : { options },
  });
  return {
    dialect: "postgres",
    query: (sql, params) => client.unsafe(sql, params, { prepare: true }),
    async listen(channel, onNotify) {
      // It connects again by itself, and then calls the last function.
      const { unlisten } = await client.listen(
        channel,
        onNotify,
        () => onNotify(),
      );
      return unlisten;
    },
    // After a lost connection, it never ends without a timeout.
    [Symbol.asyncDispose]: () => client.end({ timeout: 1 }),
  };
}
