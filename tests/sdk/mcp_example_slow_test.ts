/** Tests examples/mcp.ts against a server of the MCP SDK. */
import { assertEquals } from "@std/assert";
import { run } from "../support/run_example.ts";
import { McpServer } from "./mcp_sdk.ts";
import { registerInterruptedAdd, serve } from "./mcp_server.ts";
import { slowTest } from "../support/slow_test.ts";

slowTest(
  "mcp.ts resumes the answer of an SDK server that closes the stream during a call",
  async () => {
    const mcp = new McpServer({ name: "test", version: "1.0.0" });
    const add = registerInterruptedAdd(mcp);
    await using server = await serve(mcp);
    const { code, stdout, stderr } = await run("mcp.ts", [
      server.url,
      "add",
      '{"a": 1, "b": 2}',
    ]);
    assertEquals(stdout, "3\n");
    assertEquals(
      stderr,
      [1, 2].map((progress) =>
        `notifications/progress { progressToken: 1, progress: ${progress} }\n`
      ).join(""),
    );
    assertEquals(code, 0);
    assertEquals(add.calls, 1);
    assertEquals(
      server.requests.map(({ method, headers }) => [
        method,
        headers.has("last-event-id"),
      ]),
      [
        ["POST", false],
        ["POST", false],
        ["POST", false],
        ["GET", true],
        ["DELETE", false],
      ],
    );
  },
);
