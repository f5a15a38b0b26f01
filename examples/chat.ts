// Streams the answer of a large language model as it is written, from any API
// that speaks as OpenAI's does: a POST request with a bearer token, answered by
// a stream that ends with "[DONE]". An API that is busy is asked again, until
// its answer begins.
//
//   deno run --allow-net --allow-env examples/chat.ts "Why is the sky blue?"
//
// OPENAI_API_KEY is the token; OPENAI_BASE_URL and OPENAI_MODEL choose another
// API and model.

import { connectSse } from "@x/sse";

interface Chunk {
  // Empty in some chunks, as in the one that tells the usage.
  choices?: { delta?: { content?: string | null } }[];
  // What fails once the answer has begun comes as a chunk.
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
  until: "[DONE]", // Where the answer is cut off before, the loop throws.
  idleTimeout: 60_000,
  reconnect: {
    resume: false, // The same answer never comes twice.
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
  const { choices, error } = event.json<Chunk>();
  if (error) {
    console.error(error.message);
    Deno.exit(1);
  }
  await output.write(encoder.encode(choices?.[0]?.delta?.content ?? ""));
}
console.log();
