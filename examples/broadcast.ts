// Broadcasts what anyone posts to everyone who listens, whichever isolate of the
// server they are connected to: the threads of `deno serve --parallel` here, the
// regions of the world on Deno Deploy.
//
//   deno serve --parallel examples/broadcast.ts
//   curl --no-buffer http://localhost:8000/
//   curl --data "Hello, all" http://localhost:8000/

import { type SseMessage, sseResponse } from "@x/sse";

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method !== "POST") {
      return sseResponse(messages(), { heartbeat: 15_000 });
    }
    const message: SseMessage = { data: await request.text() };
    const channel = new BroadcastChannel("messages");
    channel.postMessage(message);
    channel.close();
    return new Response(null, { status: 204 });
  },
} satisfies Deno.ServeDefaultExport;

/** What is broadcast from now on. */
function messages(): ReadableStream<SseMessage> {
  const channel = new BroadcastChannel("messages");
  return new ReadableStream({
    start(controller) {
      channel.onmessage = ({ data }) => {
        controller.enqueue(data);
        if (controller.desiredSize! > 0) return;
        // A client that takes nothing must not fill the memory.
        channel.close();
        controller.error(new Error("The client is too slow"));
      };
    },
    cancel: () => channel.close(),
  }, { highWaterMark: 1000 });
}
