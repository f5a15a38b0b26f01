// Closing a stream that reconnects leaks nothing, in whatever phase it is.
// Deno's sanitizers check for leaked timers, sockets and ops after each test.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  connectSse,
  type ConnectSseOptions,
  type SseConnection,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { countListeners } from "../support/listeners.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import {
  eventStreamHead,
  RawServer,
  type Script,
} from "../support/raw_server.ts";

const reason = new Error("enough");

// Long timeouts, so that the sanitizers notice a leaked timer.
const longTimeouts = {
  idleTimeout: 1e6,
  connectTimeout: 1e6,
} satisfies ConnectSseOptions;

const open: Script = async (connection) => {
  await connection.send(eventStreamHead);
  await connection.chunk("data: a\n\ndata: b\n\n");
};
const ended: Script = async (connection) => {
  await open(connection);
  await connection.send("0\r\n\r\n");
  connection.end();
};
const silent: Script = () => {};

/** A phase that a connection enters after its first two events are read. */
interface Phase {
  scripts: [Script, ...Script[]];
  options: ConnectSseOptions["reconnect"];
  /** Resolves when a pending `next()` is in the phase. */
  reached: (server: RawServer, delayStarted: Promise<void>) => Promise<unknown>;
}

const phases: Record<string, Phase> = {
  "a request": {
    scripts: [ended, silent],
    options: { initialDelay: 0 },
    reached: (server) => server.connection(1),
  },
  "a request after an error response": {
    scripts: [
      ended,
      async (connection) => {
        await connection.send(
          "HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nunfinished",
        );
      },
      silent,
    ],
    options: { initialDelay: 0 },
    reached: (server) => server.connection(2),
  },
  "a delay": {
    scripts: [ended],
    options: { initialDelay: 1e6, maxDelay: 1e6 },
    reached: (_, delayStarted) => delayStarted,
  },
  "a read": {
    scripts: [open],
    options: true,
    // The start of a read cannot be observed, but it precedes the next timer.
    reached: () => new Promise((resolve) => setTimeout(resolve)),
  },
  "a read after a reconnect": {
    scripts: [ended, async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk("data: half");
    }],
    options: { initialDelay: 0 },
    reached: async (server) => {
      await server.connection(1);
      await new Promise((resolve) => setTimeout(resolve));
    },
  },
};

const ends: Record<string, (sse: SseConnection) => Promise<unknown>> = {
  "close()": (sse) => sse.close(),
  "return()": (sse) => sse.return(),
  "the end of await using": (sse) => sse[Symbol.asyncDispose](),
};

async function inPhase(
  phase: Phase,
  act: (
    sse: SseConnection,
    pending: Promise<unknown>,
    controller: AbortController,
  ) => Promise<void>,
): Promise<void> {
  const { scripts, options, reached } = phase;
  await using server = await RawServer.listen(...scripts);
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const delayStarted = Promise.withResolvers<void>();
  const sse = await connectSse(server.url, {
    ...longTimeouts,
    signal: controller.signal,
    reconnect: {
      ...(options as object),
      onReconnect: () => delayStarted.resolve(),
    },
  });
  assertEquals(listeners(), 1);
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals((await sse.next()).value?.data, "b");
  const pending = [sse.next(), sse.next()];
  await deadline(reached(server, delayStarted.promise), "the phase");
  await act(sse, pending[0], controller);
  assertEquals(await deadline(pending[1], "another next()"), done);
  assertEquals(await sse.next(), done);
  assertEquals(listeners(), 0);
  const { length } = server.connections;
  for (const { disconnected } of server.connections) await disconnected;
  assertEquals(server.connections.length, length);
}

for (const [name, phase] of Object.entries(phases)) {
  for (const [how, end] of Object.entries(ends)) {
    Deno.test(`${how} during ${name} ends next() and leaks nothing`, async () => {
      await inPhase(phase, async (sse, pending) => {
        await end(sse);
        assertEquals(await deadline(pending, "next()"), done);
        await end(sse);
      });
    });
  }

  Deno.test(`an abort during ${name} rejects next() and leaks nothing`, async () => {
    await inPhase(phase, async (_, pending, controller) => {
      const rejected = assertRejects(() => pending);
      controller.abort(reason);
      assertStrictEquals(await deadline(rejected, "next()"), reason);
    });
  });

  Deno.test(`close() directly before an abort during ${name} ends next() without the reason`, async () => {
    await inPhase(phase, async (sse, pending, controller) => {
      const closed = sse.close();
      controller.abort(reason);
      await closed;
      assertEquals(await deadline(pending, "next()"), done);
    });
  });
}

Deno.test("close() directly after an abort during a delay ends next() without the reason", async () => {
  await inPhase(phases["a delay"], async (sse, pending, controller) => {
    controller.abort(reason);
    await sse.close();
    assertEquals(await pending, done);
  });
});

for (
  const [when, { scripts, options, before }] of Object.entries({
    "during a request": {
      scripts: [open, silent],
      options: {},
      before: async (sse: SseConnection, server: RawServer) => {
        sse.reconnect();
        await server.connection(1);
      },
    },
    "during a delay": {
      scripts: [open, (connection) => connection.reset()],
      options: { initialDelay: 1e6, maxDelay: 1e6 },
      before: async (
        sse: SseConnection,
        _: RawServer,
        delayStarted: Promise<void>,
      ) => {
        sse.reconnect();
        await delayStarted;
      },
    },
    "while the connection is open": {
      scripts: [open],
      options: {},
      before: async () => {},
    },
    "after the connection has ended": {
      scripts: [ended],
      options: { initialDelay: 1e6, maxDelay: 1e6 },
      before: async () => {},
    },
  } as Record<string, {
    scripts: [Script, ...Script[]];
    options: object;
    before: (
      sse: SseConnection,
      server: RawServer,
      delayStarted: Promise<void>,
    ) => Promise<void>;
  }>)
) {
  for (const how of ["break", "a throw"]) {
    Deno.test(`SseConnection leaks nothing if ${how} leaves the loop ${when}`, async () => {
      await using server = await RawServer.listen(...scripts);
      const { signal } = new AbortController();
      const listeners = countListeners(signal);
      const delayStarted = Promise.withResolvers<void>();
      const sse = await connectSse(server.url, {
        ...longTimeouts,
        signal,
        reconnect: { ...options, onReconnect: () => delayStarted.resolve() },
      });
      try {
        for await (const event of sse) {
          assertEquals(event.data, "a");
          await before(sse, server, delayStarted.promise);
          if (how === "break") break;
          throw reason;
        }
      } catch (error) {
        assertStrictEquals(error, reason);
      }
      assertEquals(await sse.next(), done);
      assertEquals(listeners(), 0);
      for (const { disconnected } of server.connections) await disconnected;
    });
  }
}

Deno.test("connectSse rejects and leaks nothing on an abort during the first request", async () => {
  await using server = await RawServer.listen(silent);
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...longTimeouts,
      signal: controller.signal,
      reconnect: true,
    })
  );
  const connection = await server.connection(0);
  controller.abort(reason);
  assertStrictEquals(await rejected, reason);
  await connection.disconnected;
  assertEquals(listeners(), 0);
});

Deno.test("connectSse rejects and leaks nothing on an abort during the delay before the second request", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.reset()
  );
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const delayStarted = Promise.withResolvers<void>();
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...longTimeouts,
      signal: controller.signal,
      reconnect: {
        initialDelay: 1e6,
        maxDelay: 1e6,
        onReconnect: () => delayStarted.resolve(),
      },
    })
  );
  await delayStarted.promise;
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "connectSse"), reason);
  assertEquals(listeners(), 0);
});

Deno.test("connectSse rejects and leaks nothing on an abort during the second request", async () => {
  await using server = await RawServer.listen(
    (connection) => connection.reset(),
    silent,
  );
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...longTimeouts,
      signal: controller.signal,
      reconnect: { initialDelay: 0 },
    })
  );
  const connection = await server.connection(1);
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "connectSse"), reason);
  await connection.disconnected;
  assertEquals(listeners(), 0);
});

Deno.test("SseConnection.next() rejects if the signal of a given Request aborts during a delay", async () => {
  await using server = await RawServer.listen(ended);
  const controller = new AbortController();
  const delayStarted = Promise.withResolvers<void>();
  await using sse = await connectSse(
    new Request(server.url, { signal: controller.signal }),
    {
      reconnect: {
        initialDelay: 1e6,
        maxDelay: 1e6,
        onReconnect: () => delayStarted.resolve(),
      },
    },
  );
  await sse.next();
  await sse.next();
  const rejected = assertRejects(() => sse.next());
  await delayStarted.promise;
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "next()"), reason);
});

Deno.test("SseConnection keeps one listener on the signal while it reconnects, and none after close()", async () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  await using server = new HttpServer(() => eventResponse("data: a\n\n"));
  const sse = await connectSse(server.url, {
    signal,
    reconnect: { initialDelay: 0 },
  });
  for (let i = 0; i < 20; i++) {
    await sse.next();
    assertEquals(listeners(), 1);
  }
  await sse.close();
  assertEquals(listeners(), 0);
});

for (
  const [name, handlers, options, outcome] of [
    [
      "the last attempt fails",
      [
        () => new Response("No", { status: 503 }),
      ],
      { reconnect: { initialDelay: 0, maxAttempts: 2 } },
      "reconnect-failed",
    ],
    [
      "the server responds with a permanent error",
      [
        () => new Response("No", { status: 401 }),
      ],
      {},
      "status",
    ],
    [
      "the server responds with status 204",
      [
        () => new Response(null, { status: 204 }),
      ],
      {},
      "done",
    ],
    ["until is met", [() => eventResponse("data: [DONE]\n\n")], {}, "done"],
    [
      "an event is too large",
      [
        () => eventResponse(`data: ${"a".repeat(200)}\n\n`),
      ],
      {},
      "event-too-large",
    ],
  ] as [string, (() => Response)[], ConnectSseOptions, string][]
) {
  Deno.test(`SseConnection removes its listener from the signal when ${name}`, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = countListeners(signal);
    await using server = new HttpServer(
      () => eventResponse("data: a\n\n"),
      ...handlers,
    );
    await using sse = await connectSse(server.url, {
      until: "[DONE]",
      maxEventSize: 100,
      reconnect: { initialDelay: 0 },
      ...options,
      signal,
    });
    assertEquals((await sse.next()).value?.data, "a");
    const ended = sse.next().then(() => "done", (error) => error.code);
    assertEquals(await ended, outcome);
    assertEquals(listeners(), 0);
    controller.abort(reason);
    assertEquals(await sse.next(), done);
  });
}

Deno.test("connectSse leaves no listener on the signal if it rejects", async () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const fetch = () => Promise.reject(new Error("cable cut"));
  const reconnect = { initialDelay: 0, maxAttempts: 2 };
  await assertSseError(
    connectSse("http://in.process/", { fetch, signal, reconnect }),
    "reconnect-failed",
  );
  assertEquals(listeners(), 0);
  await assertRejects(() =>
    connectSse("http://in.process/", {
      fetch,
      signal,
      reconnect: { jitter: 2 },
    }), RangeError);
  assertEquals(listeners(), 0);
});

Deno.test("SseConnection cancels the body of a permanent error response that never ends", async () => {
  const refusal = new OpenResponse("No", { status: 401 });
  await using server = new HttpServer(
    () => eventResponse("data: a\n\n"),
    () => refusal.response,
  );
  const sse = await connectSse(server.url, { reconnect: { initialDelay: 0 } });
  await sse.next();
  const { body } = await assertSseError(sse.next(), "status");
  assertEquals(body, "No");
  await refusal.cancelled;
  await sse.close();
});

Deno.test("close() during a delay ends a thousand overlapping next() calls", async () => {
  await using server = await RawServer.listen(ended);
  const delayStarted = Promise.withResolvers<void>();
  const sse = await connectSse(server.url, {
    reconnect: {
      initialDelay: 1e6,
      maxDelay: 1e6,
      onReconnect: () => delayStarted.resolve(),
    },
  });
  const pending = Array.from({ length: 1000 }, () => sse.next());
  await delayStarted.promise;
  await sse.close();
  const results = await Promise.all(pending);
  assertEquals(results.slice(0, 2).map(({ value }) => value?.data), ["a", "b"]);
  assert(results.slice(2).every(({ done }) => done));
});

/** Returns a response whose body is canceled only when the test says so. */
function slowToCancel(): { response: Response; finish: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const body = new ReadableStream({ cancel: () => promise });
  const headers = { "content-type": "text/event-stream" };
  return { response: new Response(body, { headers }), finish: resolve };
}

Deno.test("close() resolves when the body is canceled", async () => {
  const { response, finish } = slowToCancel();
  const sse = await connectSse(url, { fetch: () => response });
  let isClosed = false;
  const closing = sse.close().then(() => isClosed = true);
  await microtasks(100);
  assertEquals(isClosed, false);
  finish();
  await deadline(closing, "close()");
});

Deno.test("close() waits at most a second for the body", async () => {
  using time = new FakeTime();
  const { response } = slowToCancel();
  const sse = await connectSse(url, { fetch: () => response });
  let isClosed = false;
  const closing = sse.close().then(() => isClosed = true);
  await time.tickAsync(999);
  assertEquals(isClosed, false);
  await time.tickAsync(1);
  await closing;
});

Deno.test("close() during a delay waits for the body of the refused response", async () => {
  const { response, finish } = slowToCancel();
  const refused = new Response(response.body, { status: 503 });
  const { fetch } = inTurn(events("data: a\n\n"), () => refused);
  const asking = Promise.withResolvers<void>();
  const sse = await connectSse(url, {
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
  let isClosed = false;
  const closing = sse.close().then(() => isClosed = true);
  await next;
  await microtasks(100);
  assertEquals(isClosed, false);
  finish();
  await deadline(closing, "close()");
});

/** Returns a handler whose stream calls the function when it is canceled. */
function onCancel(
  cancel: () => void,
): { fetch: () => Response; requests: () => number } {
  let requests = 0;
  const headers = { "content-type": "text/event-stream" };
  const start = (controller: ReadableStreamDefaultController<Uint8Array>) =>
    controller.enqueue(new TextEncoder().encode("data: a\n\n"));
  const fetch = () => {
    requests++;
    return new Response(new ReadableStream({ start, cancel }), { headers });
  };
  return { fetch, requests: () => requests };
}

Deno.test("close() and an abort by the source that is canceled end the connection", async () => {
  for (const how of ["close", "abort"]) {
    for (const argument of [[], [new Error("mine")]]) {
      const abort = new AbortController();
      const { fetch, requests } = onCancel(() => {
        if (how === "close") sse.close();
        else abort.abort(reason);
      });
      const sse: SseConnection = await connectSse(url, {
        fetch,
        signal: abort.signal,
        reconnect: { initialDelay: 0 },
      });
      await sse.next();
      sse.reconnect(...argument);
      assertEquals(sse.state, "closed");
      const next = sse.next().catch((error) => error);
      assertEquals(await next, how === "close" ? done : reason);
      await microtasks(50);
      assertEquals(requests(), 1);
    }
  }
});

Deno.test("close() by the source that is canceled does not hide the error that ends the stream", async () => {
  const { fetch } = onCancel(() => void sse.close());
  const sse: SseConnection = await connectSse(url, {
    fetch,
    maxEventSize: 1,
    onComment() {},
  });
  await assertSseError(sse.next(), "event-too-large");
  assertEquals(await sse.next(), done);
});
