// Preloaded before documentation examples: every https: request answers with
// the same event stream, so that the examples run with no network.

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

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!request.url.startsWith("https:")) return fetchFromNetwork(request);
  if (request.signal.aborted) return Promise.reject(request.signal.reason);
  const body = ReadableStream.from(eventStream)
    .pipeThrough(new TextEncoderStream());
  return Promise.resolve(
    new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
  );
};
