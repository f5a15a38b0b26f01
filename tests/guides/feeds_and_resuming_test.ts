/** Tests the programs and statements of feeds_and_resuming.md. */
import { assertEquals, assertRejects } from "@std/assert";
import { connectSse, type SseConnection, sseResponse } from "../../mod.ts";
import {
  type EventLog,
  MemoryEventLog,
  resume,
} from "../../src/event_log/mod.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { eventResponse } from "../support/open_response.ts";
import { blockOf, withPackage } from "./programs.ts";

const GUIDE = "feeds_and_resuming";
const SERVER = "// server.ts";
const CLIENT = "// client.ts";

/** Runs the guide's server instead of the network, until disposed. */
async function startServer() {
  const { default: server } = await runBlock(GUIDE, SERVER);
  const network = answer(server.fetch);
  return {
    requests: network.requests,
    async post(...bodies: string[]) {
      for (const body of bodies) {
        const init = { method: "POST", body };
        await server.fetch(new Request("http://localhost/", init));
      }
    },
    [Symbol.dispose]() {
      network[Symbol.dispose]();
      localStorage.removeItem("lastEventId");
    },
  };
}

/** Runs the guide's client until it has handled an event with this data. */
async function followUntil(
  last: string,
  handle: (data: string) => void = () => {},
): Promise<string[]> {
  const { follow } = await runBlock(GUIDE, CLIENT);
  const handled: string[] = [];
  const following = follow(
    "http://localhost:8000/",
    ({ data }: { data: string }) => {
      handle(data);
      handled.push(data);
      // The client stores the id of an event after it was handled, so that it
      // fails at the next event.
      if (handled.at(-2) === last) throw new Error("Ctrl+C");
    },
  );
  await assertRejects(() => deadline(following, "the client to stop"));
  return handled;
}

Deno.test("feeds_and_resuming: the client that is started again continues after the last event", async () => {
  localStorage.removeItem("lastEventId");
  using server = await startServer();
  await server.post("1", "2", "stop");
  assertEquals(await followUntil("2"), ["1", "2", "stop"]);
  await server.post("3", "stop");
  assertEquals(await followUntil("3"), ["stop", "3", "stop"]);
});

Deno.test("feeds_and_resuming: an event whose handling fails arrives again", async () => {
  localStorage.removeItem("lastEventId");
  using server = await startServer();
  await server.post("1", "2", "3", "stop");
  const first = await followUntil("", (data) => {
    if (data === "2") throw new Error("crash");
  });
  assertEquals(first, ["1"]);
  assertEquals(await followUntil("3"), ["2", "3", "stop"]);
});

/** Reads all events of a log for a client with this id. */
function readAll(
  log: EventLog,
  lastEventId: string,
): Promise<SseConnection> {
  return connectSse("http://localhost/", {
    fetch: (request) => sseResponse(resume(log, request)),
    lastEventId,
  });
}

Deno.test("feeds_and_resuming: a client without an id gets no gap, and one with an unknown id does", async () => {
  const log = new MemoryEventLog({ maxMessages: 2 });
  for (const json of [1, 2, 3, 4]) await log.append({ event: "add", json });
  await log.end();
  const events = async (id: string) =>
    await Array.fromAsync(await readAll(log, id), ({ event }) => event);
  assertEquals(await events(""), ["add", "add"]);
  assertEquals(await events("none"), ["gap", "add", "add"]);
});

Deno.test("feeds_and_resuming: each process with a MemoryEventLog of its own sends a gap to the clients of others", async () => {
  const processes = [new MemoryEventLog(), new MemoryEventLog()];
  for (const log of processes) await log.append({ data: "1" });
  let requests = 0;
  await using sse = await connectSse("http://localhost/", {
    // Each connection reaches the other process, and ends after one message.
    fetch: (request) =>
      sseResponse((async function* () {
        for await (const it of resume(processes[requests++ % 2], request)) {
          yield it;
          return;
        }
      })()),
    reconnect: { initialDelay: 0 },
  });
  const events: string[] = [];
  for (let i = 0; i < 3; i++) {
    events.push((await deadline(sse.next(), "an event")).value!.event);
  }
  assertEquals(events, ["message", "gap", "gap"]);
});

Deno.test("feeds_and_resuming: a finished feed that does not answer 204 is requested again and again", async () => {
  const log = new MemoryEventLog();
  await log.append({ data: "1" });
  await log.end();
  let requests = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const sse = await connectSse("http://localhost/", {
    fetch(request) {
      if (++requests === 5) resolve();
      return sseResponse(resume(log, request));
    },
    reconnect: { initialDelay: 0, maxDelay: 0 },
  });
  assertEquals(await dataOf(sse, 1), ["1"]);
  const next = sse.next();
  await deadline(promise, "the fifth request");
  await sse.close();
  assertEquals((await next).done, true);
});

const rows = [1, 2, 3, 4, 5].map((number) => JSON.stringify({ number }));

/** Answers a request with the two rows after its position. */
function twoRows({ url }: Request): Response {
  const after = Number(new URL(url).searchParams.get("after"));
  const sent = rows.slice(after, after + 2);
  if (sent.length < 2) sent.push("[DONE]");
  return eventResponse(
    "retry: 1\n" + sent.map((row) => `data: ${row}\n\n`).join(""),
  );
}

Deno.test("feeds_and_resuming: the client with a position in the data continues after the last event", async () => {
  using network = answer(twoRows);
  using output = logged();
  await deadline(runBlock(GUIDE, "lastEvent.json"), "the end");
  assertEquals(output.lines.flat(), rows);
  assertEquals(
    network.requests.map(({ url }) => new URL(url).search),
    ["", "?after=2", "?after=4"],
  );
});

Deno.test("feeds_and_resuming: reconnect() continues after an event that has arrived and was not returned", async () => {
  const sse = await connectSse(
    ({ lastEvent }) => {
      const last = lastEvent?.json<{ number: number }>().number ?? 0;
      return `http://localhost/?after=${last}`;
    },
    { fetch: twoRows, reconnect: true, until: "[DONE]" },
  );
  const first = await dataOf(sse, 1);
  sse.reconnect();
  const rest = await Array.fromAsync(sse, ({ data }) => data);
  assertEquals([...first, ...rest], rows);
});

/** The server of the guide that reads a table, with a line replaced. */
async function tableServer(line: string, replacement: string) {
  const [code] = withPackage(await blockOf(GUIDE, "rowsAfter")).split(
    "const sse =",
  );
  assertEquals(code.includes(line), true);
  const changed = code
    .replace(line, replacement)
    .replace("100));", "1));")
    .replace("function select(after: number) {", "$& polls++;");
  const end = "let polls = 0; export { handler, polls, rows };";
  return await import(
    `data:text/typescript,${encodeURIComponent(changed + end)}`
  );
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));

for (const line of ["yield {};", ""]) {
  const result = line ? "stops" : "never stops";
  Deno.test(`feeds_and_resuming: the table ${result} being read with "${line}" after the client has left`, async () => {
    const server = await tableServer("yield {};", line);
    const sse = await connectSse("http://localhost/", {
      fetch: server.handler,
      lastEventId: "2",
    });
    assertEquals(await dataOf(sse, 1), ['{"id":3,"text":"c"}']);
    const next = sse.next();
    while (server.polls < 3) await tick();
    const closing = sse.close();
    await next;
    // One query may be under way.
    const polls = server.polls + 1;
    for (let i = 0; i < 20; i++) await tick();
    assertEquals(server.polls > polls, line === "");
    // The next row ends the generator, which would run forever otherwise.
    server.rows.push({ id: 4, text: "d" });
    for (let i = 0; i < 20; i++) await tick();
    const ended = server.polls;
    for (let i = 0; i < 20; i++) await tick();
    assertEquals(server.polls, ended);
    await closing;
  });
}

Deno.test("feeds_and_resuming: the table is read from its start if the id is no number", async () => {
  const server = await tableServer("yield {};", "yield {}; // Read all.");
  const sse = await connectSse("http://localhost/", {
    fetch: server.handler,
    lastEventId: "x",
  });
  assertEquals((await dataOf(sse, 3)).length, 3);
  await sse.close();
  for (let i = 0; i < 10; i++) await tick();
});
