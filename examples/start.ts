// Reads an event stream and prints its events as they come: the stream at the
// URL given, or one from a server that runs here.
//
//   deno task start [URL]

import { connectSse } from "@x/sse";

const server = Deno.args.length === 0 ? serveChat() : undefined;
const url = server?.url ?? Deno.args[0];

const sse = await connectSse(url, {
  onComment: (comment) => console.log(`(comment: ${comment})`),
});
console.log(sse.response.status, sse.response.headers.get("Content-Type"));

for await (const event of sse) {
  console.log(event);
  if (event.data === "[DONE]") break; // Leaving the loop closes the connection.
}
await server?.close();

/** A server that answers as a chat API does, and takes its time. */
function serveChat() {
  const chat = [
    "retry: 3000\n\n",
    'event: start\nid: 1\ndata: {"model":"demo"}\n\n',
    ...["Server", "-Sent", " Events", " are", " lines", " of", " text."]
      .map((token, i) =>
        `id: ${i + 2}\ndata: ${
          JSON.stringify({ choices: [{ delta: { content: token } }] })
        }\n\n`
      ),
    ": still here\n\n",
    'event: usage\ndata: {\ndata:   "tokens": 7\ndata: }\n\n',
    "data: [DONE]\n\n",
  ];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => {
      const body = ReadableStream.from(slowly(chat));
      return new Response(body.pipeThrough(new TextEncoderStream()), {
        headers: { "Content-Type": "text/event-stream" },
      });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    close: () => server.shutdown(),
  };
}

async function* slowly(parts: string[]) {
  for (const part of parts) {
    yield part;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
