// Prints the answer of a large language model while the model writes it. Works
// with OpenAI's Chat Completions API and the many APIs that copy it: a POST
// request with a bearer token, and a stream that ends with "[DONE]". Failures are
// retried until the first token has arrived.
//
//   deno run --allow-net --allow-env examples/chat.ts "Why is the sky blue?"
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

const sse = await connectSse(`${baseUrl}/chat/completions`, {
  method: "POST",
  headers: {
    "Authorization": `Bearer ${Deno.env.get("OPENAI_API_KEY")}`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    model: Deno.env.get("OPENAI_MODEL") ?? "gpt-4o-mini",
    messages: [{ role: "user", content: Deno.args.join(" ") }],
    stream: true,
  }),
  // If the stream ends before "[DONE]", the loop throws.
  until: "[DONE]",
  idleTimeout: 60_000,
  reconnect: {
    // A new request starts a new answer, so not after the first token.
    resume: false,
    restartUntil: (event) => tokenOf(event) !== "",
    maxAttempts: 5,
    onReconnect({ delay, error }) {
      console.error(`Asking again in ${delay} ms: ${error.message}`);
    },
  },
});

if (!sse.response.ok) {
  console.error(sse.response.status, await sse.response.text());
  Deno.exit(1);
}

const output = Deno.stdout.writable.getWriter();
const encoder = new TextEncoder();
for await (const event of sse) {
  const { error } = event.json<Chunk>();
  // Sends the request again, or throws after the first token.
  if (error) sse.reconnect(new Error(error.message));
  else await output.write(encoder.encode(tokenOf(event)));
}
console.log();

function tokenOf(event: ServerSentEvent): string {
  return event.json<Chunk>().choices?.[0]?.delta?.content ?? "";
}
