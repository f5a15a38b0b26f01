/** Redis clients, each wrapped as an application would pass it to a log. */
import { Redis } from "npm:ioredis@6.0.0";
import { createClient } from "npm:redis@6.3.1";
import type { SendRedisCommand } from "../../src/event_log/redis.ts";
import { RawRedis } from "./raw_redis.ts";

export interface RedisClient extends AsyncDisposable {
  send: SendRedisCommand;
}

type Connect = (port: number) => Promise<RedisClient>;

export const clients = {
  "a raw socket": (port: number) => RawRedis.connect(port, 2),
  "a raw socket with RESP3": (port: number) => RawRedis.connect(port, 3),
  "redis": (port: number) => connectRedis(port, 2),
  "redis with RESP3": (port: number) => connectRedis(port, 3),
  "ioredis": connectIoredis,
} satisfies Record<string, Connect>;

async function connectRedis(port: number, RESP: 2 | 3): Promise<RedisClient> {
  const client = createClient({
    url: `redis://127.0.0.1:${port}`,
    RESP,
    socket: { reconnectStrategy: 20 },
  });
  // The client emits "error" for each lost connection, which throws if there is
  // no listener.
  client.on("error", () => {});
  await client.connect();
  return {
    send: (command) => client.sendCommand(command),
    async [Symbol.asyncDispose]() {
      client.destroy();
      await Promise.resolve();
    },
  };
}

async function connectIoredis(port: number): Promise<RedisClient> {
  const client = new Redis(port, "127.0.0.1", {
    lazyConnect: true,
    retryStrategy: () => 20,
    // Rejects the commands in flight when the connection is lost. By default,
    // ioredis sends them again, which can store a message twice.
    maxRetriesPerRequest: 0,
  });
  client.on("error", () => {});
  await client.connect();
  return {
    send: ([name, ...args]) => client.call(name, ...args),
    async [Symbol.asyncDispose]() {
      client.disconnect();
      await Promise.resolve();
    },
  };
}
