/** `@modelcontextprotocol/sdk` on `readSse`: what comes of it is what its own reader gives. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import type { ReceivedRequest } from "../support/http_server.ts";
import {
  eventStreamHead,
  RawServer,
  type Script,
} from "../support/raw_server.ts";
import { both, type Failure, failureOf, same, settled } from "./compare.ts";
import { replaceReader } from "./mcp_reader.ts";
import { serve } from "./mcp_server.ts";
import {
  Client,
  LoggingMessageNotificationSchema,
  McpServer,
  StreamableHTTPClientTransport,
  ToolListChangedNotificationSchema,
} from "./mcp_sdk.ts";

const info = { name: "test", version: "1.0.0" };

/** What a client is told beside the results of its calls. */
class Told {
  readonly all: unknown[] = [];
  #more = Promise.withResolvers<void>();

  add(what: unknown): void {
    this.all.push(what);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** All of it, once there are so many. */
  async until(count: number): Promise<unknown[]> {
    while (this.all.length < count) await this.#more.promise;
    return [...this.all];
  }
}

async function connect(url: string, sessionId?: string) {
  const client = new Client(info);
  const told = new Told();
  client.onerror = (error) => told.add(failureOf(error));
  client.setNotificationHandler(
    LoggingMessageNotificationSchema,
    ({ params }) => told.add(params),
  );
  client.setNotificationHandler(
    ToolListChangedNotificationSchema,
    ({ method }) => told.add(method),
  );
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), {
      sessionId,
      // Far too long, so that the server's `retry:` has to be heeded.
      reconnectionOptions: {
        initialReconnectionDelay: 60_000,
        maxReconnectionDelay: 60_000,
        reconnectionDelayGrowFactor: 1,
        maxRetries: 2,
      },
    }),
  );
  return { client, told, [Symbol.asyncDispose]: () => client.close() };
}

/** A server with a tool that tells of its progress, and one that fails. */
function mcpServer(): McpServer {
  const mcp = new McpServer(info, { capabilities: { logging: {} } });
  mcp.registerTool(
    "add",
    { inputSchema: { a: z.number(), b: z.number() } },
    async ({ a, b }, { sendNotification, _meta }) => {
      for (const progress of [1, 2]) {
        await sendNotification({
          method: "notifications/progress",
          params: {
            progressToken: _meta!.progressToken!,
            progress,
            message: "☃\r\n",
          },
        });
      }
      await sendNotification({
        method: "notifications/message",
        params: { level: "info", data: { a, b } },
      });
      return { content: [{ type: "text", text: String(a + b) }] };
    },
  );
  mcp.registerTool("fail", {}, () => {
    throw new Error("This tool fails");
  });
  return mcp;
}

const text = (text: string) => ({ content: [{ type: "text", text }] });

Deno.test("mcp on readSse gets the same answers, and hears the same meanwhile", async () => {
  const { tools, sum, told } = await same(async () => {
    await using server = await serve(mcpServer());
    await using session = await connect(server.url);
    const { client, told } = session;
    const { tools } = await client.listTools();
    const sum = await client.callTool(
      { name: "add", arguments: { a: 1, b: 2 } },
      undefined,
      { onprogress: (progress) => told.add(progress) },
    );
    return { tools, sum, told: await told.until(3) };
  }, replaceReader);
  assertEquals(tools.map(({ name }) => name), ["add", "fail"]);
  assertEquals<unknown>(sum, text("3"));
  assertEquals(told, [
    { progress: 1, message: "☃\r\n" },
    { progress: 2, message: "☃\r\n" },
    { level: "info", data: { a: 1, b: 2 } },
  ]);
});

Deno.test("mcp on readSse gets the same errors", async () => {
  const { failed, unknown } = await same(async () => {
    await using server = await serve(mcpServer());
    await using session = await connect(server.url);
    const { client } = session;
    return {
      failed: await client.callTool({ name: "fail" }),
      unknown: await settled(client.getPrompt({ name: "none" })),
    };
  }, replaceReader);
  assertEquals<unknown>(failed, { ...text("This tool fails"), isError: true });
  assert("failure" in unknown);
  assertEquals(
    unknown.failure.message,
    "MCP error -32601: Method not found",
  );
});

Deno.test("mcp on readSse hears what the server sends of its own accord", async () => {
  const told = await same(async () => {
    const mcp = mcpServer();
    await using server = await serve(mcp);
    await using session = await connect(server.url);
    await server.request(2);
    await mcp.sendLoggingMessage({ level: "info", data: "unasked" });
    mcp.sendToolListChanged();
    return await session.told.until(2);
  }, replaceReader);
  assertEquals(told, [
    { level: "info", data: "unasked" },
    "notifications/tools/list_changed",
  ]);
});

/** A tool that says when it has begun, and ends once it may. */
function slowTool(
  mcp: McpServer,
  begun: (extra: { closeSSEStream?: () => void }) => void,
  mayEnd: Promise<void>,
): void {
  mcp.registerTool("slow", {}, async (extra) => {
    const tell = (data: string) =>
      extra.sendNotification({
        method: "notifications/message",
        params: { level: "info", data },
      });
    await tell("begun");
    begun(extra);
    await mayEnd;
    await tell("ends");
    return { content: [{ type: "text", text: "done" }] };
  });
}

/** The ids that requests went on after. */
function resumedAfter(server: { requests: ReceivedRequest[] }): string[] {
  return server.requests.flatMap(({ headers }) =>
    headers.get("last-event-id") ?? []
  );
}

Deno.test("mcp on readSse goes on where the server closes a stream, with the id of the last event", async () => {
  const { result, told, ids } = await same(async () => {
    const mcp = mcpServer();
    slowTool(mcp, (extra) => extra.closeSSEStream!(), Promise.resolve());
    await using server = await serve(mcp);
    await using session = await connect(server.url);
    return {
      result: await session.client.callTool({ name: "slow" }),
      told: await session.told.until(2),
      ids: resumedAfter(server),
    };
  }, replaceReader);
  assertEquals<unknown>(result, text("done"));
  assertEquals(told, [
    { level: "info", data: "begun" },
    { level: "info", data: "ends" },
  ]);
  assertEquals(ids.length, 1);
});

Deno.test("mcp on readSse gives the same tokens, with which another client goes on", async () => {
  const { tokens, lost, result, ids } = await same(async () => {
    const mcp = mcpServer();
    const { promise: mayEnd, resolve: end } = Promise.withResolvers<void>();
    slowTool(mcp, () => {}, mayEnd);
    await using server = await serve(mcp);
    const tokens: string[] = [];
    const { promise: twoTokens, resolve } = Promise.withResolvers<void>();
    await using first = await connect(server.url);
    const lost = settled(
      first.client.callTool({ name: "slow" }, undefined, {
        onresumptiontoken(token) {
          if (tokens.push(token) === 2) resolve();
        },
      }),
    );
    await twoTokens;
    await first.client.close();
    end();
    await using second = await connect(server.url, "session-1");
    const result = await second.client.callTool(
      { name: "slow" },
      undefined,
      { resumptionToken: tokens[1] },
    );
    return { tokens, lost: await lost, result, ids: resumedAfter(server) };
  }, replaceReader);
  assert("failure" in lost);
  assertEquals<unknown>(result, text("done"));
  assertEquals(ids, [tokens[1]]);
});

Deno.test("mcp on readSse fails the same where its user aborts a call, and tells the server", async () => {
  const { call, sent } = await same(async () => {
    const mcp = mcpServer();
    const controller = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    slowTool(mcp, () => controller.abort(), promise);
    await using server = await serve(mcp);
    await using session = await connect(server.url);
    const call = await settled(
      session.client.callTool({ name: "slow" }, undefined, {
        signal: controller.signal,
      }),
    );
    const { body } = await server.request(4);
    resolve();
    return { call, sent: JSON.parse(body) };
  }, replaceReader);
  assert("failure" in call);
  assertStringIncludes(call.failure.message, "AbortError");
  assertEquals(sent.method, "notifications/cancelled");
});

function reply(status: string, message?: unknown): Script {
  const body = message === undefined ? "" : JSON.stringify(message);
  return (connection) =>
    connection.send(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
}

/**
 * A session with a server that answers the first call as the first of these
 * scripts says, and what resumes it as the others do.
 */
async function connectRaw(...scripts: Script[]) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(
    await RawServer.listen(
      reply("200 OK", {
        jsonrpc: "2.0",
        id: 0,
        result: {
          protocolVersion: "2025-11-25",
          capabilities: { tools: {} },
          serverInfo: info,
        },
      }),
      reply("202 Accepted"),
      // To a client that asks for a stream of what is no answer.
      reply("405 Method Not Allowed"),
      ...scripts,
    ),
  );
  const { client, told } = stack.use(await connect(server.url));
  await server.connection(2);
  return {
    client,
    told,
    /** The connection with that index of those that follow the scripts. */
    connection: (index: number) => server.connection(index + 3),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Sends a stream of this text, and leaves it open. */
function open(text: string): Script {
  return async (connection) => {
    await connection.send(eventStreamHead);
    if (text !== "") await connection.chunk(text);
  };
}

/** Sends a stream of this text. */
function whole(text: string): Script {
  return async (connection) => {
    await open(text)(connection);
    await connection.send("0\r\n\r\n");
  };
}

function dataOf(message: Record<string, unknown>): string {
  return `data: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`;
}

const answer = dataOf({ id: 1, result: text("done") });
const begun = { level: "info", data: "begun" };
const begunLog = dataOf({ method: "notifications/message", params: begun });

Deno.test("mcp on readSse says the same of what is no message, and reads on", async () => {
  const { result, told } = await same(async () => {
    const other = dataOf({ id: 1, result: text("other") });
    await using session = await connectRaw(
      whole(
        `data: {"jsonrpc":\n\n${dataOf({})}event: other\n${other}${answer}`,
      ),
    );
    const result = await session.client.callTool({ name: "any" });
    return { result, told: await session.told.until(2) };
  }, replaceReader);
  assertEquals<unknown>(result, text("done"));
  assertEquals(
    told.map((it) => (it as Failure).class),
    ["SyntaxError", "ZodError"],
  );
});

/** Asserts that a cut was told of by both, each in the words of its reader. */
function assertToldOfCut(own: unknown[], replaced: unknown[]): void {
  const [ownLog, { message }] = own as [unknown, Failure];
  const [log, failure] = replaced as [unknown, Failure];
  assertEquals(ownLog, begun);
  assertEquals(log, begun);
  assertEquals(
    failure.message,
    message.replace(
      ": TypeError: ",
      ": SseError: Expected more events, but the connection failed: ",
    ),
  );
}

for (const fault of ["reset", "end"] as const) {
  Deno.test(`mcp on readSse goes on where a connection is cut, by TCP's ${fault}, after an id`, async () => {
    const { own, replaced } = await both(async () => {
      await using session = await connectRaw(
        open(`retry: 1\nid: 1\n${begunLog}`),
        whole(`id: 2\n${answer}`),
      );
      const { client, told, connection } = session;
      const result = await client.callTool({ name: "any" }, undefined, {
        onresumptiontoken(token) {
          if (token === "1") connection(0).then((it) => it[fault]());
        },
      });
      const resumed = await connection(1);
      return {
        result,
        told: await told.until(2),
        id: resumed.header("last-event-id"),
      };
    }, replaceReader);
    assertEquals<unknown>(own.result, text("done"));
    assertEquals(replaced.result, own.result);
    assertEquals(own.id, "1");
    assertEquals(replaced.id, own.id);
    assertToldOfCut(own.told, replaced.told);
  });

  Deno.test(`mcp on readSse tells of a connection that is cut, by TCP's ${fault}, before an id`, async () => {
    const { own, replaced } = await both(async () => {
      await using session = await connectRaw(open(begunLog));
      const { client, told, connection } = session;
      const call = settled(client.callTool({ name: "any" }));
      await told.until(1);
      (await connection(0))[fault]();
      const toldOf = await told.until(2);
      await client.close();
      return { told: toldOf, call: await call };
    }, replaceReader);
    assertToldOfCut(own.told, replaced.told);
    assertEquals(replaced.call, own.call);
  });
}

// The SDK forgets the id that it goes on after until it reads another.
Deno.test("mcp loses its place where a resumed stream ends before its first event, and on readSse keeps it", async () => {
  const { own, replaced } = await both(async () => {
    await using session = await connectRaw(
      whole(`retry: 1\nid: 1\n${begunLog}`),
      whole(""),
      (connection) =>
        connection.header("last-event-id") === "1"
          ? whole(answer)(connection)
          : reply("405 Method Not Allowed")(connection),
    );
    const { client, connection } = session;
    const call = settled(client.callTool({ name: "any" }));
    const id = (await connection(2)).header("last-event-id");
    if (id === undefined) await client.close();
    return { id, call: await call };
  }, replaceReader);
  assertEquals(own.id, undefined);
  assertEquals("failure" in own.call, true);
  assertEquals<unknown>(replaced, { id: "1", call: { value: text("done") } });
});

// To the standard, an id counts whether or not there is data with it.
Deno.test("mcp passes over an id without data, and on readSse heeds it", async () => {
  const { own, replaced } = await both(async () => {
    await using session = await connectRaw(whole(`id: 1\n\n${answer}`));
    const tokens: string[] = [];
    const result = await session.client.callTool({ name: "any" }, undefined, {
      onresumptiontoken: (token) => void tokens.push(token),
    });
    return { tokens, result };
  }, replaceReader);
  assertEquals(own.tokens, []);
  assertEquals(replaced.tokens, ["1"]);
  assertEquals(replaced.result, own.result);
});

Deno.test("mcp on readSse lets go of its streams where it is closed", async () => {
  const { call, told } = await same(async () => {
    await using session = await connectRaw(open(begunLog));
    const { client, told, connection } = session;
    const call = settled(client.callTool({ name: "any" }));
    await told.until(1);
    await client.close();
    await (await connection(0)).disconnected;
    return { call: await call, told: told.all };
  }, replaceReader);
  assert("failure" in call);
  assertStringIncludes(call.failure.message, "Connection closed");
  assertEquals(told.length, 2);
});
