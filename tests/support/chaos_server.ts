import { Random } from "./random.ts";
import { type RawConnection, RawServer } from "./raw_server.ts";

/** An event of the log, as a client should receive it. */
export interface LoggedEvent {
  event: string;
  data: string;
  id: string;
}

const TEXT = [..."abc: ", "é", "☃", "🎉", "\n", "\u2028", "data: ", "id: 7"];

/** Returns the event with this number. Its ID is unique and outside Latin-1. */
export function loggedEvent(number: number): LoggedEvent {
  const random = new Random(number);
  const large = random.chance(0.002);
  return {
    event: random.pick(["message", "message", "add", "löschen"]),
    data: large ? random.join(TEXT, 40).repeat(100) : random.join(TEXT, 12),
    id: `☃${number}🎉`,
  };
}

function numberOf(id: string): number {
  const match = /^☃([0-9]+)🎉$/.exec(id);
  if (match === null) {
    throw new Error(`Expected an ID of the log, got ${JSON.stringify(id)}`);
  }
  return Number(match[1]);
}

const utf8 = new TextEncoder();
const GARBAGE = "\x16\x03 ssh\x00, not HTTP\r\n\r\n";
const STATUSES = [408, 425, 429, 500, 502, 503, 504, 520, 529];

/** The ways in which a connection breaks. */
const DEATHS = [
  "garbage instead of HTTP",
  "a cut head",
  "a status",
  "end",
  "end without a chunk's end",
  "end without the last chunk",
  "garbage instead of a chunk",
  "reset",
  "reset and refusal",
] as const;
/** Like `DEATHS`, but rare, because the client notices them only by timeouts. */
const SLOW_DEATHS = ["no head", "stall"] as const;
type Death = typeof DEATHS[number] | typeof SLOW_DEATHS[number];

/**
 * Sends a log of numbered events, starting after `Last-Event-ID`, and breaks each
 * connection at a random byte, in a random way.
 */
export class ChaosServer implements AsyncDisposable {
  /** The number of connections that broke in each way. */
  readonly deaths = new Map<Death, number>(
    [...DEATHS, ...SLOW_DEATHS].map((death) => [death, 0]),
  );
  readonly #random: Random;
  readonly #length: number;
  #server!: RawServer;

  static async listen(length: number, seed: number): Promise<ChaosServer> {
    const chaos = new ChaosServer(length, seed);
    chaos.#server = await RawServer.listen((connection) =>
      chaos.#serve(connection)
    );
    return chaos;
  }

  private constructor(length: number, seed: number) {
    this.#length = length;
    this.#random = new Random(seed);
  }

  get url(): string {
    return this.#server.url;
  }

  get connections(): number {
    return this.#server.connections.length;
  }

  /** Accepts connections again after a refusal. The refused client calls it. */
  comeBack(): void {
    this.#server.accept();
  }

  async #serve(connection: RawConnection): Promise<void> {
    const id = connection.header("Last-Event-ID");
    const start = id === undefined ? 0 : numberOf(id) + 1;
    const death = this.#random.pick<Death>(
      this.#random.chance(0.04) ? SLOW_DEATHS : DEATHS,
    );
    this.deaths.set(death, this.deaths.get(death)! + 1);
    try {
      await this.#send(connection, death, start);
    } catch {
      return; // The client has disconnected.
    }
    switch (death) {
      case "no head":
      case "stall":
        return await connection.disconnected;
      case "reset and refusal":
        this.#server.refuse();
        return connection.reset();
      case "reset":
        return connection.reset();
      default:
        return connection.end();
    }
  }

  async #send(
    connection: RawConnection,
    death: Death,
    start: number,
  ): Promise<void> {
    const random = this.#random;
    const chunked = death === "garbage instead of a chunk" ||
      death.startsWith("end without") || random.chance(0.7);
    const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
      (chunked ? "Transfer-Encoding: chunked\r\n" : "") +
      "Connection: close\r\n\r\n";
    switch (death) {
      case "garbage instead of HTTP":
        return await connection.send(GARBAGE);
      case "a cut head":
        return await connection.send(head.slice(0, random.below(head.length)));
      case "no head":
        return;
      case "a status": {
        const retryAfter = random.chance(0.5) ? "Retry-After: 0\r\n" : "";
        return await connection.send(
          `HTTP/1.1 ${random.pick(STATUSES)} No\r\n${retryAfter}` +
            "Content-Length: 5\r\nConnection: close\r\n\r\nSorry",
        );
      }
    }

    const parts = [utf8.encode(head)];
    const bytes = this.#stream(start);
    let chunk: Uint8Array<ArrayBuffer>;
    for (let at = 0; at < bytes.length; at += chunk.length) {
      const longest = random.pick([1, 10, 100, 1000, 10_000]);
      chunk = bytes.slice(at, at + 1 + random.below(longest));
      if (chunked) parts.push(utf8.encode(`${chunk.length.toString(16)}\r\n`));
      parts.push(chunk);
      if (chunked) parts.push(utf8.encode("\r\n"));
    }
    if (death === "end" && chunked) parts.push(utf8.encode("0\r\n\r\n"));
    if (death === "end without a chunk's end") {
      parts.push(utf8.encode("ffff\r\nid: ☃0🎉\ndata: cut"));
    }
    if (death === "garbage instead of a chunk") {
      parts.push(utf8.encode("data: this is no chunk\n\n"));
    }
    const wire = new Uint8Array(await new Blob(parts).arrayBuffer());
    // Sends few parts, as the system may wait 40 ms before it sends another one.
    let sent = 0;
    while (sent < wire.length) {
      const end = random.chance(0.5)
        ? wire.length
        : sent + 1 + random.below(wire.length - sent);
      await connection.send(wire.subarray(sent, end));
      sent = end;
    }
  }

  /** Returns the bytes of the log for one connection, cut off at a random byte. */
  #stream(start: number): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    // Sometimes long enough for the largest event.
    const most = random.chance(0.04)
      ? 60_000
      : random.pick([0, 50, 1000, 5000, 10_000]);
    const length = random.below(most + 1);
    const lineEnd = random.pick(["\n", "\r", "\r\n"]);
    let text = random.chance(0.1) ? "\uFEFF" : "";
    for (let i = start; i < this.#length && text.length < length; i++) {
      if (random.chance(0.05)) text += `: comment${lineEnd}`;
      if (random.chance(0.05)) text += `: comment${lineEnd}${lineEnd}`;
      if (random.chance(0.02)) text += `retry: ${random.below(3)}${lineEnd}`;
      text += block(loggedEvent(i), random).join(lineEnd) + lineEnd + lineEnd;
    }
    // Does not cut off the end of the log, so that a client can reach it.
    const bytes = utf8.encode(text);
    return text.length < length ? bytes : bytes.subarray(0, length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

/** Returns the lines of an event, with the ID at a random position. */
function block({ event, data, id }: LoggedEvent, random: Random): string[] {
  const lines = data.split("\n").map((line) => `data: ${line}`);
  if (event !== "message") lines.unshift(`event: ${event}`);
  lines.splice(random.below(lines.length + 1), 0, `id: ${id}`);
  return lines;
}
