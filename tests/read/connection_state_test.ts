import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, readSse, type SseConnection } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { empty, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

Deno.test("SseConnection.state is open until the connection is closed", async () => {
  const stream = new OpenResponse("data: a\n\n");
  const sse = await connectSse(url, { fetch: () => stream.response });
  assertEquals(sse.state, "open");
  await sse.next();
  assertEquals(sse.state, "open");
  await sse.close();
  assertEquals(sse.state, "closed");
});

Deno.test("SseConnection.state is closed after the end of the stream, an error and an abort", async () => {
  const ended = readSse(eventResponse("data: a\n\n"));
  await ended.next();
  assertEquals(ended.state, "open");
  await ended.next();
  assertEquals(ended.state, "closed");

  const failed = readSse(eventResponse(""), { until: "[DONE]" });
  await assertSseError(failed.next(), "truncated");
  assertEquals(failed.state, "closed");

  const abort = new AbortController();
  const aborted = await connectSse(url, {
    fetch: events("data: a\n\n"),
    signal: abort.signal,
  });
  abort.abort();
  assertEquals(aborted.state, "closed");
});

Deno.test("SseConnection.state is open while a refused response can be read", async () => {
  for (const reconnect of [false, true]) {
    const sse = await connectSse(url, {
      fetch: () => new Response("No", { status: 401 }),
      reconnect,
    });
    assertEquals(sse.state, "open");
    await assertSseError(sse.next(), "status");
    assertEquals(sse.state, "closed");
  }
  const sse = await connectSse(url, { fetch: empty });
  assertEquals(sse.state, "open");
  await sse.next();
  assertEquals(sse.state, "closed");
});

Deno.test("SseConnection.state is connecting from a lost connection until the next response", async () => {
  using time = new FakeTime();
  const states: string[] = [];
  const note = (sse: SseConnection | undefined) =>
    void states.push(`${sse?.state}`);
  const { fetch } = inTurn(
    events("data: a\n\n"),
    () => {
      note(sse);
      return failing();
    },
    events("data: b\n\n"),
  );
  let sse: SseConnection | undefined = undefined;
  sse = await connectSse(url, {
    fetch,
    onOpen: () => note(sse),
    reconnect: { onReconnect: () => note(sse) },
  });
  await sse.next();
  const pending = sse.next();
  for (let i = 0; i < 2; i++) {
    await microtasks(50);
    await time.nextAsync();
  }
  await pending;
  assertEquals(states, [
    "undefined",
    "connecting", // Before the first delay.
    "connecting", // During the second request.
    "connecting", // Before the second delay.
    "open",
  ]);
  await sse.close();
});

Deno.test("SseConnection.state is connecting while a lost connection waits for next()", async () => {
  const stream = new OpenResponse("data: a\n\n");
  const { fetch } = inTurn(() => stream.response, events("data: b\n\n"));
  const options = { initialDelay: 0, jitter: 0 };
  const sse = await connectSse(url, { fetch, reconnect: options });
  await sse.next();
  sse.reconnect(new Error("mine"));
  assertEquals(sse.state, "connecting");
  assertEquals((await sse.next()).value?.data, "b");
  assertEquals(sse.state, "open");
  await sse.close();
});

Deno.test("SseConnection.state is closed if no attempt can follow a failure", async () => {
  const sse = await connectSse(url, {
    fetch: events("data: a\n\n"),
    reconnect: { resume: false },
  });
  await sse.next();
  sse.reconnect(new Error("mine"));
  assertEquals(sse.state, "closed");
  await assertSseError(sse.next(), "rejected");
});
