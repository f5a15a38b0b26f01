// Most of SseScript is tested in runtimes/cases/testing.ts, on every runtime. The
// tests below need fake time or a server.

import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type ConnectSseOptions } from "../mod.ts";
import { EventSource } from "../src/event_source.ts";
import {
  SseScript,
  type SseScriptConnection,
  type SseStep,
} from "../src/testing.ts";
import { assertSseError } from "./support/assert_sse_error.ts";
import { allData, dataOf } from "./support/data_of.ts";
import { deadline } from "./support/deadline.ts";
import { url } from "./support/in_process.ts";
import { microtasks } from "./support/microtasks.ts";
import { testing } from "./runtimes/cases/testing.ts";

// Runs those cases here too, with the sanitizers of `deno test`.
for (const { name, run } of testing) {
  Deno.test(name, async () => {
    const origins = { origin: "", crossOrigin: "", closedOrigin: "" };
    const context = { runtime: "Deno", browser: false, ...origins };
    await deadline(Promise.resolve(run(context)), "the case");
  });
}

/** Connects to a server in the same process. */
function connect({ fetch }: SseScript, options: ConnectSseOptions = {}) {
  return connectSse(url, { ...options, fetch });
}

Deno.test("SseScript with FakeTime: a stall takes no time", async () => {
  using time = new FakeTime();
  const server = new SseScript([{ data: "1" }, "stall"]);
  const sse = await connect(server, { idleTimeout: 30_000 });
  assertEquals(await dataOf(sse, 1), ["1"]);
  const failed = assertSseError(sse.next(), "idle-timeout");
  await time.tickAsync(30_000);
  await failed;
});

Deno.test("SseScript with FakeTime: the time of a request is the fake one", async () => {
  using time = new FakeTime(1000);
  const server = new SseScript(
    [{ status: 429, headers: { "Retry-After": "20" } }],
    [{ data: "1" }],
  );
  const connecting = connect(server, {
    method: "POST",
    body: "a",
    reconnect: true,
  });
  await time.tickAsync(19_999);
  assertEquals(server.requests.length, 1);
  await time.tickAsync(1);
  const sse = await connecting;
  assertEquals(await dataOf(sse, 1), ["1"]);
  await sse.close();
  assertEquals(server.requests.map(({ time }) => time), [1000, 21_000]);
});

Deno.test("SseScript with FakeTime: each wait needs a tick of its own", async () => {
  using time = new FakeTime();
  const server = new SseScript([{ wait: 1000 }, { data: "1" }, { wait: 1000 }]);
  const reading = connect(server, { method: "POST", body: "a" }).then(allData);
  await time.tickAsync(5000);
  await time.runMicrotasks();
  assertEquals(server.requests[0].outcome, "open");
  await time.tickAsync(1000);
  assertEquals(await reading, ["1"]);
});

Deno.test("SseScript starts to wait when the client reads", async () => {
  using time = new FakeTime();
  const server = new SseScript([{ data: "1" }, { wait: 1000 }, { data: "2" }]);
  const sse = await connect(server);
  assertEquals(await dataOf(sse, 1), ["1"]);
  await time.tickAsync(5000);
  const next = sse.next();
  await time.tickAsync(999);
  await sse.close();
  assertEquals((await next).done, true);
  assertEquals(server.requests[0].outcome, "left");
});

Deno.test("SseScript is the fetch of EventSource", async () => {
  const server = new SseScript(
    [{ retry: 1 }, { id: "7", data: "1" }],
    [{ data: "2" }, "stall"],
  );
  const source = new EventSource(url, { fetch: server.fetch });
  const data: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  source.onmessage = (event) => {
    data.push(event.data);
    if (data.length === 2) resolve();
  };
  await deadline(promise, "two events");
  source.close();
  assertEquals(data, ["1", "2"]);
  assertEquals(
    server.requests.map(({ lastEventId, outcome }) => [lastEventId, outcome]),
    [["", "ended"], ["7", "left"]],
  );
});

Deno.test("SseScript answers overlapping requests in the order of their arrival", async () => {
  const server = new SseScript([{ data: "1" }], [{ data: "2" }]);
  const data = await Promise.all(
    ["a", "b"].map(async (body) =>
      await allData(await connect(server, { method: "POST", body }))
    ),
  );
  assertEquals(data, [["1"], ["2"]]);
  assertEquals(server.requests.map(({ body }) => body), ["a", "b"]);
});

const mistakes: Record<string, [SseScriptConnection, string]> = {
  "headers after an event": [
    [{ data: "1" }, { status: 429 }],
    "Expected headers before other steps",
  ],
  "headers twice": [
    [{ status: 200 }, { headers: {} }],
    "Expected headers before other steps",
  ],
  "a wait that no timer can wait for": [
    [{ data: "1" }, { wait: Infinity }],
    "Expected wait to be a number from 0 to 2147483647, got Infinity",
  ],
  "a wait with data": [
    [{ wait: 1, data: "1" }],
    'Expected a step with only wait, got "data"',
  ],
  "bytes with data": [
    [{ bytes: ":\n", data: "1" }],
    'Expected a step with only bytes, got "data"',
  ],
  "headers with data": [
    [{ status: 200, data: "1" }],
    'Expected a step with only status, headers, body, got "data"',
  ],
  "a step that is none": [
    [{ data: "1" }, "stal" as "stall"],
    "stal",
  ],
  "a status that no response can have": [[{ status: 99 }, "stall"], "99"],
  "a body that the status does not allow": [
    [{ status: 204, body: "a" }],
    "body",
  ],
  "an invalid message": [
    [{ id: "a\nb" }],
    "Expected id without line ends",
  ],
  "steps that are none": [
    { data: "1" } as unknown as SseStep[],
    "iterable",
  ],
  "an exception of the function": [
    () => {
      throw new Error("Expected an id");
    },
    "Expected an id",
  ],
};
for (const [name, [steps, message]] of Object.entries(mistakes)) {
  Deno.test(`SseScript breaks the connection at ${name}`, async () => {
    const server = new SseScript(steps);
    const { cause } = await assertSseError(
      connect(server).then(allData),
      "network",
    );
    assertInstanceOf(cause, Error);
    assertStringIncludes(cause.message, message);
    assertEquals(server.requests[0].outcome, "cut");
  });
}

Deno.test("SseScript closes its steps when it breaks the connection", async () => {
  const closed: string[] = [];
  function* steps(...all: SseStep[]): Generator<SseStep> {
    try {
      yield* all;
    } finally {
      closed.push(JSON.stringify(all));
    }
  }
  const all: SseStep[][] = [[{ data: "1" }, "cut"], [{ status: 204 }, "stall"]];
  const server = new SseScript(...all.map((it) => steps(...it)));
  await assertSseError(connect(server).then(allData), "network");
  assertEquals(await connect(server).then(allData), []);
  assertEquals(closed, all.map((it) => JSON.stringify(it)));
});

Deno.test("SseScript does not continue after a stall that its client has left", async () => {
  let isClosed = false;
  let continued = false;
  const server = new SseScript(function* () {
    try {
      yield { data: "1" };
      yield "stall";
      continued = true;
    } finally {
      isClosed = true;
    }
  });
  const { body } = await server.fetch(url);
  const reader = body!.getReader();
  await reader.read();
  const pending = reader.read();
  await microtasks(20); // Until the stall.
  await reader.cancel();
  assertEquals((await pending).done, true);
  assertEquals(server.requests[0].outcome, "left");
  await microtasks(20);
  assertEquals([isClosed, continued], [true, false]);
});

Deno.test("SseScript sends the body after the headers, and then the next steps", async () => {
  const server = new SseScript([
    {
      headers: { "content-type": "text/event-stream; x=y" },
      body: "data: 1\n\ndata: ",
    },
    { bytes: new TextEncoder().encode("2\n\n") },
    { bytes: "" },
    { data: "3" },
  ]);
  const response = await server.fetch(url);
  assertEquals(
    response.headers.get("content-type"),
    "text/event-stream; x=y",
  );
  // `text()` accepts nothing but bytes.
  assertEquals(await response.text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
});

Deno.test("SseScript with no steps is an empty stream", async () => {
  const sse = await connect(new SseScript([]));
  assertEquals(sse.response.headers.get("content-type"), "text/event-stream");
  assertEquals(await allData(sse), []);
});
