// A Durable Object for each chat: it stores the messages in its own SQLite
// database, and sends each client the messages that it missed, then new ones.
//
//   deno bundle --output chat.js examples/durable_object.ts && npx wrangler dev
//   curl --include --request POST http://localhost:8787/
//   curl --no-buffer http://localhost:8787/ID
//   curl --data "Hello" http://localhost:8787/ID
//
// /ID is the path in the Location header of the first response.
// `wrangler` needs this wrangler.toml:
//
//   name = "chat"
//   main = "chat.js"
//   compatibility_date = "2026-11-17"
//   durable_objects.bindings = [{ name = "CHATS", class_name = "Chat" }]
//   migrations = [{ tag = "v1", new_sqlite_classes = ["Chat"] }]

import { sseResponse } from "@x/sse";
import { resume } from "@x/sse/event-log";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  SqlEventLog,
} from "@x/sse/event-log/sql";

/** The part of the types of `@cloudflare/workers-types` that is used. */
interface DurableObjectState {
  storage: {
    sql: {
      exec(
        sql: string,
        ...params: (string | number | null)[]
      ): { toArray(): Record<string, unknown>[] };
    };
  };
}
interface Env {
  CHATS: {
    newUniqueId(): { toString(): string };
    idFromString(id: string): { toString(): string };
    get(id: { toString(): string }): {
      fetch(request: Request): Promise<Response>;
    };
  };
}

export class Chat {
  readonly #log: SqlEventLog;

  constructor({ storage: { sql } }: DurableObjectState) {
    for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) sql.exec(statement);
    const connection = new SqlConnection({
      dialect: "sqlite",
      query: (statement, params) => sql.exec(statement, ...params).toArray(),
      pollInterval: Infinity, // There is no other process.
    });
    this.#log = new SqlEventLog(connection, "messages", { maxMessages: 1000 });
  }

  async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") {
      await this.#log.append({ data: await request.text() });
      return new Response(null, { status: 204 });
    }
    // Workers would never cancel its stream.
    if (request.method === "HEAD") return new Response();
    // A Durable Object notices a closed connection only when it writes to it. The
    // heartbeat limits the delay to 15 seconds.
    return sseResponse(resume(this.#log, request), { heartbeat: 15_000 });
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const id = new URL(request.url).pathname.slice(1);
    if (id === "" && request.method === "POST") {
      const headers = { Location: `/${env.CHATS.newUniqueId()}` };
      return new Response(null, { status: 201, headers });
    }
    try {
      return await env.CHATS.get(env.CHATS.idFromString(id)).fetch(request);
    } catch (error) {
      // `idFromString` accepts only ids that the platform has created, so a guessed
      // path cannot create a chat.
      if (!(error instanceof TypeError)) throw error;
      return new Response(null, { status: 404 });
    }
  },
};
