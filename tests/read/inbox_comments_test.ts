// Tests the order of comments and events, also if onComment closes or reconnects.

import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  connectSse,
  type ServerSentEvent,
  type SseConnection,
  SseDecoder,
  SseError,
  SseEventStream,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { done, events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { OpenResponse } from "../support/open_response.ts";

const text = "data: 1\n\n:c1\n\ndata: 2\n\n:c2\n\n";

Deno.test("SseConnection calls onComment in order with the events of the chunk", async () => {
  const log: string[] = [];
  await using sse = await connectSse(url, {
    fetch: events(text),
    onComment: (comment) => void log.push(comment),
  });
  for await (const { data } of sse) log.push(data);
  assertEquals(log, ["1", "c1", "2", "c2"]);
});

Deno.test("SseConnection calls onComment only when the next event is requested", async () => {
  const log: string[] = [];
  const stream = new OpenResponse(text);
  await using sse = await connectSse(url, {
    fetch: () => stream.response,
    onComment: (comment) => void log.push(comment),
  });
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals(log, []);
  assertEquals((await sse.next()).value?.data, "2");
  assertEquals(log, ["c1"]);
  const pending = sse.next();
  stream.send(":c3\n\n");
  stream.send("data: 3\n\n");
  assertEquals((await pending).value?.data, "3");
  assertEquals(log, ["c1", "c2", "c3"]);
});

Deno.test("SseConnection keeps comments in order and events in order if calls of next() overlap", async () => {
  const log: string[] = [];
  await using sse = await connectSse(url, {
    fetch: events(text),
    onComment: (comment) => void log.push(comment),
  });
  const note = ({ value }: IteratorResult<{ data: string }>) =>
    void log.push(value?.data ?? "done");
  await Promise.all([1, 2, 3].map(() => sse.next().then(note)));
  assertEquals(log.filter((it) => it.startsWith("c")), ["c1", "c2"]);
  assertEquals(log.filter((it) => !it.startsWith("c")), ["1", "2", "done"]);
});

Deno.test("SseConnection keeps the order if onComment calls reconnect()", async () => {
  const log: string[] = [];
  const { fetch, requests } = inTurn(
    events("id: 1\ndata: 1\n\n:c1\n\nid: 2\ndata: 2\n\n:c2\n\n"),
    events("data: 3\n\n:c3\n\ndata: [DONE]\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: true,
    onComment(comment) {
      log.push(comment);
      if (comment === "c1") sse.reconnect();
    },
  });
  for await (const { data } of sse) log.push(data);
  assertEquals(log, ["1", "c1", "2", "c2", "3", "c3"]);
  assertEquals(requests[1].headers.get("last-event-id"), "2");
});

Deno.test("SseConnection delivers nothing after onComment calls close()", async () => {
  const log: string[] = [];
  const sse: SseConnection = await connectSse(url, {
    fetch: events(text),
    onComment(comment) {
      log.push(comment);
      sse.close();
    },
  });
  for await (const { data } of sse) log.push(data);
  assertEquals(log, ["1", "c1"]);
  assertEquals(await sse.next(), done);
});

const ends: Record<
  string,
  (sse: SseConnection, controller: AbortController) => unknown
> = {
  "close()": (sse) => sse.close(),
  "an abort": (_, controller) => controller.abort("enough"),
};
for (const [how, end] of Object.entries(ends)) {
  Deno.test(`SseConnection.lastEventId is the ID of the last delivered event after ${how} in onComment`, async () => {
    const controller = new AbortController();
    await using sse: SseConnection = await connectSse(url, {
      fetch: events("id: 1\ndata: a\n\n:c\n\nid: 2\ndata: b\n\n"),
      signal: controller.signal,
      onComment: () => void end(sse, controller),
    });
    assertEquals((await sse.next()).value?.data, "a");
    const { value } = await sse.next().catch(() => done);
    assertEquals(value, undefined);
    assertEquals(sse.lastEventId, "1");
  });
}

Deno.test("SseConnection.lastEventId in onComment is the ID of the event before the comment", async () => {
  const ids: string[] = [];
  await using sse: SseConnection = await connectSse(url, {
    fetch: events("id: 1\ndata: a\n\n:c\n\nid: 2\ndata: b\n\n:c\n\n"),
    onComment: () => void ids.push(sse.lastEventId),
  });
  for await (const _ of sse);
  assertEquals(ids, ["1", "2"]);
});

Deno.test("SseConnection does not reset its count of attempts after a comment", async () => {
  const comment = events(":c\n\n");
  await using sse = await connectSse(url, {
    fetch: inTurn(comment, comment, comment, events("data: late\n\n")).fetch,
    reconnect: { maxAttempts: 2, initialDelay: 0, maxDelay: 0 },
    onComment() {},
  });
  await assertSseError(sse.next(), "reconnect-failed");
});

Deno.test("SseConnection with resume: false reconnects if only comments have arrived", async () => {
  const { fetch } = inTurn(events(":c\n\n"), events("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { resume: false, initialDelay: 0 },
    onComment() {},
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
});

Deno.test("SseConnection does not retry after an SseError thrown by onComment, until or onOpen", async () => {
  const cases = ["onComment", "until", "onOpen"].flatMap((name) => [
    { name, code: "network" as const },
    { name, code: "malformed" as const },
  ]);
  for (const { name, code } of cases) {
    const thrown = new SseError(code, "mine");
    const { fetch, requests } = inTurn(events(":c\n\ndata: a\n\n"));
    const errors: unknown[] = [];
    const reading = async () => {
      await using sse = await connectSse(url, {
        fetch,
        reconnect: {
          initialDelay: 0,
          shouldReconnect: (error) => !!errors.push(error),
        },
        [name]() {
          throw thrown;
        },
      });
      await sse.next();
    };
    const error = await deadline(assertRejects(reading), name);
    assertStrictEquals(error, thrown);
    assertEquals([requests.length, errors], [1, []]);
  }
});

Deno.test("SseDecoder appends the events before a comment before it calls onComment", () => {
  const log: string[] = [];
  const list: { data: string }[] = [];
  const decoder = new SseDecoder({
    onComment: (comment) => {
      log.push(...list.splice(0).map(({ data }) => data), comment);
    },
  });
  decoder.decode(text, list as Parameters<SseDecoder["decode"]>[1]);
  assertEquals(log, ["1", "c1", "2", "c2"]);
});

Deno.test("SseEventStream calls onComment after the events of earlier chunks are read", async () => {
  const log: string[] = [];
  let received = 0;
  const stream = new SseEventStream({
    onComment: (comment) => void log.push(`${comment} after ${received}`),
  });
  const counted = new TransformStream<{ data: string }, string>(
    {
      transform({ data }, controller) {
        received++;
        controller.enqueue(data);
      },
    },
    undefined,
    { highWaterMark: 10 },
  );
  const all = Array.fromAsync(
    ReadableStream.from([text, ":c3\n\n"]).pipeThrough(stream)
      .pipeThrough(counted),
  );
  assertEquals(await all, ["1", "2"]);
  assertEquals(log.length, 3);
  // By then, the events of the previous chunk have been read.
  assertEquals(log[2], "c3 after 2");
});

Deno.test("SseEventStream emits the events before a comment if onComment throws", async () => {
  const thrown = new Error("mine");
  const stream = new SseEventStream({
    onComment() {
      throw thrown;
    },
  });
  const reader = stream.readable.getReader();
  const first = reader.read();
  const writer = stream.writable.getWriter();
  const written = assertRejects(() => writer.write(text));
  assertEquals((await first).value?.data, "1");
  assertStrictEquals(await written, thrown);
  assertStrictEquals(await assertRejects(() => reader.read()), thrown);
});

Deno.test("SseDecoder appends the events before a comment if onComment throws", () => {
  const decoder = new SseDecoder({
    onComment() {
      throw new Error("mine");
    },
  });
  const list: { data: string }[] = [];
  assertThrows(() =>
    decoder.decode(text, list as Parameters<SseDecoder["decode"]>[1])
  );
  assertEquals(list.map(({ data }) => data), ["1"]);
});

Deno.test("SseConnection.next() called by onComment resolves after the pending call", async () => {
  const inner: Promise<IteratorResult<ServerSentEvent>>[] = [];
  await using sse = await connectSse(url, {
    fetch: events("data: 0\n\n:c\n\ndata: 1\n\ndata: 2\n\n:d\n\ndata: 3\n\n"),
    onComment: () => void inner.push(sse.next()),
  });
  assertEquals((await sse.next()).value?.data, "0");
  assertEquals((await sse.next()).value?.data, "1");
  assertEquals((await inner[0]).value?.data, "2");
  const last = sse.next();
  assertEquals((await last).value?.data, "3");
  assertEquals((await inner[1]).done, true);
});

Deno.test("SseConnection.lastEventId in until and onComment is the ID of the event delivered before", async () => {
  const ids: string[] = [];
  await using sse: SseConnection = await connectSse(url, {
    fetch: events("id: 1\ndata: a\n\n:c1\n\nid: 2\ndata: b\n\n:c2\n\n"),
    lastEventId: "0",
    onComment: () => void ids.push(sse.lastEventId),
    until(event) {
      ids.push(`${event.data} after ${sse.lastEventId}`);
      return event.data === "b";
    },
  });
  for await (const { id } of sse) ids.push(`read ${id}`);
  assertEquals(ids, ["a after 0", "read 1", "1", "b after 1", "read 2"]);
});

Deno.test("SseConnection.lastEventId is that of a block without data also if a comment is last in the chunk", async () => {
  await using sse = await connectSse(url, {
    fetch: events("data: a\n\nid: 5\n\n:c\n"),
    onComment() {},
  });
  await sse.next();
  assertEquals(sse.lastEventId, "");
  await sse.next();
  assertEquals(sse.lastEventId, "5");
});

Deno.test("SseConnection.next() called by onComment is answered before calls that are made later", async () => {
  const log: string[] = [];
  const note = (name: string) => async () => {
    log.push(`${name} ${(await sse.next()).value?.data}`);
  };
  let comments = 0;
  await using sse = await connectSse(url, {
    fetch: events("data: a\n\n:c\n\ndata: b\n\ndata: c\n\ndata: d\n\n"),
    onComment() {
      if (comments++ === 0) pending.push(note("inner")());
    },
  });
  const pending: Promise<void>[] = [];
  await sse.next();
  pending.push(note("outer")(), note("after")());
  await Promise.all(pending);
  await Promise.all(pending);
  assertEquals(log, ["outer b", "inner c", "after d"]);
});
