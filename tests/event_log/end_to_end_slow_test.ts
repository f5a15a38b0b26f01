/** Tests clients over loopback, servers in separate processes and one Redis. */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { Random } from "../support/random.ts";
import { slowTest } from "../support/slow_test.ts";
import { scaled } from "../support/scale.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";

const notRun = whyNoRedis();
const CLIENTS = 200;
const SLOW = 10;
const MESSAGES = scaled(1000);

/**
 * A process that serves the log and closes connections at random, as networks
 * do.
 */
class ServerProcess implements AsyncDisposable {
  readonly url: string;
  readonly #process: Deno.ChildProcess;

  private constructor(url: string, process: Deno.ChildProcess) {
    this.url = url;
    this.#process = process;
  }

  static async start(redisPort: number, seed: number): Promise<ServerProcess> {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-config", "--allow-net=127.0.0.1"],
        import.meta.dirname + "/server_process.ts",
        ...[redisPort, seed].map(String),
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = process.stdout.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return new ServerProcess(new TextDecoder().decode(value).trim(), process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }
}

slowTest(
  `${CLIENTS} clients of two servers receive each of ${MESSAGES} messages once and in order, or a gap event`,
  async () => {
    await using redis = await RedisServer.start("everysec");
    await using stack = new AsyncDisposableStack();
    const servers = [
      stack.use(await ServerProcess.start(redis.port, 1)),
      stack.use(await ServerProcess.start(redis.port, 2)),
    ];
    let [reconnects, gaps] = [0, 0];

    async function client(number: number): Promise<void> {
      const random = new Random(number);
      const slow = number < SLOW;
      // The next expected number of each appender.
      const next = [0, 0];
      /** Whether messages of each appender may be missing, as after a gap. */
      const mayMiss = [false, false];
      const sse = await connectSse(random.pick(servers).url, {
        reconnect: {
          initialDelay: 100,
          jitter: 1,
          onReconnect: () => void reconnects++,
        },
        idleTimeout: 30_000,
        until: (event) => event.event === "done",
      });
      for await (const { event, data } of sse) {
        if (event === "gap") {
          mayMiss.fill(true);
          gaps++;
          continue;
        }
        if (event === "done") break;
        const { appender, n } = JSON.parse(data);
        const expected = next[appender];
        // After a gap, messages may be missing, but none may be repeated.
        if (mayMiss[appender] && n > expected) next[appender] = n;
        mayMiss[appender] = false;
        assertEquals(
          n,
          next[appender],
          `client ${number}, appender ${appender}`,
        );
        next[appender]++;
        if (slow && n % 200 === 0) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
      // Every client receives the last message, even after a gap.
      assertEquals(next, [MESSAGES / 2, MESSAGES / 2], `client ${number}`);
    }

    const clients = Array.from({ length: CLIENTS }, (_, i) => client(i));
    const appended = servers.map(async ({ url }, appender) => {
      const response = await fetch(url, {
        method: "POST",
        body: JSON.stringify({ appender, count: MESSAGES / 2 }),
      });
      assertEquals(await response.text(), "");
    });
    await Promise.all(appended);
    const ended = await fetch(servers[0].url, { method: "DELETE" });
    assertEquals(await ended.text(), "");
    await Promise.all(clients);
    assert(reconnects > CLIENTS / 4, `${reconnects} reconnects`);
    console.log(`${reconnects} reconnects, ${gaps} gaps`);
  },
  notRun,
);
