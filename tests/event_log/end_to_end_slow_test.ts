/** Tests clients over loopback, and servers in separate processes with one log. */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { Random } from "../support/random.ts";
import { scaled } from "../support/scale.ts";
import { slowTest } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import {
  type Appends,
  type NumberedMessage,
  numberedMessage,
} from "./numbered_message.ts";
import type { Kind } from "./open_log.ts";
import { PostgresServer, whyNoPostgres } from "./postgres_server.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";
import { clients, migrate } from "./sql_clients.ts";
import { Sqlite } from "./sqlite.ts";

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

  /** @param lifetime Maximum time in milliseconds that connections last. */
  static async start(
    seed: number,
    lifetime: number,
    kind: Kind,
    address: string,
  ): Promise<ServerProcess> {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-config", "--unstable-kv", "--allow-all"],
        import.meta.dirname + "/server_process.ts",
        ...[String(seed), String(lifetime), kind, address],
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = process.stdout.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return new ServerProcess(new TextDecoder().decode(value).trim(), process);
  }

  async append(appends: Appends): Promise<void> {
    const init = { method: "POST", body: JSON.stringify(appends) };
    const response = await fetch(this.url, init);
    assertEquals([response.status, await response.text()], [200, ""]);
  }

  /** Appends a last message, and ends the log. */
  async end(): Promise<void> {
    const response = await fetch(this.url, { method: "DELETE" });
    assertEquals([response.status, await response.text()], [200, ""]);
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
      stack.use(
        await ServerProcess.start(1, 3000, "redis", String(redis.port)),
      ),
      stack.use(
        await ServerProcess.start(2, 3000, "redis", String(redis.port)),
      ),
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
    const counts = { count: MESSAGES / 2, mostAtOnce: 1, maxLength: 1 };
    await Promise.all(
      servers.map((it, appender) => it.append({ appender, ...counts })),
    );
    await servers[0].end();
    await Promise.all(clients);
    assert(reconnects > CLIENTS / 4, `${reconnects} reconnects`);
    console.log(`${reconnects} reconnects, ${gaps} gaps`);
  },
  notRun,
);

const APPENDERS = 4;
/** 20,000 in all, if TEST_SCALE is 10. */
const EACH = scaled(500);
const MAX_LENGTH = 20_000;

/**
 * Reads all messages, with a new connection after each that is lost. Returns the
 * appender of each message, in order.
 */
async function readAll(
  url: string,
  onReconnect: () => void,
): Promise<number[]> {
  const order: number[] = [];
  const next = Array<number>(APPENDERS).fill(0);
  const sse = await connectSse(url, {
    reconnect: { initialDelay: 10, maxDelay: 100, onReconnect },
    idleTimeout: 30_000,
    until: ({ event }) => event === "done",
  });
  for await (const event of sse) {
    if (event.event === "done") break;
    assertEquals(event.event, "message");
    const message = event.json<NumberedMessage>();
    const { appender } = message;
    assertEquals(
      message,
      numberedMessage(appender, next[appender]++, MAX_LENGTH),
    );
    order.push(appender);
  }
  assertEquals(next, Array(APPENDERS).fill(EACH));
  return order;
}

const places = {
  async redis() {
    const server = await RedisServer.start("everysec");
    return {
      address: String(server.port),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  async kv() {
    const directory = await temporaryDirectory();
    return {
      address: `${directory.path}/kv`,
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  },
  async sqlite() {
    const directory = await temporaryDirectory();
    const address = `${directory.path}/logs.db`;
    new Sqlite(address)[Symbol.dispose]();
    return {
      address,
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  },
  async postgres() {
    const server = await PostgresServer.start();
    await using client = clients.pg(server.url);
    await migrate(client);
    return {
      address: server.url,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  // deno-lint-ignore require-await
  async memory() {
    return { address: "", async [Symbol.asyncDispose]() {} };
  },
} satisfies Record<Kind, unknown>;

const whyNot: Partial<Record<Kind, string>> = {
  redis: notRun,
  postgres: whyNoPostgres(),
};

for (const kind of ["memory", "redis", "kv", "sqlite", "postgres"] as const) {
  slowTest(
    `clients of one process receive each of the ${
      APPENDERS * EACH
    } messages that ${
      kind === "memory" ? "it" : "another one"
    } appends, once and in order (${kind})`,
    async () => {
      await using place = await places[kind]();
      await using stack = new AsyncDisposableStack();
      const start = async (seed: number) =>
        stack.use(await ServerProcess.start(seed, 100, kind, place.address));
      const writer = await start(1);
      const reader = kind === "memory" ? writer : await start(2);
      let reconnects = 0;
      const reads = Array.from(
        { length: 6 },
        () => readAll(reader.url, () => void reconnects++),
      );
      await Promise.all(
        Array.from({ length: APPENDERS }, (_, appender) =>
          writer.append({
            ...{ appender, count: EACH },
            ...{ mostAtOnce: 10, maxLength: MAX_LENGTH },
          })),
      );
      await writer.end();
      // One that reads all of them after the end.
      reads.push(readAll(reader.url, () => void reconnects++));
      const orders = await deadline(Promise.all(reads), "the end", 300);
      for (const order of orders) assertEquals(order, orders[0]);
      assert(reconnects > orders.length, `${reconnects} reconnects`);
      console.log(`${reconnects} reconnects`);
    },
    whyNot[kind],
  );
}
