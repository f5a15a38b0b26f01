/**
 * Another process that uses a log: `log_process.ts redis PORT KEY …` or
 * `log_process.ts kv PATH KEY …`, and then `append NAME COUNT` or `read`, which
 * prints each message as a line of JSON.
 */
import {
  type EventLog,
  KvEventLog,
  RedisEventLog,
} from "../../src/event_log/mod.ts";
import { RawRedis } from "./raw_redis.ts";

const [kind, place, key, what, name, count] = Deno.args;

const log = await open();
console.log("ready");
if (what === "append") {
  for (let n = 0; n < Number(count); n++) {
    await log.append({ json: { name, n } });
  }
} else {
  for await (const { data } of log.read("")) console.log(data);
}
Deno.exit();

async function open(): Promise<EventLog> {
  if (kind === "kv") return new KvEventLog(await Deno.openKv(place), [key]);
  const port = Number(place);
  const { send } = await RawRedis.connect(port);
  const { send: sendBlocking } = await RawRedis.connect(port);
  return new RedisEventLog({ key, send, sendBlocking });
}
