/**
 * Asserts that `@modelcontextprotocol/sdk` on `readSse` works as with its own
 * reader.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import type { ReceivedRequest } from "../support/http_server.ts";
import {
  eventStreamHead,
  RawServer,
  type Script,
} from "../support/raw_server.ts";
import {
  type Failure,
  failureOf,
  runBoth,
  runSame,
  settled,
} from "./compare.ts";
import { replaceReader } from "./mcp_reader.ts";
import { serve } from "./mcp_server.ts";
import {
  Client,
  LoggingMessageNotificationSchema,
  McpServer,
  StreamableHTTPClientTransport,
  ToolListChangedNotificationSchema,
} from "./mcp_sdk.ts";
import { slowTest } from "../support/slow_test.ts";

const info = { name: "test", version: "1.0.0" };

/** The notifications and errors that a client receives besides results. */
class Notices {
  readonly all: unknown[] = [];
  #more = Promise.withResolvers<void>();

  add(notice: unknown): void {
    this.all.push(notice);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** Resolves with all notices when there are at least `count`. */
  async until(count: number): Promise<unknown[]> {
    while (this.all.length < count) await this.#more.promise;
    return [...this.all];
  }
}

async function connect(url: string, sessionId?: string) {
  const client = new Client(info);
  const notices = new Notices();
  client.onerror = (error) => notices.add(failureOf(error));
  client.setNotificationHandler(
    LoggingMessageNotificationSchema,
    ({ params }) => notices.add(params),
  );
  client.setNotificationHandler(
    ToolListChangedNotificationSchema,
    ({ method }) => notices.add(method),
  );
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), {
      sessionId,
      // Too long for the test: it passes only if the server's `retry:` is used.
      reconnectionOptions: {
        initialReconnectionDelay: 60_000,
        maxReconnectionDelay: 60_000,
        reconnectionDelayGrowFactor: 1,
        maxRetries: 2,
      },
    }),
  );
  return { client, notices, [Symbol.asyncDispose]: () => client.close() };
}

/**
 * Returns a server with a tool that reports its progress and a tool that fails.
 */
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

slowTest(
  "mcp on readSse receives the same results and notifications",
  async () => {
    const { tools, sum, notices } = await runSame(async () => {
      await using server = await serve(mcpServer());
      await using session = await connect(server.url);
      const { client, notices } = session;
      const { tools } = await client.listTools();
      const sum = await client.callTool(
        { name: "add", arguments: { a: 1, b: 2 } },
        undefined,
        { onprogress: (progress) => notices.add(progress) },
      );
      return { tools, sum, notices: await notices.until(3) };
    }, replaceReader);
    assertEquals(tools.map(({ name }) => name), ["add", "fail"]);
    assertEquals<unknown>(sum, text("3"));
    assertEquals(notices, [
      { progress: 1, message: "☃\r\n" },
      { progress: 2, message: "☃\r\n" },
      { level: "info", data: { a: 1, b: 2 } },
    ]);
  },
);

slowTest("mcp on readSse receives the same errors", async () => {
  const { failed, unknown } = await runSame(async () => {
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

slowTest("mcp on readSse receives notifications outside of calls", async () => {
  const notices = await runSame(async () => {
    const mcp = mcpServer();
    await using server = await serve(mcp);
    await using session = await connect(server.url);
    await server.request(2);
    await mcp.sendLoggingMessage({ level: "info", data: "unasked" });
    mcp.sendToolListChanged();
    return await session.notices.until(2);
  }, replaceReader);
  assertEquals(notices, [
    { level: "info", data: "unasked" },
    "notifications/tools/list_changed",
  ]);
});

/**
 * Registers a tool that calls `onStart` when it has started, and returns after
 * `mayEnd`.
 */
function slowTool(
  mcp: McpServer,
  onStart: (extra: { closeSSEStream?: () => void }) => void,
  mayEnd: Promise<void>,
): void {
  mcp.registerTool("slow", {}, async (extra) => {
    const log = (data: string) =>
      extra.sendNotification({
        method: "notifications/message",
        params: { level: "info", data },
      });
    await log("begun");
    onStart(extra);
    await mayEnd;
    await log("ends");
    return { content: [{ type: "text", text: "done" }] };
  });
}

/** Returns the last event IDs of the requests that have one. */
function resumedAfter(server: { requests: ReceivedRequest[] }): string[] {
  return server.requests.flatMap(({ headers }) =>
    headers.get("last-event-id") ?? []
  );
}

slowTest(
  "mcp on readSse reconnects with the last event ID if the server closes a stream",
  async () => {
    const { result, notices, ids } = await runSame(async () => {
      const mcp = mcpServer();
      slowTool(mcp, (extra) => extra.closeSSEStream!(), Promise.resolve());
      await using server = await serve(mcp);
      await using session = await connect(server.url);
      return {
        result: await session.client.callTool({ name: "slow" }),
        notices: await session.notices.until(2),
        ids: resumedAfter(server),
      };
    }, replaceReader);
    assertEquals<unknown>(result, text("done"));
    assertEquals(notices, [
      { level: "info", data: "begun" },
      { level: "info", data: "ends" },
    ]);
    assertEquals(ids.length, 1);
  },
);

slowTest(
  "mcp on readSse reports the same resumption tokens, with which another client can continue",
  async () => {
    const { tokens, lost, result, ids } = await runSame(async () => {
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
  },
);

slowTest(
  "mcp on readSse rejects with the same error if the user aborts a call, and notifies the server",
  async () => {
    const { call, sent } = await runSame(async () => {
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
  },
);

function reply(status: string, message?: unknown): Script {
  const body = message === undefined ? "" : JSON.stringify(message);
  return (connection) =>
    connection.send(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
}

/**
 * Opens a session with a raw server. The first script answers the first call,
 * the others answer the requests that resume it.
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
      // The answer to the GET request for a stream of notifications.
      reply("405 Method Not Allowed"),
      ...scripts,
    ),
  );
  const { client, notices } = stack.use(await connect(server.url));
  await server.connection(2);
  return {
    client,
    notices,
    /** Returns the connection of the script with this index. */
    connection: (index: number) => server.connection(index + 3),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Sends a stream with this text and leaves it open. */
function open(text: string): Script {
  return async (connection) => {
    await connection.send(eventStreamHead);
    if (text !== "") await connection.chunk(text);
  };
}

/** Sends a complete stream with this text. */
function complete(text: string): Script {
  return async (connection) => {
    await open(text)(connection);
    await connection.send("0\r\n\r\n");
  };
}

function dataOf(message: Record<string, unknown>): string {
  return `data: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`;
}

const answer = dataOf({ id: 1, result: text("done") });
const startLog = { level: "info", data: "begun" };
const startEvent = dataOf({
  method: "notifications/message",
  params: startLog,
});

slowTest(
  "mcp on readSse reports the same errors for invalid messages and continues",
  async () => {
    const { result, notices } = await runSame(async () => {
      const other = dataOf({ id: 1, result: text("other") });
      await using session = await connectRaw(
        complete(
          `data: {"jsonrpc":\n\n${dataOf({})}event: other\n${other}${answer}`,
        ),
      );
      const result = await session.client.callTool({ name: "any" });
      return { result, notices: await session.notices.until(2) };
    }, replaceReader);
    assertEquals<unknown>(result, text("done"));
    assertEquals(
      notices.map((it) => (it as Failure).class),
      ["SyntaxError", "ZodError"],
    );
  },
);

/**
 * Asserts that both readers report the cut connection, each with its own error.
 */
function assertCutReported(own: unknown[], replaced: unknown[]): void {
  const [ownLog, { message }] = own as [unknown, Failure];
  const [log, failure] = replaced as [unknown, Failure];
  assertEquals(ownLog, startLog);
  assertEquals(log, startLog);
  assertEquals(
    failure.message,
    message.replace(
      ": TypeError: ",
      ": SseError: Expected more events, but the connection failed: ",
    ),
  );
}

for (const fault of ["reset", "end"] as const) {
  slowTest(
    `mcp on readSse resumes if the connection is cut by TCP ${fault} after an ID`,
    async () => {
      const { own, replaced } = await runBoth(async () => {
        await using session = await connectRaw(
          open(`retry: 1\nid: 1\n${startEvent}`),
          complete(`id: 2\n${answer}`),
        );
        const { client, notices, connection } = session;
        const result = await client.callTool({ name: "any" }, undefined, {
          onresumptiontoken(token) {
            if (token === "1") connection(0).then((it) => it[fault]());
          },
        });
        const resumed = await connection(1);
        return {
          result,
          notices: await notices.until(2),
          id: resumed.header("last-event-id"),
        };
      }, replaceReader);
      assertEquals<unknown>(own.result, text("done"));
      assertEquals(replaced.result, own.result);
      assertEquals(own.id, "1");
      assertEquals(replaced.id, own.id);
      assertCutReported(own.notices, replaced.notices);
    },
  );

  slowTest(
    `mcp on readSse reports an error if the connection is cut by TCP ${fault} before an ID`,
    async () => {
      const { own, replaced } = await runBoth(async () => {
        await using session = await connectRaw(open(startEvent));
        const { client, notices, connection } = session;
        const call = settled(client.callTool({ name: "any" }));
        await notices.until(1);
        (await connection(0))[fault]();
        const received = await notices.until(2);
        await client.close();
        return { notices: received, call: await call };
      }, replaceReader);
      assertCutReported(own.notices, replaced.notices);
      assertEquals(replaced.call, own.call);
    },
  );
}

// The SDK forgets the ID with which it resumes until it reads another one.
slowTest(
  "mcp loses the last event ID if a resumed stream ends before its first event, but not on readSse",
  async () => {
    const { own, replaced } = await runBoth(async () => {
      await using session = await connectRaw(
        complete(`retry: 1\nid: 1\n${startEvent}`),
        complete(""),
        (connection) =>
          connection.header("last-event-id") === "1"
            ? complete(answer)(connection)
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
  },
);

// In the HTML standard, an ID sets the last event ID even without data.
slowTest("mcp ignores an ID without data, but not on readSse", async () => {
  const { own, replaced } = await runBoth(async () => {
    await using session = await connectRaw(complete(`id: 1\n\n${answer}`));
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

slowTest(
  "mcp on readSse closes its streams when the client is closed",
  async () => {
    const { call, notices } = await runSame(async () => {
      await using session = await connectRaw(open(startEvent));
      const { client, notices, connection } = session;
      const call = settled(client.callTool({ name: "any" }));
      await notices.until(1);
      await client.close();
      await (await connection(0)).disconnected;
      return { call: await call, notices: notices.all };
    }, replaceReader);
    assert("failure" in call);
    assertStringIncludes(call.failure.message, "Connection closed");
    assertEquals(notices.length, 2);
  },
);
