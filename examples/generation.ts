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
// to your key. For another API or model, set OPENAI_BASE_URL and OPENAI_MODEL.
// SQLITE_PATH is the file for the answers; by default, it is answers.db. For servers
// on several machines, use another log instead.

import {
  connectSse,
  lastEventIdOf,
  type ServerSentEvent,
  type SseMessage,
  sseResponse,
} from "@x/sse";
import { record, resume } from "@x/sse/event-log";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  SqlEventLog,
} from "@x/sse/event-log/sql";
import { DatabaseSync } from "node:sqlite";

interface Chunk {
  // Some chunks have no choices, for example the one with the token counts.
  choices?: { delta?: { content?: string | null } }[];
  error?: { message: string };
}

const baseUrl = Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1";
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
    const hasEverything = lastEventIdOf(request) === lastId;
    if (isOver && hasEverything) return emptyResponse(204);
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

/** Asks the model, and yields its answer token by token. */
async function* answer(prompt: string, signal: AbortSignal) {
  const model = Deno.env.get("OPENAI_MODEL") ?? "gpt-4o-mini";
  const messages = [{ role: "user", content: prompt }];
  const sse = await connectSse(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: {
      "Authorization": `Bearer ${Deno.env.get("OPENAI_API_KEY")}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ model, messages, stream: true }),
    signal,
    until: "[DONE]",
    idleTimeout: 60_000,
    // A new request starts a new answer, so not after the first token.
    reconnect: {
      resume: false,
      restartUntil: (it) => tokenOf(it) !== "",
      maxAttempts: 4,
    },
  });
  for await (const event of sse) {
    const { error } = event.json<Chunk>();
    // Sends the request again, or throws after the first token.
    if (error) sse.reconnect(new Error(error.message));
    const token = tokenOf(event);
    if (token) yield { json: token };
  }
  yield { event: "done" };
}

function tokenOf(event: ServerSentEvent): string {
  return event.json<Chunk>().choices?.[0]?.delta?.content ?? "";
}

function onError(error: unknown): SseMessage {
  console.error(error);
  return { event: "failed" };
}
