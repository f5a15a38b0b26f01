/** Asserts what `@modelcontextprotocol/sdk` does with `sseFetch`, and without it. */
import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { sseFetch } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { RawServer, type Script } from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import {
  Client,
  ErrorCode,
  McpError,
  StreamableHTTPClientTransport,
} from "./mcp_sdk.ts";
import {
  complete,
  dataOf,
  type Fetch,
  IDLE,
  open,
  reply,
  type Sdk,
  sleep,
  testFaults,
  testSame,
} from "./sse_fetch_faults.ts";

const { isMcpEnd } = await runBlock("sdks", "isMcpEnd(");

const jsonRpc = (message: unknown) => ({
  jsonrpc: "2.0",
  ...message as object,
});

const mcpResult = jsonRpc({
  id: 1,
  result: { content: [{ type: "text", text: "lo" }] },
});
const mcpProgress = jsonRpc({
  method: "notifications/progress",
  params: { progressToken: 1, progress: 1, message: "Hel" },
});

const mcpInfo = { name: "test", version: "1.0.0" };
const mcpInitialized = reply(
  "200 OK",
  JSON.stringify(jsonRpc({
    id: 0,
    result: {
      protocolVersion: "2025-11-25",
      capabilities: { tools: {} },
      serverInfo: mcpInfo,
    },
  })),
);

function mcpTransport(
  url: string,
  fetch?: Fetch,
): StreamableHTTPClientTransport {
  return new StreamableHTTPClientTransport(new URL(url), {
    fetch,
    reconnectionOptions: {
      initialReconnectionDelay: 1,
      maxReconnectionDelay: 1,
      reconnectionDelayGrowFactor: 1,
      maxRetries: 1,
    },
  });
}

/** Opens a session, and calls a tool. The answer is a progress message and "lo". */
const mcp: Sdk = {
  column: "MCP",
  until: isMcpEnd,
  beginning: dataOf(mcpProgress),
  rest: dataOf(mcpResult),
  json: jsonRpc({
    id: 1,
    result: { content: [{ type: "text", text: "Hello" }] },
  }),
  session: [
    mcpInitialized,
    reply("202 Accepted"),
    // The server has no stream for messages outside of calls.
    reply("405 Method Not Allowed"),
  ],
  async ask({ url, fetch, signal, onItem, onReport }) {
    const client = new Client(mcpInfo);
    client.onerror = onReport;
    await client.connect(mcpTransport(url, fetch));
    signal.onabort = () => client.close();
    try {
      const { content } = await client.callTool({ name: "greet" }, undefined, {
        onprogress: (progress) => onItem(progress.message!, progress),
      });
      onItem((content as { text: string }[])[0].text, content);
    } finally {
      await client.close();
    }
  },
  async askForJson(url, fetch) {
    const client = new Client(mcpInfo);
    await client.connect(mcpTransport(url, fetch));
    try {
      const { content } = await client.callTool({ name: "greet" });
      return (content as { text: string }[])[0].text;
    } finally {
      await client.close();
    }
  },
};

/** The same with event ids, so that the SDK can resume the stream. */
const mcpWithIds: Sdk = {
  ...mcp,
  column: "MCP, with event ids",
  beginning: `id: 1\n${mcp.beginning}`,
  rest: `id: 2\n${mcp.rest}`,
  resumes: true,
};

testFaults("@modelcontextprotocol/sdk", mcp);
testSame("@modelcontextprotocol/sdk", mcp);
testFaults("@modelcontextprotocol/sdk with event ids", mcpWithIds);

slowTest(
  "@modelcontextprotocol/sdk leaves the connection open after the answer, and sseFetch closes it",
  async () => {
    for (const fetch of [undefined, sseFetch({ until: isMcpEnd })]) {
      await using server = await RawServer.listen(
        ...mcp.session!.concat(open(mcp.rest)) as [Script],
      );
      const client = new Client(mcpInfo);
      await client.connect(mcpTransport(server.url, fetch));
      await client.callTool({ name: "greet" });
      const { disconnected } = await server.connection(3);
      if (fetch === undefined) {
        let isOpen = true;
        const closed = disconnected.then(() => isOpen = false);
        await sleep(2 * IDLE);
        assertEquals(isOpen, true);
        await client.close();
        await closed;
      } else {
        await disconnected;
        await client.close();
      }
    }
  },
);

slowTest(
  "@modelcontextprotocol/sdk rejects a call after its own timeout, also with sseFetch",
  async () => {
    await using server = await RawServer.listen(
      ...mcp.session!.concat(open("")) as [Script],
    );
    const client = new Client(mcpInfo);
    const reports: string[] = [];
    client.onerror = ({ message }) => void reports.push(message);
    const fetch = sseFetch({ until: isMcpEnd, idleTimeout: IDLE });
    await client.connect(mcpTransport(server.url, fetch));
    const call = client.callTool({ name: "greet" }, undefined, {
      timeout: 2 * IDLE,
    });
    const error = await deadline(call.catch((error) => error), "the error");
    assertInstanceOf(error, McpError);
    assertEquals(error.code, ErrorCode.RequestTimeout);
    assertEquals(reports.length, 1);
    assertStringIncludes(reports[0], "idleTimeout");
    await client.close();
  },
);

/** Opens a session with a stream outside of calls, and returns what is reported. */
async function reportsOf(
  get: Script,
  fetch: Fetch | undefined,
  requests: number,
) {
  const [initialized, accepted] = mcp.session!;
  await using server = await RawServer.listen(initialized, accepted, get);
  const client = new Client(mcpInfo);
  const reports: string[] = [];
  client.onerror = ({ message }) => void reports.push(message);
  await client.connect(mcpTransport(server.url, fetch));
  await server.connection(2 + requests);
  const beforeClose = [...reports];
  await client.close();
  return beforeClose;
}

slowTest(
  "@modelcontextprotocol/sdk with sseFetch opens its GET stream again, and reports each end",
  async () => {
    const ended = complete(
      dataOf(jsonRpc({ method: "notifications/tools/list_changed" })),
    );
    assertEquals(await reportsOf(ended, undefined, 2), []);
    const fetch = sseFetch({ until: isMcpEnd });
    const reports = await reportsOf(ended, fetch, 2);
    assertEquals(reports.length, 2);
    for (const report of reports) {
      assertStringIncludes(report, "Expected `until` to be met");
    }
  },
);

slowTest(
  "@modelcontextprotocol/sdk with sseFetch opens its GET stream again if it is silent",
  async () => {
    const fetch = sseFetch({ until: isMcpEnd, idleTimeout: IDLE });
    const reports = await reportsOf(open(""), fetch, 2);
    assertStringIncludes(reports[0], "idleTimeout");
  },
);
