// Lets the answer of a large language model go on while its reader is away: who
// reloads the page, or comes by another process of the server, gets the whole of
// it. It stops when it is told to, and not when nobody reads.
//
//   deno serve --unstable-kv --allow-net --allow-env --allow-read --allow-write examples/generation.ts
//   curl --include --data "Why is the sky blue?" http://localhost:8000/
//   curl --no-buffer http://localhost:8000/THE-LOCATION
//   curl --request DELETE http://localhost:8000/THE-LOCATION
//
// OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL are as for chat.ts. KV_PATH is
// the file to keep answers in, if not Deno's own for this program.

import { connectSse, lastEventIdOf, sseResponse } from "@x/sse";
import { KvEventLog, resume } from "@x/sse/event-log";

interface Chunk {
  // Empty in some chunks, as in the one that tells the usage.
  choices?: { delta?: { content?: string | null } }[];
  // What fails once the answer has begun comes as a chunk.
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
      // Not awaited: it goes on, whatever becomes of this request.
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
      // A browser that has it all need not connect again.
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
      reconnect: { resume: false, maxAttempts: 5 },
    });
    let event = "done";
    for await (const message of sse) {
      if (await getState(id) === "stopped") {
        event = "stopped";
        break;
      }
      const { choices, error } = message.json<Chunk>();
      if (error) throw new Error(error.message);
      const token = choices?.[0]?.delta?.content;
      if (token) await log.append({ json: token });
    }
    await log.append({ event });
  } catch (error) {
    console.error(error);
    await log.append({ event: "failed" });
  }
  await log.end();
}

/** The log of an answer: one for all who read it here, as it is read but once. */
function logOf(id: string): KvEventLog {
  let log = logs.get(id);
  if (log === undefined) {
    log = new KvEventLog(kv, ["answers", id], { expireIn: ONE_DAY });
    logs.set(id, log);
    // Who reads it still goes on, and who comes later gets another.
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
