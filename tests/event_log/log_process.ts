/**
 * A separate process that uses a log: `log_process.ts redis PORT KEY …` or
 * `log_process.ts kv PATH KEY …`, followed by `append NAME COUNT` or by `read`,
 * which prints the data of each message on a line.
 */
import { KvEventLog } from "../../src/event_log/kv.ts";
import type { EventLog } from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { RawRedis } from "./raw_redis.ts";

const [kind, address, key, action, name, count] = Deno.args;

const log = await open();
console.log("ready");
if (action === "append") {
  for (let n = 0; n < Number(count); n++) {
    await log.append({ json: { name, n } });
  }
} else {
  for await (const { data } of log.read("")) console.log(data);
}
Deno.exit();

async function open(): Promise<EventLog> {
  if (kind === "kv") return new KvEventLog(await Deno.openKv(address), [key]);
  const port = Number(address);
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  return new RedisEventLog(new RedisConnection({ send, sendBlocking }), key);
}
