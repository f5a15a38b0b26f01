/** Opens a log in a separate process, by its arguments. */
import { KvEventLog } from "../../src/event_log/kv.ts";
import { type EventLog, MemoryEventLog } from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { SqlConnection, SqlEventLog } from "../../src/event_log/sql.ts";
import { RawRedis } from "./raw_redis.ts";
import { Sqlite } from "./sqlite.ts";

/** Where the messages are: of this process alone, or of all with the same address. */
export type Kind = "memory" | "redis" | "kv" | "sqlite" | "postgres";

/** @param address The port of Redis, or the path or URL of a database. */
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
  if (kind === "sqlite") {
    const sql = new Sqlite(address).connection({ pollInterval: 20 });
    return new SqlEventLog(sql, key, options);
  }
  if (kind === "pg" || kind === "postgres") {
    const { clients } = await import("./sql_clients.ts");
    const sql = new SqlConnection(clients[kind](address));
    return new SqlEventLog(sql, key, options);
  }
  const port = Number(address);
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  const redis = new RedisConnection({ send, sendBlocking });
  return new RedisEventLog(redis, key, options);
}
