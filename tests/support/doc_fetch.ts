// Preloaded before the documentation examples. Requests to https: URLs get canned
// responses, selected by path, so that the examples run without a network.

const fetchFromNetwork = globalThis.fetch;

function token(content: string): string {
  return JSON.stringify({ choices: [{ delta: { content } }] });
}

const chat = [
  ": connected\n\n",
  `id: 1\ndata: ${token("Hello")}\n\n`,
  `id: 2\ndata: ${token(", ")}\n\n`,
  `id: 3\ndata: ${token("world")}\n\n`,
  `id: 4\nevent: usage\ndata: ${token("")}\n\n`,
  "data: [DONE]\n\n",
];

const job = [
  'id: 1\nevent: progress\ndata: {"percent":50}\n\n',
  'id: 2\nevent: done\ndata: {"url":"/files/7"}\n\n',
];

/** Responses of an MCP server to a POST, and to the GET that continues it. */
const mcp: Record<string, string[]> = {
  POST: ["retry: 1\nid: 1\ndata:\n\n"],
  GET: [`id: 2\ndata: ${JSON.stringify({ id: 1, result: "built" })}\n\n`],
};

function answer({ method, url }: Request): Response {
  const { pathname } = new URL(url);
  switch (pathname) {
    case "/token":
      return Response.json({ access_token: "secret" });
    case "/private":
      return new Response("Who are you?", { status: 401 });
    case "/mcp":
      return stream(mcp[method]);
    default:
      return stream(pathname.startsWith("/jobs/") ? job : chat);
  }
}

function stream(parts: string[]): Response {
  const body = ReadableStream.from(parts).pipeThrough(new TextEncoderStream());
  return new Response(body, {
    headers: { "Content-Type": "text/event-stream" },
  });
}

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!request.url.startsWith("https:")) return fetchFromNetwork(request);
  if (request.signal.aborted) return Promise.reject(request.signal.reason);
  return Promise.resolve(answer(request));
};
