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
  type SseMessage,
  sseResponse,
} from "@x/sse";
import { record, resume } from "@x/sse/event-log";
import { KvEventLog } from "@x/sse/event-log/kv";

const baseUrl = Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1";
const kv = await Deno.openKv(Deno.env.get("KV_PATH"));
const ONE_DAY = 24 * 60 * 60 * 1000;

export default {
  async fetch(request: Request): Promise<Response> {
    const isNew = request.method === "POST";
    const id = isNew
      ? crypto.randomUUID()
      : new URL(request.url).pathname.slice(1);
    const log = new KvEventLog(kv, ["answers", id], { expireIn: ONE_DAY });
    if (isNew) {
      await log.append({ retry: 1000 }); // From now on, the answer exists.
      const prompt = await request.text();
      // Not awaited: it continues after this response, and without readers.
      const options = { keepAlive: 10_000, onError };
      record(log, (signal) => answer(prompt, signal), options);
      const headers = { Location: `/${id}` };
      return new Response(null, { status: 201, headers });
    }
    const { lastId, ended, idle } = await log.status();
    if (idle === Infinity) return new Response(null, { status: 404 });
    if (request.method === "DELETE") {
      if (!ended) await log.append({ event: "stopped" });
      await log.end(); // Stops it, in whichever process it is.
      return new Response(null, { status: 204 });
    }
    // A browser that has the whole answer must not connect again.
    const isComplete = ended && lastEventIdOf(request) === lastId;
    if (isComplete) return new Response(null, { status: 204 });
    const messages = resume(log, request, {
      idleTimeout: 30_000, // The process that wrote it has crashed.
      async onIdle() {
        await log.append({ event: "failed" });
        await log.end();
        return { event: "failed" };
      },
    });
    return sseResponse(messages, { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** The answer of the model, token by token. */
async function* answer(
  prompt: string,
  signal: AbortSignal,
): AsyncGenerator<SseMessage> {
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
    signal,
    until: "[DONE]",
    idleTimeout: 60_000,
    reconnect: {
      // A new request starts a new answer, so not after the first token.
      resume: false,
      restartUntil: (event) => tokenOf(event) !== "",
      maxAttempts: 4,
    },
  });
  for await (const event of sse) {
    const { error } = event.json<{ error?: { message: string } }>();
    // Sends the request again, or throws after the first token.
    if (error) sse.reconnect(new Error(error.message));
    const token = tokenOf(event);
    if (token) yield { json: token };
  }
  yield { event: "done" };
}

function tokenOf(event: ServerSentEvent): string {
  // Some chunks have no choices, for example the one with the token counts.
  const { choices } = event.json<
    { choices?: { delta?: { content?: string | null } }[] }
  >();
  return choices?.[0]?.delta?.content ?? "";
}

function onError(error: unknown): SseMessage {
  console.error(error);
  return { event: "failed" };
}
