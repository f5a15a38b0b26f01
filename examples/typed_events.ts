// Streams the answer of a large language model from an API that names its
// events, as Anthropic's does. A schema for each name says what this program
// relies on; events that it has no use for are passed over.
//
//   deno run --allow-net --allow-env examples/typed_events.ts "Why is the sky blue?"
//
// ANTHROPIC_API_KEY is the key; ANTHROPIC_BASE_URL and ANTHROPIC_MODEL choose
// another API and model.

import { connectSse } from "@x/sse";
import { typedEvents } from "@x/sse/typed-events";
import { z } from "npm:zod@4";

const schemas = {
  content_block_delta: z.object({
    // A block may be something else than text.
    delta: z.object({ text: z.string().default("") }),
  }),
  message_delta: z.object({
    delta: z.object({ stop_reason: z.string().nullable() }),
  }),
  error: z.object({
    error: z.object({ type: z.string(), message: z.string() }),
  }),
};

const baseUrl = Deno.env.get("ANTHROPIC_BASE_URL") ??
  "https://api.anthropic.com";

const sse = await connectSse(`${baseUrl}/v1/messages`, {
  method: "POST",
  headers: {
    "X-API-Key": Deno.env.get("ANTHROPIC_API_KEY") ?? "",
    "Anthropic-Version": "2023-06-01",
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    model: Deno.env.get("ANTHROPIC_MODEL") ?? "claude-3-5-haiku-latest",
    max_tokens: 1024,
    messages: [{ role: "user", content: Deno.args.join(" ") }],
    stream: true,
  }),
  // Where the answer is cut off before, the loop throws.
  until: ({ event }) => event === "message_stop" || event === "error",
  idleTimeout: 60_000,
});

if (!sse.response.ok) {
  console.error(sse.response.status, await sse.response.text());
  Deno.exit(1);
}

const output = Deno.stdout.writable.getWriter();
const encoder = new TextEncoder();
for await (const { event, data } of typedEvents(sse, schemas)) {
  switch (event) {
    case "content_block_delta":
      await output.write(encoder.encode(data.delta.text));
      break;
    case "message_delta":
      if (data.delta.stop_reason === "max_tokens") console.error("… too long");
      break;
    case "error":
      console.error(`${data.error.type}: ${data.error.message}`);
      Deno.exit(1);
  }
}
console.log();
