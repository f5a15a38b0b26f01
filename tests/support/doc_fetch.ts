// Preloaded before documentation examples: https: requests get canned answers,
// by their paths, so that the examples run with no network.

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

function answer(path: string): Response {
  if (path === "/token") return new Response("secret");
  if (path === "/private") return new Response("Who are you?", { status: 401 });
  const body = ReadableStream.from(path.startsWith("/jobs/") ? job : chat)
    .pipeThrough(new TextEncoderStream());
  return new Response(body, {
    headers: { "Content-Type": "text/event-stream" },
  });
}

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!request.url.startsWith("https:")) return fetchFromNetwork(request);
  if (request.signal.aborted) return Promise.reject(request.signal.reason);
  return Promise.resolve(answer(new URL(request.url).pathname));
};
