/** Tests examples/mcp.ts against a server of the MCP SDK. */
import { assertEquals } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import { run } from "../support/run_example.ts";
import { McpServer } from "./mcp_sdk.ts";
import { serve } from "./mcp_server.ts";
import { slowTestsNotRun } from "../support/slow_test.ts";

const test = slowTestsNotRun === undefined ? Deno.test : Deno.test.ignore;

test("mcp.ts resumes the answer of an SDK server that closes the stream during a call", async () => {
  const mcp = new McpServer({ name: "test", version: "1.0.0" });
  let calls = 0;
  mcp.registerTool(
    "add",
    { inputSchema: { a: z.number(), b: z.number() } },
    async ({ a, b }, { sendNotification, _meta, closeSSEStream }) => {
      calls++;
      const sendProgress = (progress: number) =>
        sendNotification({
          method: "notifications/progress",
          params: { progressToken: _meta!.progressToken!, progress },
        });
      await sendProgress(1);
      closeSSEStream!();
      await sendProgress(2);
      return { content: [{ type: "text", text: String(a + b) }] };
    },
  );
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
  assertEquals(calls, 1);
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
});
