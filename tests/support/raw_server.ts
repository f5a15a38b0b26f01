import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { deadline, stopLater } from "./deadline.ts";

/** The head of a chunked event stream, for {@linkcode RawConnection}. */
export const eventStreamHead = "HTTP/1.1 200 OK\r\n" +
  "Content-Type: text/event-stream\r\n" +
  "Transfer-Encoding: chunked\r\n" +
  "Connection: close\r\n\r\n";

/** The connection of a client, after its request has been read. */
export class RawConnection {
  /** The request line and headers, one character for each byte. */
  readonly head: string;
  #socket: Socket;
  #disconnected: Promise<void>;

  constructor(socket: Socket, head: string, disconnected: Promise<void>) {
    this.#socket = socket;
    this.head = head;
    this.#disconnected = disconnected;
  }

  /** Resolves when the client disconnects. */
  get disconnected(): Promise<void> {
    return deadline(this.#disconnected, "the client to disconnect");
  }

  /** Decodes a header as UTF-8. Throws if its bytes are not valid UTF-8. */
  header(name: string): string | undefined {
    const line = this.head.split("\r\n").slice(1).find((line) =>
      line.toLowerCase().startsWith(`${name.toLowerCase()}:`)
    );
    if (line === undefined) return undefined;
    // Not `trim`, which would remove bytes of a character as white space.
    const value = line.slice(name.length + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  }

  /** Writes only these bytes. Resolves when the system has accepted them. */
  send(bytes: string | Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(
      bytes,
      (error) => error ? reject(error) : resolve(),
    );
    return promise;
  }

  /** Writes one HTTP chunk, for use after {@linkcode eventStreamHead}. */
  chunk(text: string): Promise<void> {
    const { length } = new TextEncoder().encode(text);
    return this.send(`${length.toString(16)}\r\n${text}\r\n`);
  }

  /** Closes the connection, even if the response is incomplete. */
  end(): void {
    this.#socket.end();
  }

  /**
   * Sends a TCP reset. The client may lose data that it has not read, so the test
   * should read all expected events first.
   */
  reset(): void {
    this.#socket.resetAndDestroy();
  }
}

export type Script = (connection: RawConnection) => void | Promise<void>;

/**
 * A TCP server whose output the test controls, for faults that an HTTP server
 * cannot produce. Runs the nth script for the nth connection, and the last script
 * for all later connections. A connection stays open when its script ends.
 *
 * It uses `node:net`, because `Deno.Conn` cannot send a reset.
 */
export class RawServer implements AsyncDisposable {
  /** Ends in "/". */
  readonly url: string;
  /** All connections so far that have sent a request, in order. */
  readonly connections: RawConnection[] = [];
  #server: Server;
  #isRefusing = false;
  #sockets = new Set<Socket>();
  #arrivals: PromiseWithResolvers<RawConnection>[] = [];
  #failures: unknown[] = [];
  #cancelStop = stopLater(() => this[Symbol.asyncDispose]());

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
      // A script that writes until the client disconnects ends with a write error.
      if (!socket.destroyed) this.#failures.push(error);
    }
  }

  /** Returns the connection with this index. Waits until its request arrives. */
  connection(index = 0): Promise<RawConnection> {
    return deadline(this.#arrival(index).promise, `connection ${index}`);
  }

  #arrival(index: number): PromiseWithResolvers<RawConnection> {
    return this.#arrivals[index] ??= Promise.withResolvers();
  }

  /**
   * Resets each new connection immediately. The server keeps its port, so that no
   * other program can use it before `accept` is called.
   */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Accepts connections again after {@linkcode refuse}. */
  accept(): void {
    this.#isRefusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelStop();
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
