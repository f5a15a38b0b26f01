// The proxy of proxy.ts as a Cloudflare Worker.
//
//   deno bundle --output worker.js examples/worker.ts && npx wrangler dev worker.js
//
// UPSTREAM_URL is the URL of the stream, and UPSTREAM_TOKEN the API key for it: a
// variable and a secret of the Worker.

import {
  connectSse,
  lastEventIdOf,
  type ServerSentEvent,
  type SseMessage,
  sseResponse,
} from "@x/sse";

interface Env {
  UPSTREAM_URL: string;
  UPSTREAM_TOKEN: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const headers = new Headers({
      "Authorization": `Bearer ${env.UPSTREAM_TOKEN}`,
    });
    // A browser that reconnects continues after its last event.
    for (const name of ["Content-Type", "Last-Event-ID"]) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }

    const upstream = await connectSse(env.UPSTREAM_URL, {
      method: request.method,
      headers,
      body: request.body,
      // Before the headers arrive, a client that leaves is not noticed.
      connectTimeout: 60_000,
      // Notices a silent upstream, which the heartbeats below hide from the client.
      // Choose twice the upstream's heartbeat interval.
      idleTimeout: 60_000,
    });
    if (upstream.response.status !== 200) return refusal(upstream.response);

    const events = ReadableStream.from(upstream)
      .pipeThrough(new TransformStream(edit(lastEventIdOf(request))));
    // A Worker notices that the browser has left only when it writes. With a
    // heartbeat, that is at most 15 seconds later.
    return sseResponse(events, { heartbeat: 15_000 });
  },
};

/** Passes on an error of the upstream server. */
function refusal({ status, headers, body }: Response): Response {
  // Not all headers: on Node and Bun, they still describe the compressed body,
  // which `fetch` has decompressed.
  const passedOn = new Headers();
  for (const name of ["Content-Type", "Retry-After"]) {
    const value = headers.get(name);
    if (value !== null) passedOn.set(name, value);
  }
  return new Response(body, { status, headers: passedOn });
}

/** Drops some events and changes others. */
function edit(lastEventId: string): Transformer<ServerSentEvent, SseMessage> {
  return {
    transform(event, controller) {
      const { event: name, id, retry } = event;
      if (name === "internal") return;
      const { secret: _, ...json } = event.json<Record<string, unknown>>();
      // Without an unchanged id: some clients cannot read the first event if an
      // empty id comes before its data.
      const newId = id === lastEventId ? undefined : id;
      lastEventId = id;
      controller.enqueue({ event: name, json, id: newId, retry });
    },
  };
}
