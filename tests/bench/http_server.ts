/**
 * A server in a process of its own, that writes ready-made bytes as fast as the
 * client takes them. It prints its port, and serves until it is killed.
 *
 * - `/WORKLOAD/TIMES`: the workload so many times, each of its chunks an HTTP
 *   chunk, then `[DONE]`;
 * - `/idle/MS`: an event at once and then every so many ms, for ever.
 */
import { makeWorkload } from "./workloads.ts";

const encoder = new TextEncoder();
const head = encoder.encode(
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" +
    "transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
);
const done = encoder.encode("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
const ready = new Map<string, Uint8Array>();

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
for await (const connection of listener) {
  serve(connection).catch(() => {}).finally(() => connection.close());
}

async function serve(connection: Deno.TcpConn) {
  const [, name, number] = (await requestPath(connection)).split("/");
  await writeAll(connection, head);
  if (name === "idle") {
    while (true) {
      await writeAll(connection, httpChunk(encoder.encode("data: tick\n\n")));
      await new Promise((resolve) => setTimeout(resolve, Number(number)));
    }
  }
  const bytes = workload(decodeURIComponent(name));
  for (let i = 0; i < Number(number); i++) await writeAll(connection, bytes);
  await writeAll(connection, done);
}

async function requestPath(connection: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const read = await connection.read(buffer);
    if (read === null) throw new Error("no request");
    text += new TextDecoder().decode(buffer.subarray(0, read));
  }
  return text.split(" ")[1];
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array) {
  while (bytes.length) bytes = bytes.subarray(await connection.write(bytes));
}

/** The whole workload as HTTP chunks. */
function workload(name: string): Uint8Array {
  let bytes = ready.get(name);
  if (!bytes) {
    const chunks = [...makeWorkload(name).chunks].map(httpChunk);
    bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    ready.set(name, bytes);
  }
  return bytes;
}

function httpChunk(bytes: Uint8Array): Uint8Array {
  const size = encoder.encode(`${bytes.length.toString(16)}\r\n`);
  const chunk = new Uint8Array(size.length + bytes.length + 2);
  chunk.set(size);
  chunk.set(bytes, size.length);
  chunk.set([13, 10], size.length + bytes.length);
  return chunk;
}
