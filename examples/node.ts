// Serves an event stream with `node:http`. `toNode` also works with Express, Koa
// and Fastify, as their requests and responses are those of Node:
// examples/guides/servers.md shows how.
//
//   deno run --allow-net --allow-env examples/node.ts
//   curl --no-buffer http://localhost:8000/
//
// It also runs on Node and Bun. PORT is the port to listen on, 8000 by default.

import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sseResponse } from "@x/sse";

let listeners = 0;

const server = createServer(toNode((request) => {
  if (new URL(request.url).pathname === "/listeners") {
    return new Response(String(listeners));
  }
  return sseResponse(ticks(), { heartbeat: 15_000 });
}));
server.listen(Number(process.env.PORT ?? 8000), () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : address);
});

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

/** Makes a listener for Node's servers of a function that returns a Response. */
function toNode(handler: (request: Request) => Response | Promise<Response>) {
  return async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    try {
      await send(await handler(toRequest(incoming)), outgoing);
    } catch (error) {
      // The client has left, which is not an error of the server.
      if (codeOf(error) === "ERR_STREAM_PREMATURE_CLOSE") return;
      console.error(error);
      if (!outgoing.headersSent) outgoing.statusCode = 500;
      outgoing.end();
    }
  };
}

/** Makes a `Request` without a body. */
function toRequest({ method, url, headersDistinct }: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  // Not `new URL(url, base)`, which throws for the path "//".
  return new Request(`http://localhost${url}`, { method, headers });
}

/** Sends a `Response` as the response of a Node server. */
async function send(from: Response, to: ServerResponse): Promise<void> {
  const { status, headers, body } = from;
  to.statusCode = status;
  to.setHeaders(headers);
  // The client may have left while the handler was working.
  if (body === null || to.destroyed || to.req.method === "HEAD") {
    await body?.cancel(); // Closes the source.
    to.end();
    return;
  }
  to.flushHeaders();
  // Not `pipe`, which does not close the source when the client leaves.
  // `as never`, because the types of Node and of the DOM differ.
  await pipeline(Readable.fromWeb(body as never), to);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
