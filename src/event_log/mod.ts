/**
 * Event logs: what one process, or many, append and any number of clients read,
 * each at its own pace and from where it left off.
 *
 * - {@linkcode MemoryEventLog} keeps one in this process,
 *   {@linkcode RedisEventLog} one on Redis and {@linkcode KvEventLog} one on
 *   Deno KV, for many processes. {@linkcode EventLog} is what they have in
 *   common.
 * - {@linkcode resume} reads one for a client that connects, or connects again.
 *
 * @example
 * ```ts
 * import { sseResponse } from "@x/sse";
 * import { MemoryEventLog, resume } from "@x/sse/event-log";
 *
 * const log = new MemoryEventLog();
 *
 * // What one client posts, all get.
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
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 *
 * @module
 */

export {
  type EventLog,
  EventLogGapError,
  type EventLogReadOptions,
  type EventLogStatus,
} from "./event_log.ts";
export type { SseMessage } from "../write/encoder.ts";
export {
  KvEventLog,
  type KvEventLogOptions,
  type KvKey,
  type KvStore,
} from "./kv.ts";
export { MemoryEventLog, type MemoryEventLogOptions } from "./memory.ts";
export {
  RedisEventLog,
  type RedisEventLogOptions,
  type SendRedisCommand,
} from "./redis.ts";
export { resume, type ResumeOptions } from "./resume.ts";
