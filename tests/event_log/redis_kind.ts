/** `RedisEventLog` on a Redis client, for the contract of event logs. */
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import type { Kind } from "./contract.ts";
import { clients } from "./redis_clients.ts";
import { RedisServer } from "./redis_server.ts";

let storages = 0;

/** Starts one server for all tests of a file. Each test uses its own keys. */
export async function sharedRedisServer(): Promise<RedisServer> {
  const server = await RedisServer.start("everysec");
  globalThis.addEventListener("unload", () => server.disposeNow());
  return server;
}

/**
 * @param server The server, or the reason why the tests cannot run.
 */
export function redisKind(
  client: keyof typeof clients,
  steps: number,
  server: RedisServer | string,
): Kind {
  const connect = clients[client];
  return {
    name: `RedisEventLog over ${client}`,
    notRun: typeof server === "string" ? server : undefined,
    steps,
    // The npm clients leave timers and sockets behind.
    leaks: client.includes("redis"),
    async open() {
      const { port } = server as RedisServer;
      const stack = new AsyncDisposableStack();
      const command = stack.use(await connect(port));
      const blocking = stack.use(await connect(port));
      const redis = new RedisConnection({
        send: command.send,
        sendBlocking: blocking.send,
        pollInterval: 10,
      });
      const storage = ++storages;
      return {
        shared: true,
        slack: 20,
        log: (name = "log", maxMessages) =>
          new RedisEventLog(redis, `${storage}:${name}`, { maxMessages }),
        [Symbol.asyncDispose]: () => stack.disposeAsync(),
      };
    },
  };
}
