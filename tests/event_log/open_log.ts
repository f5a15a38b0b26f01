/** Opens a log in a separate process, by its arguments. */
import { KvEventLog } from "../../src/event_log/kv.ts";
import { type EventLog, MemoryEventLog } from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { RawRedis } from "./raw_redis.ts";

/** Where the messages are: of this process alone, or of all with the same address. */
export type Kind = "memory" | "redis" | "kv";

/** @param address The port of Redis, or the path of a database. */
export async function openLog(
  kind: string,
  address: string,
  key: string,
  maxMessages?: number,
): Promise<EventLog> {
  const options = { maxMessages };
  if (kind === "memory") {
    return new MemoryEventLog({ ...options, maxBytes: Infinity });
  }
  if (kind === "kv") {
    return new KvEventLog(await Deno.openKv(address), [key], options);
  }
  const port = Number(address);
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  const redis = new RedisConnection({ send, sendBlocking });
  return new RedisEventLog(redis, key, options);
}
