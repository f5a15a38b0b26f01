// Broadcasts what anyone posts to everyone who listens, whichever isolate of the
// server they are connected to: the threads of `deno serve --parallel` here, the
// regions of the world on Deno Deploy. Who comes later first gets the newest
// messages kept, and who lost the connection those that were missed.
//
//   deno serve --parallel --unstable-kv --allow-env --allow-read --allow-write examples/broadcast.ts
//   curl --no-buffer http://localhost:8000/
//   curl --data "Hello, all" http://localhost:8000/
//
// KV_PATH is the file to keep the messages in, if not Deno's own for this program.

import { sseResponse } from "@x/sse";
import { KvEventLog, resume } from "@x/sse/event-log";

const kv = await Deno.openKv(Deno.env.get("KV_PATH"));
const log = new KvEventLog(kv, ["broadcast"], { maxMessages: 100 });

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method !== "POST") {
      return sseResponse(resume(log, request), { heartbeat: 15_000 });
    }
    await log.append({ data: await request.text() });
    return new Response(null, { status: 204 });
  },
} satisfies Deno.ServeDefaultExport;
