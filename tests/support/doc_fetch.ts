// Preloaded before documentation examples: every https: request is answered
// here, nearly all with the same event stream, so that the examples run with no
// network.

const fetchFromNetwork = globalThis.fetch;

function token(content: string): string {
  return JSON.stringify({ choices: [{ delta: { content } }] });
}

const eventStream = [
  ": connected\n\n",
  `id: 1\ndata: ${token("Hello")}\n\n`,
  `id: 2\ndata: ${token(", ")}\n\n`,
  `id: 3\ndata: ${token("world")}\n\n`,
  `id: 4\nevent: usage\ndata: ${token("")}\n\n`,
  "data: [DONE]\n\n",
];

/** What an MCP server says to a POST, and to the GET that goes on with it. */
const mcpStreams: Record<string, string> = {
  POST: "retry: 1\nid: 1\ndata:\n\n",
  GET: `id: 2\ndata: ${JSON.stringify({ id: 1, result: "built" })}\n\n`,
};

function streamFor({ method, url }: Request): string[] {
  return url.endsWith("/mcp") ? [mcpStreams[method]] : eventStream;
}

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!request.url.startsWith("https:")) return fetchFromNetwork(request);
  if (request.signal.aborted) return Promise.reject(request.signal.reason);
  if (request.url.endsWith("/token")) {
    return Promise.resolve(Response.json({ access_token: "secret" }));
  }
  const body = ReadableStream.from(streamFor(request))
    .pipeThrough(new TextEncoderStream());
  return Promise.resolve(
    new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
  );
};
