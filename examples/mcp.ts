// Calls a tool of an MCP server over Streamable HTTP, and prints what it gives. A
// POST asks, and a stream answers; where that is lost, a GET with the id of the
// last event goes on with it, and the tool is not called twice.
//
//   deno run --allow-net examples/mcp.ts http://localhost:3000/mcp add '{"a": 1, "b": 2}'

import { connectSse } from "@x/sse";

interface Message {
  id?: number;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string };
}

const [url, tool, args = "{}"] = Deno.args;

/** What the server wants each request to say. */
const sessionHeaders = new Headers();
let lastId = 0;

const { protocolVersion } = await request<{ protocolVersion: string }>(
  "initialize",
  {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "example", version: "1.0.0" },
  },
);
sessionHeaders.set("MCP-Protocol-Version", protocolVersion);
await fetch(post({ method: "notifications/initialized" }));

const { content, isError } = await request<
  { content: { text?: string }[]; isError?: boolean }
>("tools/call", {
  name: tool,
  arguments: JSON.parse(args),
  _meta: { progressToken: 1 },
});
for (const part of content) console.log(part.text ?? part);

await fetch(url, { method: "DELETE", headers: sessionHeaders });
if (isError) Deno.exit(1);

/** Asks the server, and waits for the answer. */
async function request<Result>(
  method: string,
  params: unknown,
): Promise<Result> {
  const id = ++lastId;
  let canResume = false;
  const sse = await connectSse(
    ({ attempt }) =>
      attempt === 0
        ? post({ id, method, params })
        : new Request(url, { headers: sessionHeaders }),
    {
      idleTimeout: 60_000,
      reconnect: {
        // Without an id there is nothing to go on after.
        shouldReconnect: () => canResume ? undefined : false,
      },
    },
  );

  const { response } = sse;
  if (!response.ok) {
    throw new Error(`${response.status} ${await response.text()}`);
  }
  const sessionId = response.headers.get("Mcp-Session-Id");
  if (sessionId !== null) sessionHeaders.set("Mcp-Session-Id", sessionId);
  // A server may answer without a stream.
  const type = response.headers.get("Content-Type");
  if (type?.startsWith("application/json")) {
    return resultOf<Result>(await response.json());
  }

  for await (const event of sse) {
    canResume = event.id !== "";
    if (event.data === "") continue; // It is there for its id.
    const message = event.json<Message>();
    // A server may ask too, with ids of its own.
    if (message.id === id && !message.method) return resultOf<Result>(message);
    console.error(message.method, message.params);
  }
  throw new Error(`The stream ended without an answer to ${method}`);
}

function post(message: Message): Request {
  const headers = new Headers(sessionHeaders);
  headers.set("Accept", "application/json, text/event-stream");
  headers.set("Content-Type", "application/json");
  return new Request(url, {
    method: "POST",
    headers,
    body: JSON.stringify({ jsonrpc: "2.0", ...message }),
  });
}

function resultOf<Result>({ result, error }: Message): Result {
  if (error) throw new Error(`${error.message} (${error.code})`);
  return result as Result;
}
