/** Tests functions as the source of `sseResponse`. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type SseMessage, sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";
import { collectErrors } from "../support/collect_errors.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { Source } from "../support/message_source.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

type Answer = Parameters<typeof sseResponse>[0];

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve());
  return deadline(promise, "the signal to abort");
}

/** Starts to read a response whose function returns what the test resolves. */
function readPending(init: Parameters<typeof sseResponse>[1] = {}) {
  const source = Promise.withResolvers<AsyncIterable<SseMessage>>();
  const called = Promise.withResolvers<AbortSignal>();
  const response = sseResponse((signal) => {
    called.resolve(signal);
    return source.promise;
  }, init);
  const reader = response.body!.getReader();
  return { ...source, called: called.promise, reader, read: reader.read() };
}

const messages = [{ data: "1" }, { data: "2" }];

for (
  const [what, source] of [
    ["an array", () => messages],
    ["a generator", function* () {
      yield* messages;
    }],
    ["an async generator", async function* () {
      yield* messages;
    }],
    ["a ReadableStream", () => ReadableStream.from(messages)],
    ["a promise of an iterable", () => Promise.resolve(new Set(messages))],
    ["a connection", (signal) =>
      connectSse("http://in.process/", {
        signal,
        fetch: () => eventResponse("data: 1\n\ndata: 2\n\n"),
      })],
  ] satisfies [string, Answer][]
) {
  Deno.test(`sseResponse sends the messages of ${what} that a function returns`, async () => {
    const response = sseResponse(source);
    assertEquals(await response.text(), "data: 1\n\ndata: 2\n\n");
  });
}

Deno.test("sseResponse sends the messages of a log that a function returns", async () => {
  for (const init of [{}, { sendTimeout: 1000 }]) {
    const log = new MemoryEventLog();
    for (const message of messages) await log.append(message);
    const request = new Request("http://localhost/");
    const text = sseResponse((signal) => resume(log, request, { signal }), init)
      .text();
    await log.append({ data: "3" });
    await log.end();
    assertEquals((await text).match(/data: ./g), [
      "data: 1",
      "data: 2",
      "data: 3",
    ]);
  }
});

Deno.test("sseResponse calls the function once, when the body is read", async () => {
  let calls = 0;
  const response = sseResponse(() => {
    calls++;
    return messages;
  });
  await Promise.resolve();
  assertEquals(calls, 0);
  await response.text();
  assertEquals(calls, 1);
});

Deno.test("sseResponse does not call the function if the body is canceled unread", async () => {
  for (const heartbeat of [undefined, 1000]) {
    const response = sseResponse(() => {
      throw new Error("called");
    }, { heartbeat });
    await response.body!.cancel();
  }
});

Deno.test("sseResponse aborts the function's signal after a HEAD request, whose body Deno.serve reads", async () => {
  const ended = Promise.withResolvers<void>();
  await using server = collectErrors(() =>
    sseResponse(async (signal) => {
      await aborted(signal);
      ended.resolve();
      return [];
    }, { heartbeat: 1000 })
  );
  const head = await fetch(server.url, { method: "HEAD" });
  assertEquals(head.headers.get("content-type"), "text/event-stream");
  await deadline(ended.promise, "the function to end");
  assertEquals(server.errors, []);
});

Deno.test("sseResponse does not call the function if init.signal has aborted", async () => {
  const response = sseResponse(() => {
    throw new Error("called");
  }, { signal: AbortSignal.abort() });
  assertEquals(await response.text(), "");
});

Deno.test("sseResponse throws for invalid options without calling the function", () => {
  let calls = 0;
  try {
    sseResponse(() => {
      calls++;
      return [];
    }, { heartbeat: 0 });
    assert(false);
  } catch (error) {
    assert(error instanceof RangeError);
  }
  assertEquals(calls, 0);
});

for (
  const [what, source] of [
    ["throws", (error) => () => {
      throw error;
    }],
    ["rejects", (error) => () => Promise.reject(error)],
  ] satisfies [string, (error: Error) => Answer][]
) {
  Deno.test(`sseResponse errors its body if the function ${what}`, async () => {
    const failure = new Error("database gone");
    const response = sseResponse(source(failure));
    assertStrictEquals(await assertRejects(() => response.text()), failure);
  });
}

Deno.test("sseResponse errors its body if the function returns no source", async () => {
  const locked = ReadableStream.from(messages);
  const reader = locked.getReader();
  for (const value of [undefined, null, 1, "data: 1\n\n", {}, locked]) {
    const response = sseResponse(() => value as unknown as SseMessage[]);
    await assertRejects(() => response.text(), TypeError);
  }
  await reader.cancel();
});

Deno.test("sseResponse ends a waiting generator when the client disconnects", async () => {
  const ended = Promise.withResolvers<unknown>();
  await using server = collectErrors(() =>
    sseResponse(async function* (signal) {
      try {
        yield { data: "1" };
        await aborted(signal);
        signal.throwIfAborted();
      } finally {
        ended.resolve(signal.reason);
      }
    })
  );
  const sse = await connectSse(server.url);
  await dataOf(sse, 1);
  await sse.close();
  await deadline(ended.promise, "the finally block");
  assertEquals(server.errors, []);
});

Deno.test("sseResponse closes the connection of a function when the client disconnects", async () => {
  const upstream = new OpenResponse("data: 1\n\n");
  await using source = new HttpServer(() => upstream.response);
  await using server = collectErrors(() =>
    sseResponse((signal) => connectSse(source.url, { signal }))
  );
  const sse = await connectSse(server.url);
  await dataOf(sse, 1);
  await sse.close();
  await upstream.cancelled;
  assertEquals(server.errors, []);
});

Deno.test("sseResponse cancels the request of a function when the client disconnects before the response", async () => {
  const left = Promise.withResolvers<void>();
  await using source = new HttpServer(async () => {
    await left.promise;
    return new Response();
  });
  const ended = Promise.withResolvers<void>();
  await using server = collectErrors(() =>
    sseResponse(async (signal) => {
      try {
        return await connectSse(source.url, { signal });
      } finally {
        ended.resolve();
      }
    })
  );
  const client = new AbortController();
  const response = await fetch(server.url, { signal: client.signal });
  await source.request();
  client.abort();
  await deadline(ended.promise, "connectSse to reject");
  left.resolve();
  await response.body?.cancel().catch(() => {});
  assertEquals(server.errors, []);
});

Deno.test("sseResponse aborts the function's signal with the reason of init.signal, and ends", async () => {
  const stop = new AbortController();
  const { called, read, resolve } = readPending({ signal: stop.signal });
  const source = new Source();
  const signal = await called;
  const reason = new Error("shutdown");
  stop.abort(reason);
  assertStrictEquals(signal.reason, reason);
  assert((await read).done);
  resolve(source);
  await source.returned;
  assertEquals(source.nextCalls, 0);
});

Deno.test("sseResponse closes a source that the function returns after the client has left", async () => {
  const { called, reader, read, resolve } = readPending();
  const signal = await called;
  await reader.cancel();
  assert(signal.aborted);
  assert((await read).done);
  const source = new Source({ data: "late" });
  resolve(source);
  await source.returned;
  assertEquals(source.nextCalls, 0);
  assertEquals(source.returnCalls, 1);
});

Deno.test("sseResponse ignores a rejection of the function after the client has left", async () => {
  const { called, reader, read, reject } = readPending();
  const signal = await called;
  signal.addEventListener("abort", () => reject(signal.reason));
  await reader.cancel();
  assert((await read).done);
  // An unhandled rejection would fail the test.
  await new Promise((resolve) => setTimeout(resolve));
});

Deno.test("sseResponse does not abort the function's signal at the end of its source", async () => {
  let signal: AbortSignal | undefined;
  const response = sseResponse((it) => {
    signal = it;
    return messages;
  });
  await response.text();
  assertEquals(signal?.aborted, false);
});

Deno.test("sseResponse aborts the function's signal if its source fails or a message is invalid", async () => {
  for (const finish of [failSource, sendInvalid]) {
    let signal: AbortSignal | undefined;
    const source = new Source();
    const text = sseResponse((it) => {
      signal = it;
      return source;
    }).text();
    await source.pending;
    finish(source);
    const error = await assertRejects(() => text);
    assertStrictEquals(signal?.reason, error);
  }
});

function failSource(source: Source): void {
  source.fail(new Error("gone"));
}

function sendInvalid(source: Source): void {
  source.send({ id: "\n" });
}

Deno.test("sseResponse calls the function once, though heartbeats are written before it resolves", async () => {
  using time = new FakeTime();
  let calls = 0;
  const pending = Promise.withResolvers<SseMessage[]>();
  const response = sseResponse(() => {
    calls++;
    return pending.promise;
  }, { heartbeat: 10 });
  const text = response.text();
  for (let i = 0; i < 3; i++) await time.tickAsync(10);
  assertEquals(calls, 1);
  pending.resolve(messages);
  assertEquals(await text, ":\n".repeat(4) + "data: 1\n\ndata: 2\n\n");
});
