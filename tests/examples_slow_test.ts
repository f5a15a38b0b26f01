/**
 * Runs `generation.ts` in two processes that share a log, on SQLite, Redis and Deno KV,
 * and kills one of them in the middle of an answer; and `dashboard.ts` with many
 * clients that lose their connections.
 */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../mod.ts";
import { RedisServer, whyNoRedis } from "./event_log/redis_server.ts";
import { withPackage } from "./guides/programs.ts";
import { deadline } from "./support/deadline.ts";
import { HttpServer } from "./support/http_server.ts";
import { OpenResponse } from "./support/open_response.ts";
import { Random } from "./support/random.ts";
import { serve, serveFile } from "./support/run_example.ts";
import { slowTest } from "./support/slow_test.ts";
import { script, temporaryDirectory } from "./support/temporary_directory.ts";

/** Tokens of an answer. */
const TOKENS = 300;

type Replacement = [text: string | RegExp, by: string];

/** The tests wait until an answer counts as abandoned. */
const SHORT_TIMEOUT: Replacement = ["= 30_000", "= 5000"];

const IMPORT = /import {\s+SQL_EVENT_LOG_SCHEMA.*?event-log\/sql";/s;
const OPEN = /const db = .*?^}\);/ms;

/** Replaces SQLite by Redis. */
const ON_REDIS: Replacement[] = [
  [
    IMPORT,
    `import { RedisConnection, RedisEventLog } from "@x/sse/event-log/redis";
import { createClient } from "npm:redis@6.3.1";`,
  ],
  [
    OPEN,
    `const client = createClient({ url: Deno.env.get("REDIS_URL") });
const blocking = client.duplicate();
for (const it of [client, blocking]) await it.on("error", () => {}).connect();
const redis = new RedisConnection({
  send: (command) => client.sendCommand(command),
  sendBlocking: (command) => blocking.sendCommand(command),
});`,
  ],
  ["): SqlEventLog {", "): RedisEventLog {"],
  ["new SqlEventLog(sql, id,", "new RedisEventLog(redis, `answers:${id}`,"],
];

/** Replaces SQLite by Deno KV. */
const ON_KV: Replacement[] = [
  [IMPORT, 'import { KvEventLog } from "@x/sse/event-log/kv";'],
  [OPEN, 'const kv = await Deno.openKv(Deno.env.get("KV_PATH"));'],
  ["): SqlEventLog {", "): KvEventLog {"],
  ["new SqlEventLog(sql, id,", 'new KvEventLog(kv, ["answers", id],'],
];

/** Writes the example, changed, into a file. Returns its path. */
async function changedExample(
  directory: string,
  replacements: Replacement[],
): Promise<string> {
  const url = new URL("../examples/generation.ts", import.meta.url);
  let code = await Deno.readTextFile(url);
  for (const [text, by] of replacements) {
    const changed = code.replace(text, () => by);
    assert(changed !== code, `Expected the example to contain ${text}`);
    code = changed;
  }
  const model = new URL("../examples/model.ts", import.meta.url);
  const files = {
    "model.ts": await Deno.readTextFile(model),
    "generation.ts": code,
  };
  for (const [name, text] of Object.entries(files)) {
    await script(
      "Deno.writeTextFileSync(Deno.args[0], Deno.args[1])",
      `${directory}/${name}`,
      withPackage(text),
    );
  }
  return `${directory}/generation.ts`;
}

/** An API whose answers consist of the tokens 0, 1, 2 and so on. */
class Model implements AsyncDisposable {
  readonly #streams: OpenResponse[] = [];
  readonly #random = new Random(1);
  readonly #server = new HttpServer(() => {
    const stream = new OpenResponse();
    this.#streams.push(stream);
    return stream.response;
  });

  get url(): string {
    return this.#server.url;
  }

  /** Returns the answer to the request with this index. */
  async answer(index: number): Promise<OpenResponse> {
    await this.#server.request(index);
    return this.#streams[index];
  }

  /** Writes tokens, several at once or a moment apart. */
  async write(answer: OpenResponse, from: number, to: number): Promise<void> {
    for (let token = from; token < to; token++) {
      const choices = [{ delta: { content: String(token) } }];
      answer.send(`data: ${JSON.stringify({ choices })}\n\n`);
      if (this.#random.chance(0.3)) {
        await new Promise((resolve) =>
          setTimeout(resolve, this.#random.below(10))
        );
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}

/** A client that reads an answer until status 204. */
class Follower {
  /** The tokens and the names of other events. */
  readonly received: string[] = [];
  /** Resolves when it has been told that everything was sent. */
  readonly done: Promise<void>;
  #lastEventId = "";

  /** @param urlOf Returns the URL for the next connection. */
  constructor(urlOf: () => string, lastEventId = "") {
    this.done = this.#read(urlOf, lastEventId);
  }

  get lastEventId(): string {
    return this.#lastEventId;
  }

  async #read(urlOf: () => string, lastEventId: string): Promise<void> {
    const sse = await connectSse(urlOf, {
      lastEventId,
      reconnect: { initialDelay: 10 },
      idleTimeout: 30_000,
    });
    for await (const { event, data } of sse) {
      this.received.push(data ? JSON.parse(data) : event);
      this.#lastEventId = sse.lastEventId;
    }
    assertEquals(sse.response.status, 204);
  }

  async hasReceived(count: number): Promise<void> {
    const wait = async () => {
      while (this.received.length < count) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await deadline(Promise.race([wait(), this.done]), `${count} tokens`, 30);
    assert(this.received.length >= count, `got ${this.received}`);
  }

  /** Returns all that it has received after it has ended. */
  async all(): Promise<string[]> {
    await deadline(this.done, "the end of an answer", 30);
    return this.received;
  }
}

function tokens(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

/** Starts an answer. Returns its path. */
async function startAnswer(server: { url: string }): Promise<string> {
  const response = await fetch(server.url, { method: "POST", body: "Why?" });
  await response.body?.cancel();
  assertEquals(response.status, 201);
  return response.headers.get("location")!.slice(1);
}

async function statusOf(url: string, method: string): Promise<number> {
  const response = await fetch(url, { method });
  await response.body?.cancel();
  return response.status;
}

/** Where two processes keep their answers. */
interface Storage extends AsyncDisposable {
  replacements: Replacement[];
  env: Record<string, string>;
}

async function onRedis(): Promise<Storage> {
  const redis = await RedisServer.start("everysec");
  return {
    replacements: ON_REDIS,
    env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

async function onKv(): Promise<Storage> {
  const directory = await temporaryDirectory();
  // Created here, as it fails if two processes create it at once.
  (await Deno.openKv(`${directory.path}/kv`)).close();
  return {
    replacements: ON_KV,
    env: { KV_PATH: `${directory.path}/kv` },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

async function onSqlite(): Promise<Storage> {
  const directory = await temporaryDirectory();
  return {
    replacements: [],
    env: { SQLITE_PATH: `${directory.path}/answers.db` },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** Starts a model and two processes that answer with it. */
async function setUp(openStorage: () => Promise<Storage>) {
  const stack = new AsyncDisposableStack();
  const storage = stack.use(await openStorage());
  const directory = stack.use(await temporaryDirectory());
  const model = stack.use(new Model());
  const program = await changedExample(directory.path, [
    SHORT_TIMEOUT,
    ...storage.replacements,
  ]);
  const env = { OPENAI_BASE_URL: model.url, ...storage.env };
  const serve = async () => stack.use(await serveFile(program, env));
  const [writer, other] = await Promise.all([serve(), serve()]);
  return {
    ...{ model, serve, writer, other },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

for (
  const [name, openStorage, notRun] of [
    ["Redis", onRedis, whyNoRedis()],
    ["Deno KV", onKv, undefined],
    ["SQLite", onSqlite, undefined],
  ] as const
) {
  slowTest(
    `generation.ts on ${name}: if the process that writes an answer is killed, readers get what was stored, are told once and end`,
    async () => {
      await using it = await setUp(openStorage);
      const { model, writer, other } = it;
      const path = await startAnswer(writer);
      const answer = await model.answer(0);

      // Readers of the other process, one of which reconnects, and a reader of the
      // process that is killed, which continues on the other one.
      const early = new Follower(() => other.url + path);
      let url = writer.url;
      const moving = new Follower(() => url + path);
      await model.write(answer, 0, TOKENS / 2);
      await moving.hasReceived(TOKENS / 4);
      await early.hasReceived(TOKENS / 4);
      const start = Number(early.received.at(-1)) + 1;
      const late = new Follower(() => other.url + path, early.lastEventId);
      // Until the killed process has left.
      const writing = model.write(answer, TOKENS / 2, Infinity).catch(() => {});
      await early.hasReceived(TOKENS / 2);
      url = other.url;
      await writer[Symbol.asyncDispose]();
      await writing;
      await answer.cancelled;

      const received = await early.all();
      const stored = received.length - 1;
      assertEquals(received, [...tokens(0, stored), "abandoned"]);
      assertEquals(await moving.all(), received);
      assertEquals(await late.all(), [...tokens(start, stored), "abandoned"]);

      // After a restart, the answer can be read, and another one be written.
      await using restarted = await it.serve();
      const again = new Follower(() => restarted.url + path);
      assertEquals(await again.all(), received);
      const next = await startAnswer(restarted);
      const nextAnswer = await model.answer(1);
      await model.write(nextAnswer, 0, 3);
      nextAnswer.send("data: [DONE]\n\n");
      for (const { url } of [restarted, other]) {
        const whole = new Follower(() => url + next);
        assertEquals(await whole.all(), ["0", "1", "2", "done"]);
      }
    },
    notRun,
  );

  slowTest(
    `generation.ts on ${name}: if the process that serves a reader is killed, the reader continues on another one`,
    async () => {
      await using it = await setUp(openStorage);
      const { model, writer, other } = it;
      const path = await startAnswer(writer);
      const answer = await model.answer(0);
      let url = other.url;
      const reader = new Follower(() => url + path);
      const writing = model.write(answer, 0, TOKENS);
      await reader.hasReceived(TOKENS / 4);
      url = writer.url;
      await other[Symbol.asyncDispose]();
      await writing;
      answer.send("data: [DONE]\n\n");
      assertEquals(await reader.all(), [...tokens(0, TOKENS), "done"]);
    },
    notRun,
  );

  slowTest(
    `generation.ts on ${name}: DELETE on the other process stops an answer`,
    async () => {
      await using it = await setUp(openStorage);
      const { model, writer, other } = it;
      const path = await startAnswer(writer);
      const answer = await model.answer(0);
      const readers = [writer, other].map(({ url }) =>
        new Follower(() => url + path)
      );
      await model.write(answer, 0, 10);
      for (const reader of readers) await reader.hasReceived(10);
      assertEquals(await statusOf(other.url + path, "DELETE"), 204);
      await answer.cancelled;
      for (const reader of readers) {
        assertEquals(await reader.all(), tokens(0, 10));
      }
      // A stopped answer can be read, and stopped again.
      assertEquals(await statusOf(writer.url + path, "DELETE"), 204);
      const again = new Follower(() => writer.url + path);
      assertEquals(await again.all(), tokens(0, 10));
      assertEquals(await statusOf(`${other.url}unknown`, "DELETE"), 404);
    },
    notRun,
  );
}

slowTest(
  "dashboard.ts: 200 clients that lose their connections at random know the state exactly",
  async () => {
    await using server = await serve("dashboard.ts");
    const changes = Array.from({ length: 500 }, (_, i) => i % 7 - 3);
    const goal = 10 + changes.reduce((sum, change) => sum + change) + 1000;
    const random = new Random(1);
    let cuts = 0;

    /** Follows the stock until the last change. */
    async function follow(): Promise<number> {
      let [tea, lastEventId] = [0, ""];
      // No sum before the last change is as large.
      while (tea < 500) {
        // Cut off anywhere, also in the middle of an event.
        const signal = AbortSignal.timeout(random.below(1000));
        try {
          const sse = await connectSse(server.url, { lastEventId, signal });
          for await (const event of sse) {
            tea = event.event === "stock"
              ? event.json<{ tea: number }>().tea
              : tea + event.json<{ change: number }>().change;
            lastEventId = event.id;
            if (tea > 500) break;
          }
        } catch (error) {
          if (!signal.aborted) throw error;
          cuts++;
        }
      }
      return tea;
    }
    const clients = Array.from({ length: 200 }, follow);
    for (const change of [...changes, 1000]) {
      const body = JSON.stringify({ item: "tea", change });
      const { status } = await fetch(server.url, { method: "POST", body });
      assertEquals(status, 204);
    }
    const totals = await deadline(Promise.all(clients), "all clients", 60);
    assertEquals(new Set(totals), new Set([goal]));
    assert(cuts > clients.length, `${cuts} connections were cut`);
  },
);
