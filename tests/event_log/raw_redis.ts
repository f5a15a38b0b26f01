/** A minimal Redis client on a socket. */

import { Buffer } from "node:buffer";

/**
 * Uses one connection at a time. After a loss, the next command opens a new
 * one.
 */
export class RawRedis implements AsyncDisposable {
  readonly #port: number;
  readonly #protocol: 2 | 3;
  #connection: Promise<Connection> | undefined;
  #closed = false;
  /** The number of connections opened so far. */
  connections = 0;

  private constructor(port: number, protocol: 2 | 3) {
    this.#port = port;
    this.#protocol = protocol;
  }

  static async connect(port: number, protocol: 2 | 3 = 2): Promise<RawRedis> {
    const redis = new RawRedis(port, protocol);
    await redis.send(["PING"]);
    return redis;
  }

  readonly send = async (command: string[]): Promise<unknown> => {
    if (this.#closed) throw new Error("The client is closed");
    this.#connection ??= this.#open();
    let connection: Connection;
    try {
      connection = await this.#connection;
    } catch (error) {
      this.#connection = undefined;
      throw error;
    }
    return await connection.send(command);
  };

  /** Closes the connection without warning, as a network failure does. */
  async drop(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    connection?.close();
  }

  async #open(): Promise<Connection> {
    const socket = await Deno.connect({
      hostname: "127.0.0.1",
      port: this.#port,
    });
    this.connections++;
    const connection = new Connection(socket, () => {
      this.#connection = undefined;
    });
    if (this.#protocol === 3) await connection.send(["HELLO", "3"]);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.drop();
  }
}

class Connection {
  readonly #socket: Deno.TcpConn;
  readonly #pending: PromiseWithResolvers<unknown>[] = [];
  #written: Promise<unknown> = Promise.resolve();
  #lost = false;

  constructor(socket: Deno.TcpConn, onLost: () => void) {
    this.#socket = socket;
    this.#read().catch(() => {}).finally(() => {
      this.#lost = true;
      this.close();
      onLost();
      for (const { reject } of this.#pending.splice(0)) {
        reject(new Error("The connection was lost"));
      }
    });
  }

  send(command: string[]): Promise<unknown> {
    if (this.#lost) return Promise.reject(new Error("The connection was lost"));
    const reply = Promise.withResolvers<unknown>();
    this.#pending.push(reply);
    const parts = command.map((part) =>
      `$${Buffer.byteLength(part)}\r\n${part}\r\n`
    );
    const text = `*${command.length}\r\n${parts.join("")}`;
    const bytes = new TextEncoder().encode(text);
    this.#written = this.#written.then(() => writeAll(this.#socket, bytes))
      .catch(() => this.close());
    return reply.promise;
  }

  close(): void {
    try {
      this.#socket.close();
    } catch {
      // It is already closed.
    }
  }

  async #read(): Promise<void> {
    let buffer = new Uint8Array();
    for await (const chunk of this.#socket.readable) {
      const joined = new Uint8Array(buffer.length + chunk.length);
      joined.set(buffer);
      joined.set(chunk, buffer.length);
      buffer = joined;
      while (true) {
        const reply = parse(buffer, 0);
        if (reply === undefined) break;
        buffer = buffer.subarray(reply.end);
        const { resolve, reject } = this.#pending.shift()!;
        if (reply.value instanceof Error) reject(reply.value);
        else resolve(reply.value);
      }
    }
  }
}

async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array) {
  for (let at = 0; at < bytes.length;) {
    at += await socket.write(bytes.subarray(at));
  }
}

/**
 * Returns a complete reply and the offset of its end, or undefined if the reply
 * is incomplete. Bulk strings are returned as bytes.
 */
function parse(
  bytes: Uint8Array,
  start: number,
): { value: unknown; end: number } | undefined {
  const lineEnd = bytes.indexOf(0x0d, start);
  if (lineEnd === -1 || lineEnd + 1 >= bytes.length) return undefined;
  const type = String.fromCharCode(bytes[start]);
  const line = new TextDecoder().decode(bytes.subarray(start + 1, lineEnd));
  let end = lineEnd + 2;
  switch (type) {
    case "+":
      return { value: line, end };
    case "-":
      return { value: new Error(line), end };
    case ":":
      return { value: Number(line), end };
    case "_":
      return { value: null, end };
    case "$": {
      const length = Number(line);
      if (length === -1) return { value: null, end };
      if (end + length + 2 > bytes.length) return undefined;
      return { value: bytes.slice(end, end + length), end: end + length + 2 };
    }
    case "*":
    case "%": {
      const count = Number(line) * (type === "%" ? 2 : 1);
      if (count < 0) return { value: null, end };
      const values: unknown[] = [];
      while (values.length < count) {
        const item = parse(bytes, end);
        if (item === undefined) return undefined;
        values.push(item.value);
        end = item.end;
      }
      return { value: values, end };
    }
    default:
      throw new Error(`Unexpected reply type ${type}`);
  }
}
