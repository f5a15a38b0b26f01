import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { events } from "../../examples/demo/job.ts";
import { handler, onError } from "../../examples/demo/server.ts";
import {
  connectSse,
  type ConnectSseOptions,
  type SseConnection,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";

/** The demo's server, at 20 times its normal speed. */
class Server implements AsyncDisposable {
  #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onError, onListen() {} },
    handler,
  );

  url(path: string, visitor: string): URL {
    const { port } = this.#server.addr;
    return new URL(
      `http://127.0.0.1:${port}${path}?speed=20&visitor=${visitor}`,
    );
  }

  connect(visitor: string, options?: ConnectSseOptions) {
    return connectSse(this.url("/events", visitor), options);
  }

  async break(fault: "cut" | "stall" | "kill", visitor: string) {
    const url = this.url(`/${fault}`, visitor);
    assertEquals((await fetch(url, { method: "POST" })).status, 204);
  }

  /**
   * Waits until the server is available. Returns how many attempts failed
   * before.
   */
  async waitUntilAvailable(visitor: string): Promise<number> {
    let count = 0;
    // After the last event, an available server answers with status 204.
    const after = { lastEventId: String(events.length) };
    const onReconnect = () => void count++;
    const reconnect = { initialDelay: 10, onReconnect };
    const sse = await this.connect(visitor, { ...after, reconnect });
    assertEquals(sse.response.status, 204);
    return count;
  }

  /** Yields the bytes of a visitor's connection until it ends. */
  async *bytes(visitor: string): AsyncGenerator<string> {
    const { hostname, port, pathname, search } = this.url("/events", visitor);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: demo\r\n\r\n`;
    await connection.write(new TextEncoder().encode(request));
    const reader = connection.readable
      .pipeThrough(new TextDecoderStream()).getReader();
    while (true) {
      const { done, value } = await deadline(reader.read(), "bytes or the end");
      if (done) return;
      yield value;
    }
  }

  async [Symbol.asyncDispose]() {
    await this.#server.shutdown();
  }
}

function idsOf(sse: SseConnection): Promise<string[]> {
  return deadline(Array.fromAsync(sse, ({ id }) => id), "the stream to end");
}

Deno.test("the job's events are numbered from 1 and its tokens form a text", () => {
  assertEquals(
    events.map(({ id }) => id),
    events.map((_, index) => String(index + 1)),
  );
  const words = events.filter(({ event }) => event === "token");
  assertMatch(words.map(({ data }) => data).join(" "), /^This .* end\.$/);
});

Deno.test("the job's progress events contain the number of events so far", () => {
  const progress = events.filter(({ event }) => event !== "token");
  assertEquals(progress.at(-1)!.event, "done");
  for (const { id, data } of progress) {
    assertEquals(JSON.parse(data!), { done: Number(id), total: events.length });
  }
});

Deno.test("the demo's server continues after Last-Event-ID and answers with status 204 at the end", async () => {
  await using server = new Server();
  const after = (id: number) =>
    server.connect("a", { lastEventId: String(id) });
  assertEquals(await idsOf(await after(0)), events.map(({ id }) => id));
  const last = events.length;
  assertEquals(await idsOf(await after(last - 2)), [
    String(last - 1),
    String(last),
  ]);
  assertEquals((await after(last)).response.status, 204);
});

Deno.test("/cut ends the connection in the middle of an event", async () => {
  await using server = new Server();
  let text = "";
  for await (const bytes of server.bytes("a")) {
    if (text === "") await server.break("cut", "a");
    text += bytes;
  }
  // The text ends with a complete chunk, but within an event and without the
  // end of the body.
  assertMatch(text, /event: \w+\n[^\n]*\r\n$/);
});

Deno.test("/kill closes the connection and makes the server unavailable for a while", async () => {
  await using server = new Server();
  let text = "";
  for await (const bytes of server.bytes("a")) {
    if (text === "") await server.break("kill", "a");
    text += bytes;
  }
  // The text ends with a complete event, but without the end of the body.
  assertMatch(text, /\n\n\r\n$/);
  assertGreater(await server.waitUntilAvailable("a"), 0);
});

Deno.test("/stall keeps the connection open without sending data", async () => {
  await using server = new Server();
  const sse = await server.connect("a", { idleTimeout: 1000 });
  await dataOf(sse, 1);
  await server.break("stall", "a");
  await assertSseError(idsOf(sse), "idle-timeout");
});

Deno.test("a fault of one visitor's stream does not affect another visitor", async () => {
  await using server = new Server();
  const sse = await server.connect("b");
  for (const fault of ["cut", "stall", "kill"] as const) {
    const broken = await server.connect(fault);
    await server.break(fault, fault);
    await broken.close();
  }
  assertEquals(await server.waitUntilAvailable("b"), 0);
  assertGreater(await server.waitUntilAvailable("kill"), 0);
  assertEquals(await idsOf(sse), events.map(({ id }) => id));
});
