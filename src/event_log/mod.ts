/**
 * Event logs: broadcast messages to many clients, and replay to each client
 * what it missed. Use one if several clients read the same stream, or if a
 * client has to continue after a lost connection.
 *
 * ```sh
 * deno add jsr:@x/sse       # Deno
 * npm install @x/sse        # Node, Bun, Cloudflare Workers, bundlers
 * ```
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog();
 *
 * // Each message that a client posts is sent to all clients.
 * async function handler(request: Request): Promise<Response> {
 *   if (request.method === "POST") {
 *     await log.append({ data: await request.text() });
 *     return new Response(null, { status: 204 });
 *   }
 *   return sseResponse(resume(log, request), { heartbeat: 15_000 });
 * }
 * export default { fetch: handler };
 * ```
 *
 * {@linkcode resume} reads a log for one client: first the messages after the
 * client's `Last-Event-ID`, then each new one. A slow client needs no queue: it
 * reads the log at its own position. Choose a log by the number of processes:
 *
 * - {@linkcode MemoryEventLog} for one process. The messages are lost when it
 *   ends.
 * - `RedisEventLog` of `@x/sse/event-log/redis` for many processes, in a Redis
 *   stream. It works with any Redis client.
 * - `KvEventLog` of `@x/sse/event-log/kv` for many processes, in Deno KV.
 * - `SqlEventLog` of `@x/sse/event-log/sql` for one or many processes, in SQLite,
 *   a Durable Object or PostgreSQL. It works with any client.
 *
 * {@linkcode EventLog} is the interface of all of them. {@linkcode record}
 * appends the messages of a source, for example the answer of an LLM, which
 * then continues even if its reader disconnects.
 *
 * Guides: [which engine to
 * choose](https://github.com/x/sse/blob/main/examples/guides/engines.md),
 * [broadcasting](https://github.com/x/sse/blob/main/examples/guides/broadcasting.md),
 * [feeds and resuming](https://github.com/x/sse/blob/main/examples/guides/feeds_and_resuming.md),
 * [dashboards](https://github.com/x/sse/blob/main/examples/guides/dashboards.md)
 * and
 * [answers](https://github.com/x/sse/blob/main/examples/guides/answers.md) that
 * outlive their readers.
 * The other entry points are in the
 * [README](https://github.com/x/sse/blob/main/README.md).
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 *
 * @module
 */

export {
  type EventLog,
  EventLogEndedError,
  EventLogGapError,
  EventLogIdleError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
export type { SseMessage } from "../write/encoder.ts";
export { MemoryEventLog, type MemoryEventLogOptions } from "./memory.ts";
export { record, type RecordOptions } from "./record.ts";
export { resume, type ResumeOptions } from "./resume.ts";
export type { SseSource } from "../write/subscription.ts";
