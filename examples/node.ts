// Serves an event stream with `node:http`, which is what Express and its like are
// made of: there too, `request` and `response` are what they are here.
//
//   deno run --allow-net --allow-env examples/node.ts
//   curl --no-buffer http://localhost:8000/
//
// On Node itself it runs as it is. PORT chooses another port.

import { createServer, type ServerResponse } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sseResponse } from "@x/sse";

let listeners = 0;

const server = createServer((request, response) => {
  if (request.url === "/listeners") response.end(String(listeners));
  else send(sseResponse(ticks(), { heartbeat: 15_000 }), response);
});
server.listen(Number(process.env.PORT ?? 8000), () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : address);
});

/** Sends a `Response` as the answer of a Node server. */
async function send(from: Response, to: ServerResponse): Promise<void> {
  to.writeHead(from.status, Object.fromEntries(from.headers));
  to.flushHeaders();
  // Not `pipe`, which would leave the source running when the client has gone.
  await pipeline(Readable.fromWeb(from.body as never), to).catch(() => {});
}

async function* ticks() {
  listeners++;
  try {
    for (let n = 0;; n++) {
      yield { id: String(n), data: new Date().toISOString() };
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    listeners--;
  }
}
