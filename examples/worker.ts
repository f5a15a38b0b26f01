// The edge proxy of proxy.ts as a Cloudflare Worker.
//
//   deno bundle --output worker.js examples/worker.ts && npx wrangler dev worker.js
//
// UPSTREAM_URL is the stream to pass on, UPSTREAM_TOKEN the key to it: a
// variable and a secret of the worker.

import { connectSse, ServerSentEvent, sseResponse } from "@x/sse";

interface Env {
  UPSTREAM_URL: string;
  UPSTREAM_TOKEN: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const headers = new Headers({
      "Authorization": `Bearer ${env.UPSTREAM_TOKEN}`,
    });
    // With its last event ID, a browser that lost its connection goes on.
    for (const name of ["Content-Type", "Last-Event-ID"]) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }

    const upstream = await connectSse(env.UPSTREAM_URL, {
      method: request.method,
      headers,
      body: request.body,
    });
    // A refusal is passed on as it is.
    if (upstream.response.status !== 200) return upstream.response;

    const events = ReadableStream.from(upstream)
      .pipeThrough(new TransformStream({ transform }));
    // A worker sees that the browser has gone when it writes: with a heartbeat,
    // soon enough.
    return sseResponse(events, { heartbeat: 15_000 });
  },
};

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
