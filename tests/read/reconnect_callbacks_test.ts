import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  connectSse,
  type ReconnectOptions,
  type SseConnection,
  type SseError,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { allData } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, empty, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

const thrown = new Error("mine");

/** Waits for one turn of the event loop. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

Deno.test('shouldReconnect receives "truncated" when the body ends, and ends the stream normally if it returns false', async () => {
  const calls: [SseError, number][] = [];
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      shouldReconnect(error, attempt) {
        calls.push([error, attempt]);
        return false;
      },
    },
  });
  assertEquals(await allData(sse), ["a"]);
  const [[error, attempt], ...others] = calls;
  assertEquals([error.code, attempt, others], ["truncated", 1, []]);
  assertEquals(
    error.message,
    "Expected more events, but the stream ended",
  );
  assertStrictEquals(error.response, sse.response);
  assertEquals(requests.length, 1);
});

Deno.test("shouldReconnect is not called after a chunk that is not bytes, which ends the stream", async () => {
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(null),
  });
  const { fetch } = inTurn(
    () => new Response(body, eventResponse("")),
    events("data: late\n\n"),
  );
  const calls: SseError[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { shouldReconnect: (error) => !!calls.push(error) },
  });
  await assertRejects(() => sse.next(), TypeError, "a chunk of bytes");
  assertEquals(await sse.next(), done);
  assertEquals(calls, []);
});

Deno.test('SseConnection.next() rejects with "truncated" if the body ends before until and shouldReconnect returns false', async () => {
  const { fetch } = inTurn(events("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { shouldReconnect: () => false },
  });
  assertEquals((await sse.next()).value?.data, "a");
  await assertSseError(sse.next(), "truncated");
  assertEquals(await sse.next(), done);
});

Deno.test("SseConnection.next() rejects with a temporary error and its body if shouldReconnect returns false", async () => {
  await using server = new HttpServer(
    events("data: a\n\n"),
    () => new Response("Sorry", { status: 503 }),
  );
  await using sse = await connectSse(server.url, {
    reconnect: {
      initialDelay: 0,
      shouldReconnect: ({ code }) => code === "truncated",
    },
  });
  assertEquals((await sse.next()).value?.data, "a");
  const error = await assertSseError(sse.next(), "status");
  assertEquals(error.body, "Sorry");
  assertEquals(await sse.next(), done);
  assertEquals(server.requests.length, 2);
});

Deno.test("connectSse rejects if the first request gets no response and shouldReconnect returns false", async () => {
  const { fetch, requests } = inTurn(failing);
  await assertSseError(
    connectSse(url, { fetch, reconnect: { shouldReconnect: () => false } }),
    "network",
  );
  assertEquals(requests.length, 1);
});

Deno.test("SseConnection reconnects after permanent errors if shouldReconnect returns true", async () => {
  const { fetch } = inTurn(
    () => new Response("Who?", { status: 401 }),
    events("data: a\n\n"),
    () => new Response("<p>", { headers: { "content-type": "text/html" } }),
    events(`data: b\n\nid: 9\ndata: ${"c".repeat(50)}\n\n`),
    events("data: d\n\ndata: [DONE]\n\n"),
  );
  const calls: (string | number)[] = [];
  await using sse = await connectSse(url, {
    fetch,
    maxEventSize: 20,
    until: "[DONE]",
    reconnect: {
      initialDelay: 0,
      shouldReconnect({ code, response }) {
        calls.push(code === "status" ? response!.status : code);
        return true;
      },
    },
  });
  assertEquals(await allData(sse), ["a", "b", "d"]);
  assertEquals(
    calls,
    [401, "truncated", "content-type", "event-too-large"],
  );
});

Deno.test("shouldReconnect is not called after status 204 or 205, which end the stream", async () => {
  for (const status of [204, 205]) {
    const { fetch, requests } = inTurn(
      events("data: a\n\n"),
      () => new Response(null, { status }),
      events("data: b\n\n"),
    );
    const codes: string[] = [];
    await using sse = await connectSse(url, {
      fetch,
      reconnect: {
        initialDelay: 0,
        shouldReconnect: ({ code }) => codes.push(code) > 0,
      },
    });
    assertEquals(await allData(sse), ["a"]);
    assertEquals(codes, ["truncated"]);
    assertEquals(requests.length, 2);
  }
});

Deno.test("shouldReconnect keeps the default behavior if it returns undefined", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    () => new Response("No", { status: 503 }),
    events("data: b\n\n"),
    empty,
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0, shouldReconnect: () => undefined },
  });
  assertEquals(await allData(sse), ["a", "b"]);
  assertEquals(requests.length, 4);
});

Deno.test("shouldReconnect can read the body of an error response asynchronously", async () => {
  await using server = new HttpServer(
    () => new Response("again", { status: 400 }),
    () => new Response("never", { status: 400 }),
  );
  const read: string[] = [];
  await using sse = await connectSse(server.url, {
    reconnect: {
      initialDelay: 0,
      async shouldReconnect(error) {
        const text = await error.response!.text();
        read.push(text);
        return text === "again";
      },
    },
  });
  await assertSseError(sse.next(), "status");
  assertEquals(read, ["again", "never"]);
});

Deno.test("shouldReconnect can leave the body of an error response locked", async () => {
  const stream = new OpenResponse("No", { status: 503 });
  await using server = new HttpServer(
    () => stream.response,
    events("data: a\n\n"),
  );
  await using sse = await connectSse(server.url, {
    reconnect: {
      initialDelay: 0,
      async shouldReconnect({ response }) {
        await response!.body!.getReader().read();
        return true;
      },
    },
  });
  assertEquals((await sse.next()).value?.data, "a");
  await stream.cancelled;
});

Deno.test("SseConnection cancels an error response after shouldReconnect and before the next request", async () => {
  const order: string[] = [];
  const refusal = new OpenResponse("No", { status: 503 });
  const cancelled = refusal.cancelled.then(() => order.push("cancelled"));
  const { fetch } = inTurn(() => refusal.response, () => {
    order.push("request");
    return eventResponse("data: a\n\n");
  });
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      async shouldReconnect() {
        await turn();
        order.push("asked");
        return true;
      },
    },
  });
  assertEquals((await sse.next()).value?.data, "a");
  await cancelled;
  assertEquals(order, ["asked", "cancelled", "request"]);
});

Deno.test("shouldReconnect is not called after close(), an abort, a met until or a break", async () => {
  const calls: SseError[] = [];
  const reconnect: ReconnectOptions = {
    shouldReconnect: (error) => !!calls.push(error),
  };

  const closed = await connectSse(url, {
    fetch: () => new OpenResponse("data: a\n\n").response,
    reconnect,
  });
  await closed.next();
  const pending = closed.next();
  await closed.close();
  assertEquals(await pending, done);

  const controller = new AbortController();
  await using aborted = await connectSse(url, {
    fetch: () => new OpenResponse("data: a\n\n").response,
    signal: controller.signal,
    reconnect,
  });
  const rejected = assertRejects(() => allData(aborted));
  controller.abort(thrown);
  assertStrictEquals(await rejected, thrown);

  await using met = await connectSse(url, {
    fetch: events("data: a\n\ndata: [DONE]\n\n"),
    until: "[DONE]",
    reconnect,
  });
  assertEquals(await allData(met), ["a"]);

  await using left = await connectSse(url, {
    fetch: events("data: a\n\n"),
    reconnect,
  });
  for await (const _ of left) break;

  assertEquals(calls, []);
});

const throwingOptions: Record<string, Parameters<typeof connectSse>[1]> = {
  until: {
    until() {
      throw thrown;
    },
  },
  onComment: {
    onComment() {
      throw thrown;
    },
  },
};
for (const [name, options] of Object.entries(throwingOptions)) {
  Deno.test(`an error that ${name} throws ends the stream, disconnects, and is not retried`, async () => {
    const calls: unknown[] = [];
    const stream = new OpenResponse(": comment\n\ndata: a\n\n");
    await using server = new HttpServer(() => stream.response);
    await using sse = await connectSse(server.url, {
      ...options,
      reconnect: { shouldReconnect: (error) => !!calls.push(error) },
    });
    assertStrictEquals(await assertRejects(() => sse.next()), thrown);
    await stream.cancelled;
    assertEquals(await sse.next(), done);
    assertEquals(calls, []);
    assertEquals(server.requests.length, 1);
  });
}

Deno.test("an error that onComment throws follows the events before the comment, and is not retried", async () => {
  const { fetch, requests } = inTurn(events("data: a\n\ndata: b\n\n: c\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    onComment() {
      throw thrown;
    },
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals((await sse.next()).value?.data, "b");
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  assertEquals(requests.length, 1);
});

Deno.test("onReconnect is called before each delay, also after the first request", async () => {
  const { fetch } = inTurn(
    failing,
    () => new Response("No", { status: 503 }),
    events("data: a\n\n"),
    empty,
  );
  const infos: ReconnectInfo[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      jitter: 0,
      onReconnect: (info) => void infos.push(info),
    },
  });
  assertEquals(await allData(sse), ["a"]);
  assertEquals(
    infos.map(({ attempt, delay, error }) => [attempt, delay, error.code]),
    [[1, 0, "network"], [2, 100, "status"], [1, 0, "truncated"]],
  );
  assertEquals(
    infos.map(({ error }) => error.response?.status),
    [undefined, 503, 200],
  );
});

const callbacks = ["shouldReconnect", "onReconnect"] as const;
const throwing: Record<string, () => Promise<never>> = {
  throws: () => {
    throw thrown;
  },
  rejects: () => Promise.reject(thrown),
};

for (const name of callbacks) {
  for (const [how, callback] of Object.entries(throwing)) {
    Deno.test(`SseConnection ends with the error if ${name} ${how}`, async () => {
      const { fetch, requests } = inTurn(events("data: a\n\n"));
      await using sse = await connectSse(url, {
        fetch,
        reconnect: { initialDelay: 0, [name]: callback },
      });
      assertEquals((await sse.next()).value?.data, "a");
      assertStrictEquals(await assertRejects(() => sse.next()), thrown);
      assertEquals(await sse.next(), done);
      assertEquals(requests.length, 1);
    });

    Deno.test(`connectSse rejects with the error if ${name} ${how} after a first request without a response`, async () => {
      const { fetch, requests } = inTurn(failing);
      const promise = connectSse(url, {
        fetch,
        reconnect: { initialDelay: 0, [name]: callback },
      });
      assertStrictEquals(await assertRejects(() => promise), thrown);
      assertEquals(requests.length, 1);
    });
  }

  Deno.test(`SseConnection ends with undefined if ${name} throws it`, async () => {
    const { fetch } = inTurn(events("data: a\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      reconnect: {
        initialDelay: 0,
        [name]() {
          throw undefined;
        },
      },
    });
    assertEquals((await sse.next()).value?.data, "a");
    const result = await sse.next().catch((reason) => reason);
    assertEquals(result, undefined);
    assertEquals(await sse.next(), done);
  });

  const before: Record<string, (sse: SseConnection) => void> = {
    "close()": (sse) => void sse.close(),
    "reconnect()": (sse) => sse.reconnect(),
    "reconnect(error)": (sse) => sse.reconnect(new Error("not this one")),
  };
  for (const [call, run] of Object.entries(before)) {
    for (const [how, callback] of Object.entries(throwing)) {
      Deno.test(`SseConnection ends with the error if ${name} ${how} after it has called ${call}`, async () => {
        const { fetch } = inTurn(
          events("data: a\n\n"),
          events("data: b\n\n"),
        );
        let calls = 0;
        await using sse: SseConnection = await connectSse(url, {
          fetch,
          reconnect: {
            initialDelay: 0,
            [name]() {
              if (calls++ > 0) return false;
              run(sse);
              return callback();
            },
          },
        });
        assertEquals((await sse.next()).value?.data, "a");
        assertStrictEquals(await assertRejects(() => sse.next()), thrown);
        assertEquals(sse.state, "closed");
        assertEquals(await sse.next(), done);
      });
    }
  }

  const never = { initialDelay: 0, [name]: () => new Promise<never>(() => {}) };

  Deno.test(`SseConnection.close() does not wait for a ${name} that never settles`, async () => {
    const { fetch, requests } = inTurn(events("data: a\n\n"));
    const sse = await connectSse(url, { fetch, reconnect: never });
    await sse.next();
    const pending = sse.next();
    await turn();
    await deadline(sse.close(), "close()");
    assertEquals(await deadline(pending, "next()"), done);
    assertEquals(requests.length, 1);
  });

  Deno.test(`an abort of the stream does not wait for a ${name} that never settles`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const { fetch } = inTurn(events("data: a\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      signal,
      reconnect: never,
    });
    await sse.next();
    const pending = assertRejects(() => sse.next());
    await turn();
    controller.abort(thrown);
    assertStrictEquals(await deadline(pending, "next()"), thrown);
  });

  Deno.test(`an abort of connectSse does not wait for a ${name} that never settles`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const promise = connectSse(url, {
      fetch: failing,
      signal,
      reconnect: never,
    });
    const rejected = assertRejects(() => promise);
    await turn();
    controller.abort(thrown);
    assertStrictEquals(await deadline(rejected, "connectSse"), thrown);
  });

  Deno.test(`SseConnection.reconnect() does not wait for a ${name} that never settles`, async () => {
    const { fetch } = inTurn(events("data: a\n\n"), events("data: b\n\n"));
    await using sse = await connectSse(url, { fetch, reconnect: never });
    await sse.next();
    const pending = sse.next();
    await turn();
    sse.reconnect();
    assertEquals((await deadline(pending, "next()")).value?.data, "b");
  });

  Deno.test(`close() called in ${name} ends the stream`, async () => {
    const { fetch, requests } = inTurn(events("data: a\n\n"));
    await using sse: SseConnection = await connectSse(url, {
      fetch,
      reconnect: {
        initialDelay: 0,
        async [name]() {
          await sse.close();
          return true;
        },
      },
    });
    assertEquals(await allData(sse), ["a"]);
    assertEquals(requests.length, 1);
  });

  Deno.test(`an abort in ${name} ends the stream with the signal's reason`, async () => {
    const controller = new AbortController();
    const { fetch, requests } = inTurn(events("data: a\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      signal: controller.signal,
      reconnect: {
        initialDelay: 0,
        [name]() {
          controller.abort(thrown);
          return true;
        },
      },
    });
    await sse.next();
    assertStrictEquals(await assertRejects(() => sse.next()), thrown);
    assertEquals(await sse.next(), done);
    assertEquals(requests.length, 1);
  });

  Deno.test(`an abort in ${name} rejects connectSse after a first request without a response`, async () => {
    const controller = new AbortController();
    const { fetch, requests } = inTurn(failing);
    const promise = connectSse(url, {
      fetch,
      signal: controller.signal,
      reconnect: {
        initialDelay: 0,
        [name]() {
          controller.abort(thrown);
          return true;
        },
      },
    });
    assertStrictEquals(await assertRejects(() => promise), thrown);
    assertEquals(requests.length, 1);
  });

  Deno.test(`reconnect() called in ${name} reconnects without a delay`, async () => {
    const { fetch, requests } = inTurn(
      events("data: a\n\n"),
      events("data: b\n\n"),
    );
    await using sse: SseConnection = await connectSse(url, {
      fetch,
      reconnect: {
        initialDelay: 1e6,
        maxDelay: 1e6,
        [name]() {
          sse.reconnect();
          return true;
        },
      },
    });
    await sse.next();
    const { value } = await deadline(sse.next(), "next()");
    assertEquals(value?.data, "b");
    assertEquals(requests.length, 2);
  });

  Deno.test(`a ${name} that rejects after close() causes no unhandled rejection`, async () => {
    const { promise, reject } = Promise.withResolvers<never>();
    const { fetch } = inTurn(events("data: a\n\n"));
    const sse = await connectSse(url, {
      fetch,
      reconnect: { initialDelay: 0, [name]: () => promise },
    });
    await sse.next();
    const pending = sse.next();
    await turn();
    await sse.close();
    reject(new Error("too late to matter"));
    assertEquals(await pending, done);
    // An unhandled rejection would fail this test within one turn.
    await turn();
  });
}

for (const how of ["close()", "an abort", "reconnect()"]) {
  Deno.test(`onReconnect is not called after ${how} while shouldReconnect is pending`, async () => {
    const controller = new AbortController();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let calls = 0;
    const stream = new OpenResponse();
    const { fetch } = inTurn(events("data: a\n\n"), () => stream.response);
    await using sse = await connectSse(url, {
      fetch,
      signal: controller.signal,
      reconnect: {
        initialDelay: 0,
        shouldReconnect: () => promise,
        onReconnect: () => void calls++,
      },
    });
    await sse.next();
    const pending = sse.next().catch(() => {});
    await turn();
    if (how === "close()") await sse.close();
    else if (how === "an abort") controller.abort(thrown);
    else sse.reconnect();
    resolve(true);
    await turn();
    assertEquals(calls, 0);
    await sse.close();
    await pending;
  });
}

Deno.test("close() called in onComment ends the stream and drops the later events of the chunk", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    events(": enough\n\ndata: b\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    onComment: () => void sse.close(),
  });
  assertEquals(await allData(sse), ["a"]);
  assertEquals(requests.length, 2);
});

Deno.test("an abort in onComment ends the stream with the signal's reason", async () => {
  const controller = new AbortController();
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    events(": enough\n\ndata: b\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    signal: controller.signal,
    reconnect: { initialDelay: 0 },
    onComment: () => controller.abort(thrown),
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  assertEquals(await sse.next(), done);
  assertEquals(requests.length, 2);
});

Deno.test("SseConnection.next() rejects with an error that onComment throws after close()", async () => {
  const stream = new OpenResponse(": enough\n\ndata: b\n\n");
  await using sse: SseConnection = await connectSse(url, {
    fetch: () => stream.response,
    reconnect: { initialDelay: 0 },
    onComment() {
      sse.close();
      throw thrown;
    },
  });
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  assertEquals(await sse.next(), done);
  await stream.cancelled;
});

Deno.test("close() called in until ends the stream after the event that until received", async () => {
  const { fetch, requests } = inTurn(events("data: a\n\ndata: b\n\n"));
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    until() {
      sse.close();
      return false;
    },
  });
  assertEquals(await allData(sse), ["a"]);
  assertEquals(requests.length, 1);
});

Deno.test("close() called in until for an unfinished event ends the stream without an error", async () => {
  const { fetch, requests } = inTurn(events("error: busy\ndata: a"));
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
    until() {
      sse.close();
      return false;
    },
  });
  assertEquals(await sse.next(), done);
  assertEquals(sse.state, "closed");
  assertEquals(requests.length, 1);
});

Deno.test("close() called in fetch ends the stream and cancels the response", async () => {
  const late = new OpenResponse("data: b\n\n");
  const { fetch } = inTurn(events("data: a\n\n"), () => {
    sse.close();
    return late.response;
  });
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  assertEquals(await allData(sse), ["a"]);
  await late.cancelled;
});

Deno.test("reconnect() called in fetch replaces the current request", async () => {
  const late = new OpenResponse("data: b\n\n");
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    () => {
      sse.reconnect();
      return late.response;
    },
    events("data: c\n\ndata: [DONE]\n\n"),
  );
  await using sse: SseConnection = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  assertEquals((await sse.next()).value?.data, "a");
  sse.reconnect();
  assertEquals(await allData(sse), ["c"]);
  await late.cancelled;
  assertEquals(requests.length, 3);
});

for (const how of ["close()", "an abort"]) {
  Deno.test(`shouldReconnect is not called after ${how} while the body of a refused response is read`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const refusal = new OpenResponse("Wait", { status: 503 });
    const { fetch } = inTurn(events("data: a\n\n"), () => refusal.response);
    let calls = 0;
    await using sse = await connectSse(url, {
      fetch,
      signal,
      reconnect: {
        initialDelay: 0,
        shouldReconnect({ code }) {
          if (code === "status") calls++;
          return true;
        },
      },
    });
    await sse.next();
    const pending = sse.next().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (how === "close()") await sse.close();
    else controller.abort();
    // close() resolves when the body is canceled.
    await refusal.cancelled;
    await pending;
    assertEquals(calls, 0);
  });
}

Deno.test("SseConnection.next() rejects with an error that until throws after close(), whether the event was buffered or not", async () => {
  for (const isBuffered of [true, false]) {
    const stream = new OpenResponse(isBuffered ? "data: a\n\ndata: b\n\n" : "");
    await using sse: SseConnection = await connectSse(url, {
      fetch: () => stream.response,
      until({ data }) {
        if (data === "a") return false;
        sse.close();
        throw thrown;
      },
    });
    if (isBuffered) await sse.next();
    const next = sse.next();
    if (!isBuffered) stream.send("data: b\n\n");
    assertStrictEquals(await assertRejects(() => next), thrown);
    assertEquals(await sse.next(), done);
    await stream.cancelled;
  }
});

Deno.test("an error that input throws after close() is ignored", async () => {
  const { fetch } = inTurn(events("data: a\n\n"));
  await using sse: SseConnection = await connectSse(({ attempt }) => {
    if (attempt === 0) return url;
    sse.close();
    throw thrown;
  }, { fetch, reconnect: { initialDelay: 0 } });
  assertEquals(await allData(sse), ["a"]);
  assertEquals(sse.state, "closed");
});

Deno.test("shouldReconnect is not called after an error of input that is no SseError, or an id that cannot be sent", async () => {
  const asked: string[] = [];
  const shouldReconnect = ({ code }: SseError) => {
    asked.push(code);
    return true;
  };
  const reconnect = { initialDelay: 0, maxDelay: 0, shouldReconnect };
  const fetch = events("id: \x01\ndata: a\n\n");
  await assertRejects(
    () =>
      connectSse(() => {
        throw thrown;
      }, { fetch, reconnect }),
  );
  assertEquals(asked, []);
  await using sse = await connectSse(url, { fetch, reconnect });
  await sse.next();
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(asked, ["truncated"]);
});

Deno.test("reconnect() during shouldReconnect cancels the refused response", async () => {
  const refused = new OpenResponse("No", { status: 503 });
  const { fetch } = inTurn(
    events("data: a\n\n"),
    () => refused.response,
    events("data: b\n\n"),
  );
  const asking = Promise.withResolvers<void>();
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      initialDelay: 0,
      shouldReconnect({ code }) {
        if (code !== "status") return undefined;
        asking.resolve();
        return new Promise(() => {});
      },
    },
  });
  await sse.next();
  const next = sse.next();
  await asking.promise;
  sse.reconnect();
  assertEquals((await next).value?.data, "b");
  await refused.cancelled;
});
