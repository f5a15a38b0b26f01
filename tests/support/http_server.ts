import { deadline, stopLater } from "./deadline.ts";

/** A request that the server has received. */
export interface ReceivedRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers: Headers;
  body: string;
}

export type Handler = (
  request: ReceivedRequest,
) => Response | Promise<Response>;

/**
 * A `Deno.serve` server on a port of its own. Passes the nth request to the nth
 * handler, and all later requests to the last handler.
 *
 * To detect a disconnect, respond with an `OpenResponse` and wait for
 * `cancelled`.
 */
export class HttpServer implements AsyncDisposable {
  /** Ends in "/". */
  readonly url: string;
  /** All requests so far, in order. */
  readonly requests: ReceivedRequest[] = [];
  #server: Deno.HttpServer<Deno.NetAddr>;
  #stop = new AbortController();
  #cancelStop = stopLater(() => this.#stop.abort());
  #arrivals: PromiseWithResolvers<ReceivedRequest>[] = [];

  constructor(...handlers: [Handler, ...Handler[]]) {
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        signal: this.#stop.signal,
        onListen() {},
      },
      async (request) => {
        const { pathname, search } = new URL(request.url);
        const received: ReceivedRequest = {
          method: request.method,
          path: pathname + search,
          headers: request.headers,
          body: await request.text(),
        };
        const index = this.requests.push(received) - 1;
        this.#arrival(index).resolve(received);
        return handlers[Math.min(index, handlers.length - 1)](received);
      },
    );
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** Returns the request with this index. Waits until it arrives. */
  request(index = 0): Promise<ReceivedRequest> {
    return deadline(this.#arrival(index).promise, `request ${index}`);
  }

  #arrival(index: number): PromiseWithResolvers<ReceivedRequest> {
    return this.#arrivals[index] ??= Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelStop();
    this.#stop.abort();
    await this.#server.finished;
  }
}
