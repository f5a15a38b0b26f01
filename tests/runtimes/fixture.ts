/**
 * The server for the suite. It runs in Deno, on whichever runtime the suite runs.
 * The request URL contains the replies, and the log of requests is available over
 * HTTP, so each case is self-contained and needs only `fetch`.
 *
 * It uses `node:http`, because `Deno.serve` can neither reset a connection nor
 * send a body without framing.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { Context, Log, Reply, Result } from "./protocol.ts";

/** The log and the open connections of one URL. */
class Stream {
  readonly log: Log = { requests: [], preflights: [], disconnects: 0 };
  /** Functions that break a connection, called when the case requests it. */
  pendingBreaks: (() => void)[] = [];
  #changed = Promise.withResolvers<void>();

  notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Resolves when the log has this many requests and disconnects. */
  async waitFor(requests: number, disconnects: number): Promise<void> {
    while (
      this.log.requests.length < requests || this.log.disconnects < disconnects
    ) await this.#changed.promise;
  }
}

export class Fixture implements AsyncDisposable {
  readonly origin: string;
  readonly crossOrigin: string;
  readonly closedOrigin: string;
  /** Called with each result from the suite. */
  onResult: (result: Result) => void = () => {};
  #servers: Server[];
  #suite: string;
  #streams = new Map<string, Stream>();

  /** Starts the server. `suite` is the bundled suite, which browsers import. */
  static async listen(suite: string): Promise<Fixture> {
    const servers = [createServer(), createServer(), createServer()];
    const origins = await Promise.all(servers.map(listening));
    await closed(servers.pop()!);
    return new Fixture(suite, servers, origins);
  }

  private constructor(suite: string, servers: Server[], origins: string[]) {
    [this.origin, this.crossOrigin, this.closedOrigin] = origins;
    this.#suite = suite;
    this.#servers = servers;
    for (const server of servers) {
      server.on("request", (request, response) => {
        this.#answer(request, response).catch((error) => {
          console.error(`${request.method} ${request.url}: ${error}`);
          response.destroy();
        });
      });
    }
  }

  /** Returns the URL of a page that runs the suite. */
  page(context: Context): string {
    const query = new URLSearchParams({ context: JSON.stringify(context) });
    return `${this.origin}/page?${query}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map(closed));
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const url = new URL(request.url!, this.origin);
    const [endpoint, name = ""] = url.pathname.slice(1).split("/")
      .map(decodeURIComponent);
    switch (endpoint) {
      case "stream": {
        const replies = JSON.parse(url.searchParams.get("replies")!);
        await sendReply(this.#stream(name), replies, request, response);
        return;
      }
      case "log": {
        const stream = this.#stream(name);
        await stream.waitFor(
          Number(url.searchParams.get("requests")),
          Number(url.searchParams.get("disconnects")),
        );
        send(response, "application/json", JSON.stringify(stream.log));
        return;
      }
      case "break": {
        const stream = this.#stream(name);
        for (const breakConnection of stream.pendingBreaks) breakConnection();
        stream.pendingBreaks = [];
        send(response, "text/plain", "");
        return;
      }
      case "results":
        this.onResult(JSON.parse(await bodyOf(request)));
        send(response, "text/plain", "");
        return;
      case "loop":
        response.writeHead(302, {
          "access-control-allow-origin": "*",
          location: url.href,
        }).end();
        return;
      case "page":
        send(
          response,
          "text/html",
          `<script type="module">import { run } from "./suite.mjs"; ` +
            `await run(${url.searchParams.get("context")});</script>`,
        );
        return;
      case "suite.mjs":
        send(response, "text/javascript", this.#suite);
        return;
      default:
        response.writeHead(404).end();
    }
  }

  #stream(name: string): Stream {
    let stream = this.#streams.get(name);
    if (!stream) this.#streams.set(name, stream = new Stream());
    return stream;
  }
}

/** Sends the nth reply to the nth request, and the last reply to all later ones. */
async function sendReply(
  stream: Stream,
  replies: Reply[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { log } = stream;
  response.setHeader("access-control-allow-origin", "*");
  if (request.method === "OPTIONS") {
    const requestedHeaders =
      request.headers["access-control-request-headers"] ?? "";
    log.preflights.push(requestedHeaders);
    response.setHeader("access-control-allow-headers", requestedHeaders);
    response.writeHead(204).end();
    return;
  }

  const count = log.requests.push({
    method: request.method!,
    headers: headersOf(request),
    body: await bodyOf(request),
  });
  const reply = replies[Math.min(count, replies.length) - 1];
  const then = reply.then ?? "end";
  let broken = false;
  response.on("close", () => {
    if (broken || response.writableFinished) return;
    log.disconnects++;
    stream.notify();
  });
  stream.notify();
  if (reply.silent) return;

  if (reply.bare) {
    response.useChunkedEncodingByDefault = false;
    response.shouldKeepAlive = false;
  }
  response.writeHead(reply.status ?? 200, {
    "content-type": "text/event-stream",
    ...reply.headers,
  });
  response.flushHeaders();
  if (reply.body) {
    const gzip = reply.headers?.["content-encoding"] === "gzip";
    response.write(gzip ? gzipSync(reply.body) : reply.body);
  }
  if (then === "end") response.end();
  if (then === "cut" || then === "reset") {
    stream.pendingBreaks.push(() => {
      broken = true;
      if (then === "cut") response.destroy();
      else response.socket!.resetAndDestroy();
    });
  }
}

function send(response: ServerResponse, type: string, body: string): void {
  response.writeHead(200, { "content-type": `${type}; charset=utf-8` });
  response.end(body);
}

function headersOf({ rawHeaders }: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    headers[rawHeaders[i].toLowerCase()] = rawHeaders[i + 1];
  }
  return headers;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  return body;
}

/** Starts the server and returns its origin. */
function listening(server: Server): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    resolve(`http://127.0.0.1:${port}`);
  });
  return promise;
}

function closed(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}
