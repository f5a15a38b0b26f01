import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RedisEventLog } from "../../src/event_logs.ts";
import { type Kind, testContract } from "./contract.ts";
import { clients, type Connect } from "./redis_clients.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";

const notRun = whyNoRedis();

function kind(client: string, connect: Connect): Kind {
  return {
    name: `RedisEventLog over ${client}`,
    notRun,
    steps: client === "a raw socket" ? 5000 : 500,
    // The clients from npm keep timers and sockets of their own.
    leaks: client.includes("redis"),
    async open() {
      const server = await RedisServer.start();
      const stack = new AsyncDisposableStack();
      stack.use(server);
      const command = stack.use(await connect(server.port));
      const blocking = [
        stack.use(await connect(server.port)),
        stack.use(await connect(server.port)),
      ];
      let logs = 0;
      return {
        shared: true,
        slack: 20,
        log: (name = "log", maxMessages) =>
          new RedisEventLog({
            key: name,
            send: command.send,
            sendBlocking: blocking[logs++]?.send,
            pollInterval: 10,
            maxMessages,
          }),
        [Symbol.asyncDispose]: () => stack.disposeAsync(),
      };
    },
  };
}

for (const [client, connect] of Object.entries(clients)) {
  testContract(kind(client, connect));
}
