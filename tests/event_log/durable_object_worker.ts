/**
 * Runs the contract of event logs in Durable Objects, each test in one of its own:
 * `GET /` lists the tests, `GET /N` runs one. `GET /stream` follows a silent log,
 * and `GET /left` is answered when the client of a stream has left.
 */
import { tests } from "./contract_globals.ts";
import {
  SQL_EVENT_LOG_SCHEMA,
  SqlConnection,
  SqlEventLog,
} from "../../src/event_log/sql.ts";
import { sseResponse } from "../../mod.ts";
import { testContract } from "./contract.ts";

interface DurableObjectState {
  storage: {
    sql: {
      exec(
        sql: string,
        ...params: (string | number | null)[]
      ): { toArray(): Record<string, unknown>[] };
    };
  };
}
interface Env {
  TESTS: {
    newUniqueId(): unknown;
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

/** That of the Durable Object that runs tests: each runs one, one after another. */
let storage: DurableObjectState["storage"];

function connect({ sql }: DurableObjectState["storage"]): SqlConnection {
  for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) sql.exec(statement);
  return new SqlConnection({
    dialect: "sqlite",
    query: (text, params) => sql.exec(text, ...params).toArray(),
    pollInterval: Infinity,
  });
}

testContract({
  name: "SqlEventLog in a Durable Object",
  steps: 1000,
  open() {
    const connection = connect(storage);
    return {
      shared: true,
      slack: 11,
      log: (key = "log", maxMessages) =>
        new SqlEventLog(connection, key, { maxMessages }),
      async [Symbol.asyncDispose]() {},
    };
  },
});

export class Test {
  readonly #storage: DurableObjectState["storage"];
  readonly #left = Promise.withResolvers<void>();

  constructor(state: DurableObjectState) {
    this.#storage = state.storage;
  }

  async fetch(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname.slice(1);
    if (path === "stream") return this.#stream();
    if (path === "left") {
      await this.#left.promise;
      return new Response("left");
    }
    storage = this.#storage;
    const { fn } = tests[Number(path)];
    try {
      await fn();
      return new Response(null, { status: 204 });
    } catch (error) {
      return new Response((error as Error)?.stack ?? String(error));
    }
  }

  #stream(): Response {
    const log = new SqlEventLog(connect(this.#storage), "silent");
    return sseResponse((signal) => {
      signal.addEventListener("abort", () => this.#left.resolve());
      return log.read("", { signal });
    }, { heartbeat: 50 });
  }
}

function isStream(path: string): boolean {
  return path === "/stream" || path === "/left";
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return Response.json(tests.map(({ name }) => name));
    const id = isStream(pathname)
      ? env.TESTS.idFromName("stream")
      : env.TESTS.newUniqueId();
    return await env.TESTS.get(id).fetch(request);
  },
};
