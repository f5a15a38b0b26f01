// Calls a tool of an MCP server over Streamable HTTP, and prints the result. This
// is a client of the protocol revision 2025-11-25 and older ones, with a session
// and with streams that can be resumed. A POST sends the call, and a stream
// returns the result. If the stream is lost, a GET with the last event ID
// continues it, so that the tool is not called twice.
//
//   deno run --allow-net examples/mcp.ts http://localhost:3000/mcp add '{"a": 1, "b": 2}'
//
// The revision 2026-07-28 has neither sessions nor resumable streams. The guide
// examples/guides/mcp.md shows a client of it.

import { connectSse, type SseConnection } from "@x/sse";

interface Message {
  id?: number;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string };
}

const [url, tool, args = "{}"] = Deno.args;

/** The headers of all requests after `initialize`. */
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
await fetch(post({ method: "notifications/initialized" }), {
  signal: AbortSignal.timeout(10_000),
});

const { content, isError } = await request<
  { content: { text?: string }[]; isError?: boolean }
>("tools/call", {
  name: tool,
  arguments: JSON.parse(args),
  _meta: { progressToken: 1 },
});
for (const part of content) console.log(part.text ?? part);

if (sessionHeaders.has("Mcp-Session-Id")) {
  await fetch(url, {
    method: "DELETE",
    headers: sessionHeaders,
    signal: AbortSignal.timeout(10_000),
  }).catch(console.error); // The result is known already.
}
if (isError) Deno.exit(1);

/** Sends a request, and returns its result. */
async function request<Result>(
  method: string,
  params: unknown,
): Promise<Result> {
  const id = ++lastId;
  let sse: SseConnection | undefined = undefined;
  sse = await connectSse(
    ({ attempt }) =>
      attempt === 0
        ? post({ id, method, params })
        // The library adds Last-Event-ID.
        : new Request(url, { headers: sessionHeaders }),
    {
      connectTimeout: 600_000, // A call without a stream.
      idleTimeout: 60_000,
      reconnect: {
        // Without an id, the stream cannot be resumed.
        shouldReconnect: () => sse?.lastEventId ? undefined : false,
      },
    },
  );

  const { response } = sse;
  if (!response.ok) {
    throw new Error(`${response.status} ${await response.text()}`);
  }
  const sessionId = response.headers.get("Mcp-Session-Id");
  if (sessionId !== null) sessionHeaders.set("Mcp-Session-Id", sessionId);
  // The server may answer with JSON instead of a stream.
  const type = response.headers.get("Content-Type");
  if (type?.startsWith("application/json")) {
    return resultOf<Result>(await response.json());
  }

  for await (const event of sse) {
    if (event.data === "") continue; // The event only sets the id.
    const message = event.json<Message>();
    // Requests of the server have ids, too, and a method.
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
  if (!result) throw new Error("The answer has no result");
  return result as Result;
}
