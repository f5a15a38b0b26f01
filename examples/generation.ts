// Keeps the answer of a large language model on the server. A page that is
// reloaded gets the whole answer, also from another process of this server. The
// answer continues when no client is connected. A DELETE request stops it.
//
//   deno serve --unstable-kv --allow-net --allow-env --allow-read --allow-write examples/generation.ts
//   curl --include --data "Why is the sky blue?" http://localhost:8000/
//   curl --no-buffer http://localhost:8000/THE-LOCATION
//   curl --request DELETE http://localhost:8000/THE-LOCATION
//
// THE-LOCATION is the path that the first request returns in its Location header.
// Set OPENAI_API_KEY to your key. For another API or model, set OPENAI_BASE_URL
// and OPENAI_MODEL. KV_PATH is the file for the answers; by default, it is this
// program's own Deno KV database.

import {
  connectSse,
  lastEventIdOf,
  type ServerSentEvent,
  sseResponse,
} from "@x/sse";
import { KvEventLog, resume } from "@x/sse/event-log";

interface Chunk {
  // Some chunks have no choices, for example the one with the token counts.
  choices?: { delta?: { content?: string | null } }[];
  // A failure after the response has started arrives as a chunk.
  error?: { message: string };
}

const ONE_DAY = 24 * 60 * 60 * 1000;
const TEN_MINUTES = 10 * 60 * 1000;
const baseUrl = Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1";
const kv = await Deno.openKv(Deno.env.get("KV_PATH"));
const logs = new Map<string, KvEventLog>();

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") {
      const id = crypto.randomUUID();
      await setState(id, "running");
      // Not awaited: it continues after this response, and without readers.
      generate(id, await request.text());
      return new Response(null, {
        status: 201,
        headers: { Location: `/${id}` },
      });
    }

    const id = new URL(request.url).pathname.slice(1);
    if (await getState(id) === null) return new Response(null, { status: 404 });
    if (request.method === "DELETE") {
      await setState(id, "stopped");
      return new Response(null, { status: 204 });
    }

    const log = logOf(id);
    const { lastId, ended } = await log.status();
    if (ended && lastEventIdOf(request) === lastId) {
      // A browser that has the whole answer must not connect again.
      return new Response(null, { status: 204 });
    }
    return sseResponse(resume(log, request), { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** Appends an answer to its log, token by token. */
async function generate(id: string, prompt: string): Promise<void> {
  const log = logOf(id);
  try {
    const sse = await connectSse(`${baseUrl}/chat/completions`, {
      method: "POST",
      headers: {
        "Authorization": `Bearer ${Deno.env.get("OPENAI_API_KEY")}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        model: Deno.env.get("OPENAI_MODEL") ?? "gpt-4o-mini",
        messages: [{ role: "user", content: prompt }],
        stream: true,
      }),
      until: "[DONE]",
      idleTimeout: 60_000,
      reconnect: {
        // A new request starts a new answer, so not after the first token.
        resume: false,
        restartUntil: (event) => tokenOf(event) !== "",
        maxAttempts: 4,
      },
    });
    let event = "done";
    for await (const message of sse) {
      if (await getState(id) === "stopped") {
        event = "stopped";
        break;
      }
      const { error } = message.json<Chunk>();
      // Sends the request again, or throws after the first token.
      if (error) sse.reconnect(new Error(error.message));
      const token = tokenOf(message);
      if (token) await log.append({ json: token });
    }
    await log.append({ event });
  } catch (error) {
    console.error(error);
    await log.append({ event: "failed" });
  }
  await log.end();
}

function tokenOf(message: ServerSentEvent): string {
  return message.json<Chunk>().choices?.[0]?.delta?.content ?? "";
}

/** Returns the log of an answer. All readers in this process share it. */
function logOf(id: string): KvEventLog {
  let log = logs.get(id);
  if (log === undefined) {
    log = new KvEventLog(kv, ["answers", id], { expireIn: ONE_DAY });
    logs.set(id, log);
    // Frees memory. Open readers keep their log, and later ones get a new one.
    setTimeout(() => logs.delete(id), TEN_MINUTES);
  }
  return log;
}

type State = "running" | "stopped";

async function getState(id: string): Promise<State | null> {
  return (await kv.get<State>(["states", id])).value;
}

async function setState(id: string, state: State): Promise<void> {
  await kv.set(["states", id], state, { expireIn: ONE_DAY });
}
