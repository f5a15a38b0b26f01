/** What sends one message to many clients in the same process. */
import { createChannel, createResponse } from "better-sse";
import { Hono } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import { encodeSse, sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";

export interface Broadcaster {
  /** Answers one client. */
  respond(): Response | Promise<Response>;
  /** Sends a message to all. */
  send(id: number, data: string): unknown;
}

const url = "http://localhost/";

/** Ready-made bytes, pushed into streams that nobody pulls from. */
export function floor(): Broadcaster {
  const controllers: ReadableStreamDefaultController[] = [];
  return {
    respond: () =>
      new Response(
        new ReadableStream({ start: (it) => void controllers.push(it) }),
      ),
    send(id, data) {
      const bytes = new TextEncoder().encode(
        encodeSse({ id: String(id), data }),
      );
      for (const controller of controllers) controller.enqueue(bytes);
    },
  };
}

function eventLog(heartbeat?: number): Broadcaster {
  const log = new MemoryEventLog();
  return {
    respond: () => sseResponse(resume(log, new Request(url)), { heartbeat }),
    send: (_id, data) => log.append({ data }),
  };
}

function betterSse(): Broadcaster {
  const channel = createChannel();
  return {
    respond: () =>
      createResponse(new Request(url), (session) => {
        channel.register(session);
      }),
    send: (id, data) =>
      channel.broadcast(data, "message", { eventId: `${id}` }),
  };
}

/** As its documentation has it, with a loop over all streams. */
function hono(): Broadcaster {
  const streams: SSEStreamingApi[] = [];
  const app = new Hono();
  app.get("/", (context) =>
    streamSSE(context, async (stream) => {
      streams.push(stream);
      await new Promise(() => {});
    }));
  return {
    respond: () => app.request("/"),
    send: (id, data) =>
      Promise.all(
        streams.map((stream) => stream.writeSSE({ id: `${id}`, data })),
      ),
  };
}

export const broadcasters: Record<string, () => Broadcaster> = {
  "ready-made bytes": floor,
  "MemoryEventLog": () => eventLog(),
  "with a heartbeat": () => eventLog(15_000),
  "better-sse channel": betterSse,
  "hono streamSSE": hono,
};
