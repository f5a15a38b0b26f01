/**
 * Serves a log on Redis: `server_process.ts REDIS_PORT SEED`. GET follows the
 * log, POST appends the given number of messages, DELETE appends a last message
 * and ends the log.
 */
import { sseResponse } from "../../mod.ts";
import { resume } from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { Random } from "../support/random.ts";
import { RawRedis } from "./raw_redis.ts";

const [port, seed] = Deno.args.map(Number);
const random = new Random(seed);
const { send } = await RawRedis.connect(port);
const { send: sendBlocking } = await RawRedis.connect(port);
const redis = new RedisConnection({ send, sendBlocking });
const log = new RedisEventLog(redis, "log", { maxMessages: 100_000 });

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
  onError: () => new Response(null, { status: 500 }),
}, async (request) => {
  switch (request.method) {
    case "GET": {
      // Half of the responses end normally, the others are cut off.
      const signal = AbortSignal.timeout(300 + random.below(3000));
      const options = { heartbeat: 1000 };
      const messages = resume(log, request);
      return random.chance(0.5)
        ? sseResponse(messages, { ...options, signal })
        : cutOff(sseResponse(messages, options), signal);
    }
    case "POST": {
      const { appender, count } = await request.json();
      for (let n = 0; n < count; n++) {
        await log.append({ json: { appender, n } });
      }
      return new Response(null);
    }
    default:
      await log.append({ event: "done" });
      await log.end();
      return new Response(null);
  }
});

/** Returns the response with a body that fails when the signal aborts. */
function cutOff(response: Response, signal: AbortSignal): Response {
  const body = response.body!.pipeThrough(new TransformStream(), { signal });
  return new Response(body, response);
}
