import { z } from "npm:zod@4.6.7";
import { HttpServer } from "../support/http_server.ts";
import {
  type EventStore,
  type JSONRPCMessage,
  type McpServer,
  WebStandardStreamableHTTPServerTransport,
} from "./mcp_sdk.ts";

/** Serves one session over HTTP with the SDK's transport. */
export async function serve(mcp: McpServer) {
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: () => "session-1",
    eventStore: new MemoryEventStore(),
    retryInterval: 1,
  });
  await mcp.connect(transport);
  const server = new HttpServer(({ method, headers, body }) =>
    transport.handleRequest(
      new Request("http://localhost/", {
        method,
        headers,
        body: method === "POST" ? body : null,
      }),
    )
  );
  return {
    url: server.url,
    requests: server.requests,
    request: (index: number) => server.request(index),
    async [Symbol.asyncDispose]() {
      await mcp.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/**
 * Registers a tool that adds two numbers. Each call closes the stream of its
 * answer, and reports its progress before and after that.
 */
export function registerInterruptedAdd(mcp: McpServer): { calls: number } {
  const add = { calls: 0 };
  mcp.registerTool(
    "add",
    { inputSchema: { a: z.number(), b: z.number() } },
    async ({ a, b }, { sendNotification, _meta, closeSSEStream }) => {
      add.calls++;
      const sendProgress = (progress: number) =>
        sendNotification({
          method: "notifications/progress",
          params: { progressToken: _meta!.progressToken!, progress },
        });
      await sendProgress(1);
      closeSSEStream!();
      await sendProgress(2);
      return { content: [{ type: "text", text: String(a + b) }] };
    },
  );
  return add;
}

/** Stores all events. The ID of the nth event is `event-n`. */
class MemoryEventStore implements EventStore {
  #events: { streamId: string; message: JSONRPCMessage }[] = [];

  storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    return Promise.resolve(`event-${this.#events.push({ streamId, message })}`);
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send(id: string, message: JSONRPCMessage): Promise<void> },
  ): Promise<string> {
    const number = Number(lastEventId.slice("event-".length));
    const { streamId } = this.#events[number - 1];
    for (const [i, event] of this.#events.entries()) {
      if (i < number || event.streamId !== streamId) continue;
      await send(`event-${i + 1}`, event.message);
    }
    return streamId;
  }
}
