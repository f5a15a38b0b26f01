import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { deadline } from "./deadline.ts";

/** The head of an event stream in chunks, for {@linkcode RawConnection}. */
export const eventStreamHead = "HTTP/1.1 200 OK\r\n" +
  "Content-Type: text/event-stream\r\n" +
  "Transfer-Encoding: chunked\r\n" +
  "Connection: close\r\n\r\n";

/** One client's connection, with its request already read. */
export class RawConnection {
  /** Request line and headers, a character for each byte. */
  readonly head: string;
  #socket: Socket;
  #disconnected: Promise<void>;

  constructor(socket: Socket, head: string, disconnected: Promise<void>) {
    this.#socket = socket;
    this.head = head;
    this.#disconnected = disconnected;
  }

  /** Resolves when the client has gone. */
  get disconnected(): Promise<void> {
    return deadline(this.#disconnected, "the client to disconnect");
  }

  /** The header's bytes read as UTF-8; throws where they are not. */
  header(name: string): string | undefined {
    const line = this.head.split("\r\n").slice(1).find((line) =>
      line.toLowerCase().startsWith(`${name.toLowerCase()}:`)
    );
    if (line === undefined) return undefined;
    // Not `trim`, which would take bytes of a character for white space.
    const value = line.slice(name.length + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  }

  /** Writes this and no more; resolves when the system has taken it. */
  send(bytes: string | Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(
      bytes,
      (error) => error ? reject(error) : resolve(),
    );
    return promise;
  }

  /** Writes one HTTP chunk, as after {@linkcode eventStreamHead}. */
  chunk(text: string): Promise<void> {
    const { length } = new TextEncoder().encode(text);
    return this.send(`${length.toString(16)}\r\n${text}\r\n`);
  }

  /** Closes the connection, whatever the response still lacks. */
  end(): void {
    this.#socket.end();
  }

  /**
   * Sends a TCP reset. What the client has not yet read may be lost to it, so
   * let it read first what the test wants to see.
   */
  reset(): void {
    this.#socket.resetAndDestroy();
  }
}

export type Script = (connection: RawConnection) => void | Promise<void>;

/**
 * A TCP server that writes what the test has it write, for faults that an HTTP
 * server cannot produce. The nth connection follows the nth script, and all
 * that come after the last one. A connection stays open when its script is
 * over.
 *
 * It is built on `node:net`, because `Deno.Conn` cannot send a reset.
 */
export class RawServer implements AsyncDisposable {
  /** Ends in "/". */
  readonly url: string;
  /** All connections so far that sent a request, in order. */
  readonly connections: RawConnection[] = [];
  #server: Server;
  #isRefusing = false;
  #sockets = new Set<Socket>();
  #arrivals: PromiseWithResolvers<RawConnection>[] = [];
  #failures: unknown[] = [];

  static async listen(...scripts: [Script, ...Script[]]): Promise<RawServer> {
    const server = createServer();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
    await promise;
    return new RawServer(server, scripts);
  }

  private constructor(server: Server, scripts: Script[]) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    server.on("connection", (socket) => {
      if (this.#isRefusing) return void socket.resetAndDestroy();
      const { promise: disconnected, resolve } = Promise.withResolvers<void>();
      let head = "";
      this.#sockets.add(socket);
      socket.on("data", (bytes) => {
        if (head.includes("\r\n\r\n")) return;
        head += bytes.toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        const connection = new RawConnection(
          socket,
          head.slice(0, end),
          disconnected,
        );
        const index = this.connections.push(connection) - 1;
        this.#arrival(index).resolve(connection);
        const script = scripts[Math.min(index, scripts.length - 1)];
        this.#run(script, connection, socket);
      });
      socket.on("end", resolve);
      socket.on("error", () => resolve());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        resolve();
      });
    });
  }

  async #run(
    script: Script,
    connection: RawConnection,
    socket: Socket,
  ): Promise<void> {
    try {
      await script(connection);
    } catch (error) {
      // A script that writes until the client goes ends by failing to write.
      if (!socket.destroyed) this.#failures.push(error);
    }
  }

  /** The connection with that index, once its request has come. */
  connection(index = 0): Promise<RawConnection> {
    return deadline(this.#arrival(index).promise, `connection ${index}`);
  }

  #arrival(index: number): PromiseWithResolvers<RawConnection> {
    return this.#arrivals[index] ??= Promise.withResolvers();
  }

  /**
   * Resets each new connection at once. The port stays taken: another program
   * could take it until `accept`.
   */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Accepts connections again after {@linkcode refuse}. */
  accept(): void {
    this.#isRefusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [...this.#sockets].map((socket) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.on("close", () => resolve());
      socket.destroy();
      return promise;
    });
    await Promise.all(closed);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
    if (this.#failures.length > 0) {
      throw new AggregateError(this.#failures, "A script of RawServer failed");
    }
  }
}
