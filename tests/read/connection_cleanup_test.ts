// What is left when a stream that reconnects is given up: nothing. Deno's own
// sanitizers look for timers, sockets and ops after each test.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type SseConnection,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { done } from "../support/in_process.ts";
import { countListeners } from "../support/listeners.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import {
  eventStreamHead,
  RawServer,
  type Script,
} from "../support/raw_server.ts";

const reason = new Error("enough");

// Long, so that a timer left behind is seen.
const long = {
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

/** Brings a connection whose events are read into a phase, and tells of it. */
interface Phase {
  scripts: [Script, ...Script[]];
  options: ConnectSseOptions["reconnect"];
  /** Resolves once a pending `next` has come to the phase. */
  reached: (server: RawServer, waiting: Promise<void>) => Promise<unknown>;
}

const phases: Record<string, Phase> = {
  "a request": {
    scripts: [ended, silent],
    options: { initialDelay: 0 },
    reached: (server) => server.connection(1),
  },
  "a request that follows a refusal": {
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
  "a wait": {
    scripts: [ended],
    options: { initialDelay: 1e6, maxDelay: 1e6 },
    reached: (_, waiting) => waiting,
  },
  "a read": {
    scripts: [open],
    options: true,
    // Nothing tells when a read has begun, but that nothing else is to be done.
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

async function at(
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
  const waiting = Promise.withResolvers<void>();
  const sse = await connectSse(server.url, {
    ...long,
    signal: controller.signal,
    reconnect: {
      ...(options as object),
      onReconnect: () => waiting.resolve(),
    },
  });
  assertEquals(listeners(), 1);
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals((await sse.next()).value?.data, "b");
  const pending = [sse.next(), sse.next()];
  await deadline(reached(server, waiting.promise), "the phase");
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
    Deno.test(`${how} during ${name} ends next() and leaves nothing behind`, async () => {
      await at(phase, async (sse, pending) => {
        await end(sse);
        assertEquals(await deadline(pending, "next()"), done);
        await end(sse);
      });
    });
  }

  Deno.test(`abort during ${name} rejects next() and leaves nothing behind`, async () => {
    await at(phase, async (_, pending, controller) => {
      const rejected = assertRejects(() => pending);
      controller.abort(reason);
      assertStrictEquals(await deadline(rejected, "next()"), reason);
    });
  });

  Deno.test(`close() and abort at once during ${name} end next()`, async () => {
    await at(phase, async (sse, pending, controller) => {
      const closed = sse.close();
      controller.abort(reason);
      await closed;
      assertEquals(await deadline(pending, "next()"), done);
    });
  });
}

Deno.test("close() that follows abort before next() was told takes the reason away", async () => {
  await at(phases["a wait"], async (sse, pending, controller) => {
    controller.abort(reason);
    await sse.close();
    assertEquals(await pending, done);
  });
});

for (
  const [name, { scripts, options, before }] of Object.entries({
    "a request": {
      scripts: [open, silent],
      options: {},
      before: async (sse: SseConnection, server: RawServer) => {
        sse.reconnect();
        await server.connection(1);
      },
    },
    "a wait": {
      scripts: [open, (connection) => connection.reset()],
      options: { initialDelay: 1e6, maxDelay: 1e6 },
      before: async (
        sse: SseConnection,
        _: RawServer,
        waiting: Promise<void>,
      ) => {
        sse.reconnect();
        await waiting;
      },
    },
    "a connection that is open": {
      scripts: [open],
      options: {},
      before: async () => {},
    },
    "a connection that has ended": {
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
      waiting: Promise<void>,
    ) => Promise<void>;
  }>)
) {
  for (const how of ["break", "a throw"]) {
    Deno.test(`${how} during ${name} leaves nothing behind`, async () => {
      await using server = await RawServer.listen(...scripts);
      const { signal } = new AbortController();
      const listeners = countListeners(signal);
      const waiting = Promise.withResolvers<void>();
      const sse = await connectSse(server.url, {
        ...long,
        signal,
        reconnect: { ...options, onReconnect: () => waiting.resolve() },
      });
      try {
        for await (const event of sse) {
          assertEquals(event.data, "a");
          await before(sse, server, waiting.promise);
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

Deno.test("abort during the first request rejects connectSse and leaves nothing behind", async () => {
  await using server = await RawServer.listen(silent);
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...long,
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

Deno.test("abort during the wait for the second request rejects connectSse and leaves nothing behind", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.reset()
  );
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const waiting = Promise.withResolvers<void>();
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...long,
      signal: controller.signal,
      reconnect: {
        initialDelay: 1e6,
        maxDelay: 1e6,
        onReconnect: () => waiting.resolve(),
      },
    })
  );
  await waiting.promise;
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "connectSse"), reason);
  assertEquals(listeners(), 0);
});

Deno.test("abort during the second request rejects connectSse and leaves nothing behind", async () => {
  await using server = await RawServer.listen(
    (connection) => connection.reset(),
    silent,
  );
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const rejected = assertRejects(() =>
    connectSse(server.url, {
      ...long,
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

Deno.test("a Request's own signal ends the wait too", async () => {
  await using server = await RawServer.listen(ended);
  const controller = new AbortController();
  const waiting = Promise.withResolvers<void>();
  await using sse = await connectSse(
    new Request(server.url, { signal: controller.signal }),
    {
      reconnect: {
        initialDelay: 1e6,
        maxDelay: 1e6,
        onReconnect: () => waiting.resolve(),
      },
    },
  );
  await sse.next();
  await sse.next();
  const rejected = assertRejects(() => sse.next());
  await waiting.promise;
  controller.abort(reason);
  assertStrictEquals(await deadline(rejected, "next()"), reason);
});

Deno.test("the signal has one listener while the stream lives, however often it reconnects", async () => {
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
  const [name, handlers, options] of [
    ["the last attempt has failed", [
      () => new Response("No", { status: 503 }),
    ], { reconnect: { initialDelay: 0, maxAttempts: 2 } }],
    ["a status is not to be retried", [
      () => new Response("No", { status: 401 }),
    ], {}],
    ["the server says that there is no more", [
      () => new Response(null, { status: 204 }),
    ], {}],
    ["until is met", [() => eventResponse("data: [DONE]\n\n")], {}],
    ["an event is too large", [
      () => eventResponse(`data: ${"a".repeat(200)}\n\n`),
    ], {}],
  ] as [string, (() => Response)[], ConnectSseOptions][]
) {
  Deno.test(`the signal has no listener once ${name}`, async () => {
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
    await sse.next().catch(() => {});
    assertEquals(listeners(), 0);
    controller.abort(reason);
    assertEquals(await sse.next(), done);
  });
}

Deno.test("the signal has no listener once connectSse has rejected", async () => {
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

Deno.test("the error of a refused response that goes on has let go of it", async () => {
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

Deno.test("a thousand overlapping next() are answered by close() during a wait", async () => {
  await using server = await RawServer.listen(ended);
  const waiting = Promise.withResolvers<void>();
  const sse = await connectSse(server.url, {
    reconnect: {
      initialDelay: 1e6,
      maxDelay: 1e6,
      onReconnect: () => waiting.resolve(),
    },
  });
  const pending = Array.from({ length: 1000 }, () => sse.next());
  await waiting.promise;
  await sse.close();
  const results = await Promise.all(pending);
  assertEquals(results.slice(0, 2).map(({ value }) => value?.data), ["a", "b"]);
  assert(results.slice(2).every(({ done }) => done));
});
