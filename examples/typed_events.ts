// Prints the answer of a large language model from an API that names its events,
// as Anthropic's does. A schema for each name checks the data that this program
// uses. Events whose name has no schema are ignored.
//
//   deno run --allow-net --allow-env examples/typed_events.ts "Why is the sky blue?"
//
// Set ANTHROPIC_API_KEY to your key. For another API or model, set
// ANTHROPIC_BASE_URL and ANTHROPIC_MODEL.

import { connectSse, ServerSentEvent } from "@x/sse";
import { typedEvents } from "@x/sse/typed-events";
import { z } from "npm:zod@4";

const schemas = {
  content_block_delta: z.object({
    // Blocks that are not text, such as tool calls, have no `text`.
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
  // If the stream ends before one of these, the loop throws.
  until: (event) => ["message_stop", "error"].includes(nameOf(event)),
  idleTimeout: 60_000,
});

if (!sse.response.ok) {
  console.error(sse.response.status, await sse.response.text());
  Deno.exit(1);
}

const output = Deno.stdout.writable.getWriter();
const encoder = new TextEncoder();
for await (const { event, data } of typedEvents(named(sse), schemas)) {
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

/** Restores the names of events if a proxy has dropped the `event:` lines. */
async function* named(events: AsyncIterable<ServerSentEvent>) {
  for await (const event of events) {
    yield new ServerSentEvent({ ...event, event: nameOf(event) });
  }
}

/** Returns the name of an event, which its data repeats as `type`. */
function nameOf(event: ServerSentEvent): string {
  if (event.event !== "message") return event.event;
  return event.json<{ type: string }>().type;
}
