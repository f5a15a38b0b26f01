// Shows the number of items in stock to any number of pages: each page first gets
// the whole state, and then each change, exactly once.
//
//   deno serve examples/dashboard.ts
//   curl --no-buffer http://localhost:8000/
//   curl --data '{"item":"tea","change":-1}' http://localhost:8000/

import { sseResponse } from "@x/sse";
import { MemoryEventLog, resume } from "@x/sse/event-log";

interface Change {
  item: string;
  change: number;
}

const log = new MemoryEventLog({ maxMessages: 1000 });

// The state is what this reader of the log has built, up to the message with `id`.
const stock: Record<string, number> = { tea: 10, coffee: 7 };
let { lastId: id } = await log.status();
keepStock();

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") {
      const json = await request.json();
      if (!isChange(json)) return new Response(null, { status: 400 });
      await log.append({ event: "change", json });
      return new Response(null, { status: 204 });
    }
    const messages = resume(log, request, {
      snapshot: () => ({ id, event: "stock", json: stock }),
    });
    return sseResponse(messages, { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** An invalid change would end the loop of `keepStock`, and thus the process. */
function isChange(json: Partial<Change> | null): json is Change {
  return typeof json?.item === "string" && Number.isFinite(json.change);
}

async function keepStock(): Promise<void> {
  for await (const message of log.read(id)) {
    const { item, change }: Change = JSON.parse(message.data!);
    stock[item] = (stock[item] ?? 0) + change;
    id = message.id!;
  }
}
