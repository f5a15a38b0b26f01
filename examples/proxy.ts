// Stands between an event stream and browsers, on Deno Deploy: adds the key that
// browsers must not know, drops some events and changes others, and ends the
// request upstream when the browser leaves.
//
//   deno serve --allow-net --allow-env examples/proxy.ts
//
// UPSTREAM_URL is the stream to pass on, UPSTREAM_TOKEN the key to it.

import { connectSse, ServerSentEvent, sseResponse } from "@x/sse";

export default {
  async fetch(request: Request): Promise<Response> {
    const headers = new Headers({
      "Authorization": `Bearer ${Deno.env.get("UPSTREAM_TOKEN")}`,
    });
    // With its last event ID, a browser that lost its connection goes on.
    for (const name of ["Content-Type", "Last-Event-ID"]) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }

    const upstream = await connectSse(Deno.env.get("UPSTREAM_URL")!, {
      method: request.method,
      headers,
      body: request.body,
    });
    // A refusal is passed on as it is.
    if (upstream.response.status !== 200) return upstream.response;

    // A pipe lets go of the upstream at once when the browser leaves. A
    // generator would wait for the upstream's next event first.
    const events = ReadableStream.from(upstream)
      .pipeThrough(new TransformStream({ transform }));
    return sseResponse(events, { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

function transform(
  event: ServerSentEvent,
  controller: TransformStreamDefaultController<ServerSentEvent>,
): void {
  if (event.event === "internal") return;
  const { secret: _, ...data } = event.json<Record<string, unknown>>();
  controller.enqueue(
    new ServerSentEvent({ ...event, data: JSON.stringify(data) }),
  );
}
