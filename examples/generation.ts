// Keeps the answer of a large language model on the server. A page that is
// reloaded gets the whole answer, also from another process of this server. The
// answer continues when no client is connected. A DELETE request stops it. The
// last event of a complete answer is "done".
//
//   deno serve --allow-net --allow-env --allow-read --allow-write examples/generation.ts
//   curl --include --data "Why is the sky blue?" http://localhost:8000/
//   curl --no-buffer http://localhost:8000/ID
//   curl --request DELETE http://localhost:8000/ID
//
// /ID is the path in the Location header of the first response. Set OPENAI_API_KEY
// to your key. SQLITE_PATH is the file for the answers; by default, it is
// answers.db. For servers on several machines, use another log instead.

import { lastEventIdOf, sseResponse } from "@x/sse";
import { record, resume } from "@x/sse/event-log";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  SqlEventLog,
} from "@x/sse/event-log/sql";
import { DatabaseSync } from "node:sqlite";
import { ask } from "./model.ts";

const db = new DatabaseSync(Deno.env.get("SQLITE_PATH") ?? "answers.db");
db.exec("PRAGMA busy_timeout = 5000");
try {
  db.exec("PRAGMA journal_mode = WAL");
} catch {
  // Another process is doing the same. SQLite does not wait for it.
}
for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) db.exec(statement);
db.exec("PRAGMA busy_timeout = 0"); // From now on, logs wait without blocking.
const sql = new SqlConnection({
  dialect: "sqlite",
  query: (sql, params) => db.prepare(sql).all(...params),
});
const idleTimeout = 30_000; // After it, the process that writes has crashed.

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") return await start(await request.text());
    const log = openLog(new URL(request.url).pathname.slice(1));
    const { lastId, ended, idle } = await log.status();
    if (idle === Infinity) return emptyResponse(404);
    if (request.method === "DELETE") {
      await log.end(); // Stops the answer, in whichever process it is.
      return emptyResponse(204);
    }
    // A browser that has everything must not connect again.
    const isOver = ended || idle > idleTimeout;
    if (isOver && lastEventIdOf(request) === lastId) return emptyResponse(204);
    const messages = resume(log, request, { idleTimeout });
    return sseResponse(messages, { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** Starts an answer. Returns its location. */
async function start(prompt: string): Promise<Response> {
  const id = crypto.randomUUID();
  const log = openLog(id);
  await log.append({ retry: 1000 }); // From now on, the answer exists.
  // Not awaited: it continues after this response, and without readers.
  const options = { keepAlive: idleTimeout / 3, onError };
  record(log, (signal) => answer(prompt, signal), options);
  return emptyResponse(201, { Location: `/${id}` });
}

function openLog(id: string): SqlEventLog {
  return new SqlEventLog(sql, id, { expireIn: 86_400_000 });
}

function emptyResponse(status: number, headers?: HeadersInit): Response {
  return new Response(null, { status, headers });
}

/** The messages of an answer: its tokens, and the end. */
async function* answer(prompt: string, signal: AbortSignal) {
  for await (const token of ask(prompt, signal)) yield { json: token };
  yield { event: "done" };
}

function onError(error: unknown) {
  console.error(error);
  return { event: "failed" };
}
