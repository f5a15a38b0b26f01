// Sends each posted message to all clients, also to those of other isolates: the
// threads of `deno serve --parallel` here, or the regions of Deno Deploy. A client
// that connects first gets the newest messages, and one that reconnects gets the
// messages that it has missed.
//
//   deno serve --parallel --unstable-kv --allow-env --allow-read --allow-write examples/broadcast.ts
//   curl --no-buffer http://localhost:8000/
//   curl --data "Hello, all" http://localhost:8000/
//
// Without --unstable-kv, `Deno.openKv` is not a function. KV_PATH is the file for
// the messages, by default Deno's own file for this program.

import { sseResponse } from "@x/sse";
import { resume } from "@x/sse/event-log";
import { KvEventLog } from "@x/sse/event-log/kv";

// On Deno Deploy, without KV_PATH, this is the database of the app.
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
