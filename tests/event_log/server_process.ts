/**
 * Serves a log: `server_process.ts SEED LIFETIME redis PORT`, `… kv PATH` or
 * `… memory ""`. GET follows the log over a connection that lasts LIFETIME
 * milliseconds at most, POST appends messages as in `Appends`, DELETE appends a
 * last message and ends the log.
 */
import { sseResponse } from "../../mod.ts";
import { resume } from "../../src/event_log/mod.ts";
import { Random } from "../support/random.ts";
import { type Appends, numberedMessage } from "./numbered_message.ts";
import { openLog } from "./open_log.ts";

const [seed, lifetime, kind, address] = Deno.args;
const random = new Random(Number(seed));
const log = await openLog(kind, address, "log", 100_000);

/** Connections that are cut at a byte have fewer bytes. */
const MAX_BYTES = 30_000;

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}/`),
  onError: () => new Response(null, { status: 500 }),
}, async (request) => {
  switch (request.method) {
    case "GET": {
      // Some responses end normally, the others are cut off.
      const signal = AbortSignal.timeout(random.below(Number(lifetime)));
      const options = { heartbeat: 1000 };
      const messages = resume(log, request);
      if (random.chance(0.3)) {
        return sseResponse(messages, { ...options, signal });
      }
      const response = sseResponse(messages, options);
      const limit = random.chance(0.3) ? Infinity : random.below(MAX_BYTES);
      return cutOff(response, limit, signal);
    }
    case "POST": {
      const { appender, count, mostAtOnce, maxLength }: Appends = await request
        .json();
      for (let n = 0; n < count;) {
        const length = Math.min(1 + random.below(mostAtOnce), count - n);
        const messages = Array.from({ length }, (_, i) => ({
          json: numberedMessage(appender, n + i, maxLength),
        }));
        await log.append(messages[0], ...messages.slice(1));
        n += length;
        // In memory, no reader would run before everything is appended.
        const pause = random.chance(0.5) ? random.below(10) : 0;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
      return new Response(null);
    }
    default:
      await log.append({ event: "done" });
      await log.end();
      return new Response(null);
  }
});

/**
 * Returns the response with a body that fails when the signal aborts, and fails or
 * ends after this number of bytes.
 */
function cutOff(
  response: Response,
  limit: number,
  signal: AbortSignal,
): Response {
  const fails = random.chance(0.5);
  let left = limit;
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left));
      left -= chunk.length;
      if (left > 0) return;
      if (fails) controller.error(new Error("cut off"));
      else controller.terminate();
    },
  });
  return new Response(response.body!.pipeThrough(cut, { signal }), response);
}
