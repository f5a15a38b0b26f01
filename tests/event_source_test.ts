// Most of EventSource is tested in runtimes/cases/event_source*.ts, on every
// runtime. The tests below need fake time, permissions or other features of Deno.

import {
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  EventSource,
  type EventSourceErrorEvent,
  type EventSourceInit,
  SseError,
} from "../src/event_source.ts";
import { deadline } from "./support/deadline.ts";
import { HttpServer } from "./support/http_server.ts";
import { empty, failing, url } from "./support/in_process.ts";
import { inTurn } from "./support/in_turn.ts";
import { eventResponse, OpenResponse } from "./support/open_response.ts";
import { eventSource } from "./runtimes/cases/event_source.ts";
import { Fixture } from "./runtimes/fixture.ts";
import { once } from "./runtimes/heard.ts";

// Runs those cases here too, with the sanitizers of `deno test`.
for (const { name, run, browserOnly } of eventSource) {
  if (browserOnly) continue;
  Deno.test(name, async () => {
    await using fixture = await Fixture.listen("");
    const { origin, crossOrigin, closedOrigin } = fixture;
    const server = { origin, crossOrigin, closedOrigin };
    const context = { runtime: "Deno", browser: false, ...server };
    await deadline(Promise.resolve(run(context)), "the case");
  });
}

/** Returns the delays between requests in ms, until the source closes. */
async function delays(
  init: EventSourceInit,
  ...answers: Parameters<typeof inTurn>
): Promise<number[]> {
  using time = new FakeTime();
  const { fetch, times } = inTurn(...answers);
  const source = new EventSource(url, { ...init, fetch });
  while (source.readyState !== EventSource.CLOSED) await time.nextAsync();
  return times.slice(1).map((time, i) => time - times[i]);
}

Deno.test("EventSource waits three seconds before each reconnect by default", async () => {
  const end = () => eventResponse("data: a\n\n");
  assertEquals(
    await delays({}, failing, failing, failing, failing, end, end, empty),
    Array(6).fill(3000),
  );
});

Deno.test("EventSource waits for the server's retry time before each reconnect", async () => {
  const retry = (ms: number) => () => eventResponse(`retry: ${ms}\n\n`);
  assertEquals(
    await delays(
      {},
      retry(150),
      failing,
      failing,
      retry(3_600_000),
      failing,
      empty,
    ),
    [150, 150, 150, 3_600_000, 3_600_000],
  );
});

Deno.test("EventSource delays repeated attempts even if the server's retry is 0", async () => {
  const retry = () => eventResponse("retry: 0\n\n");
  assertEquals(
    await delays({}, retry, failing, failing, empty),
    [0, 100, 100],
  );
});

Deno.test("EventSource increases the delay if backoffFactor is set", async () => {
  const reconnect = { initialDelay: 100, backoffFactor: 2, maxDelay: 300 };
  assertEquals(
    await delays({ reconnect }, failing, failing, failing, failing, empty),
    [100, 200, 300, 300],
  );
});

Deno.test("EventSource.close() clears the reconnect timer", async () => {
  using time = new FakeTime();
  const { fetch, times } = inTurn(failing);
  const source = new EventSource(url, { fetch });
  await once(source, "error");
  await time.tickAsync(2999);
  source.close();
  assertEquals(await time.nextAsync(), false);
  assertEquals(times.length, 1);
});

Deno.test("EventSource cancels the body of an error response", async () => {
  const { response, cancelled } = new OpenResponse("", { status: 500 });
  const source = new EventSource(url, { fetch: () => response });
  await once(source, "error");
  assertEquals(source.readyState, EventSource.CLOSED);
  await cancelled;
});

Deno.test("EventSource cancels the body of a response that arrives after close()", async () => {
  const late = Promise.withResolvers<Response>();
  const source = new EventSource(url, { fetch: () => late.promise });
  source.close();
  const { response, cancelled } = new OpenResponse("data: a\n\n");
  late.resolve(response);
  await cancelled;
});

Deno.test({
  name: "EventSource does not reconnect without the net permission",
  permissions: { net: false },
  async fn() {
    const source = new EventSource("http://127.0.0.1:8080/");
    const { error } = await once(source, "error") as EventSourceErrorEvent;
    assertInstanceOf(error, SseError);
    assertInstanceOf(error.cause, Deno.errors.NotCapable);
    assertEquals(source.readyState, EventSource.CLOSED);
  },
});

Deno.test("EventSource can replace globalThis.EventSource", async () => {
  const native = globalThis.EventSource;
  try {
    globalThis.EventSource = EventSource;
    const source: globalThis.EventSource = new globalThis.EventSource(
      "data:text/event-stream,data: a%0A%0A",
    );
    assertInstanceOf(source, EventSource);
    const { data } = await new Promise<MessageEvent>((resolve) => {
      source.onmessage = resolve;
    });
    assertEquals(data, "a");
    source.close();
  } finally {
    globalThis.EventSource = native;
  }
});

Deno.test("EventSource resolves a relative URL if the page's URL has a user and a password", () => {
  const globals = globalThis as { document?: unknown };
  // `new Request("")` throws in such a page.
  globals.document = { baseURI: "http://user:secret@127.0.0.1/page?a" };
  try {
    const source = new EventSource("events?b", { fetch: failing });
    assertEquals(source.url, "http://user:secret@127.0.0.1/events?b");
    source.close();
  } finally {
    delete globals.document;
  }
});

Deno.test("EventSource.addEventListener types its event by the event name", async () => {
  const fetch = () => eventResponse("data: a\n\n");
  const source = new EventSource(url, { fetch });
  const text = await new Promise<string>((resolve) => {
    source.addEventListener("message", function (event) {
      assertStrictEquals(this, source);
      resolve(event.data);
    });
  });
  assertEquals(text, "a");
  const message = await new Promise<string | undefined>((resolve) => {
    source.addEventListener("error", (event) => resolve(event.message));
  });
  assertEquals(message, "Expected more events, but the stream ended");
  source.close();
});

Deno.test("EventSource's error event has the response body for status 201", async () => {
  await using server = new HttpServer(
    () => new Response("Made, not streamed", { status: 201 }),
  );
  const source = new EventSource(server.url);
  const text = Promise.withResolvers<string>();
  source.onerror = ({ error }) => {
    text.resolve((error as SseError).body!);
  };
  assertEquals(await text.promise, "Made, not streamed");
  assertEquals(source.readyState, EventSource.CLOSED);
});

Deno.test("EventSource closes with an error that says so when a stream ends that cannot be resumed", async () => {
  const { fetch } = inTurn(failing, () => eventResponse("data: a\n\n"));
  const source = new EventSource(url, {
    fetch,
    reconnect: { initialDelay: 0, resume: false },
  });
  await once(source, "message");
  const { error, message } = await once(
    source,
    "error",
  ) as EventSourceErrorEvent;
  assertInstanceOf(error, SseError);
  assertEquals(error.code, "truncated");
  assertEquals(message, error.message);
  assertEquals(source.readyState, EventSource.CLOSED);
});
