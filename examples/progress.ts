// Starts a job with POST, and sends its progress, from the start, to each client
// that requests it.
//
//   deno serve examples/progress.ts
//   curl --include --request POST http://localhost:8000/
//   curl --no-buffer http://localhost:8000/ID
//
// /ID is the path in the Location header of the first response.

import { lastEventIdOf, sseResponse } from "@x/sse";
import { MemoryEventLog, resume } from "@x/sse/event-log";

/** The jobs of this process, until ten minutes after their end. */
const jobs = new Map<string, MemoryEventLog>();
const TEN_MINUTES = 10 * 60 * 1000;

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") {
      const id = crypto.randomUUID();
      const log = new MemoryEventLog();
      jobs.set(id, log);
      run(log).finally(() => setTimeout(() => jobs.delete(id), TEN_MINUTES));
      return new Response(null, {
        status: 201,
        headers: { Location: `/${id}` },
      });
    }
    const log = jobs.get(new URL(request.url).pathname.slice(1));
    if (log === undefined) return new Response(null, { status: 404 });
    const { lastId, ended } = await log.status();
    if (ended && lastEventIdOf(request) === lastId) {
      // `EventSource` reconnects after each end of a stream, but not after 204.
      return new Response(null, { status: 204 });
    }
    return sseResponse(resume(log, request), { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** A job that takes some time. */
async function run(log: MemoryEventLog): Promise<void> {
  for (let percent = 0; percent <= 100; percent += 10) {
    await log.append({ event: "progress", json: { percent } });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await log.append({ event: "done" });
  await log.end();
}
