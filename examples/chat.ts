// Prints the answer of a large language model while the model writes it. Works
// with OpenAI's Chat Completions API and the many APIs that copy it: a POST
// request with a bearer token, and a stream that ends with "[DONE]". Failures are
// retried until the first token has arrived.
//
//   deno run --allow-net --allow-env examples/chat.ts "Why is the sky blue?"
//
// Set OPENAI_API_KEY to your key. For another API or model, set OPENAI_BASE_URL
// and OPENAI_MODEL.

import { connectSse } from "@x/sse";

interface Chunk {
  // Some chunks have no choices, for example the one with the token counts.
  choices?: { delta?: { content?: string | null } }[];
  // A failure after the response has started arrives as a chunk.
  error?: { message: string };
}

const baseUrl = Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1";

let hasToken = false;
let retries = 0;

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
    // In a row. Each event starts this count again, and the first event of an
    // answer has a role and no token, so all retries are counted as well.
    maxAttempts: 5,
    // Not after the first token: a new request starts a new answer.
    shouldReconnect: () => hasToken || retries >= 10 ? false : undefined,
    onReconnect({ delay, error }) {
      retries++;
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
  const { choices, error } = event.json<Chunk>();
  if (error) {
    console.error(error.message);
    Deno.exit(1);
  }
  const token = choices?.[0]?.delta?.content;
  if (!token) continue;
  hasToken = true;
  await output.write(encoder.encode(token));
}
console.log();
