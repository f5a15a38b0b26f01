// Asks a large language model, and yields its answer token by token: a part of
// generation.ts. Works with OpenAI's Chat Completions API and the many APIs that
// copy it. Failures are retried until the first token has arrived.
//
// Set OPENAI_API_KEY to your key. For another API or model, set OPENAI_BASE_URL
// and OPENAI_MODEL.

import { connectSse, type ServerSentEvent } from "@x/sse";

interface Chunk {
  // Some chunks have no choices, for example the one with the token counts.
  choices?: { delta?: { content?: string | null } }[];
  // A failure after the response has started arrives as a chunk.
  error?: { message: string };
}

const baseUrl = Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1";

export async function* ask(
  prompt: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
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
      restartUntil: (event) => tokenOf(event) !== "",
      maxAttempts: 4,
    },
  });
  for await (const event of sse) {
    const { error } = event.json<Chunk>();
    // Sends the request again, or throws after the first token.
    if (error) sse.reconnect(new Error(error.message));
    const token = tokenOf(event);
    if (token) yield token;
  }
}

function tokenOf(event: ServerSentEvent): string {
  return event.json<Chunk>().choices?.[0]?.delta?.content ?? "";
}
