// Ended connections can be garbage collected, even if the stream or the signal is
// still in use.

import { assertLess } from "@std/assert";
import { connectSse, type SseConnection, SseError } from "../../mod.ts";
import { collectGarbage } from "../support/garbage.ts";
import { HttpServer } from "../support/http_server.ts";
import { url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { slowTest } from "../support/slow_test.ts";

const COUNT = 200;
/**
 * Fewer objects than this may stay alive: the newest is in use, and the runtime may
 * hold the one before it.
 */
const FEW = 5;

/** Returns how many targets are alive after a garbage collection. */
async function alive(references: WeakRef<object>[]): Promise<number> {
  for (let i = 0; i < 3; i++) {
    // A `WeakRef` keeps its target alive until the end of the job that made it.
    await new Promise((resolve) => setTimeout(resolve));
    collectGarbage();
  }
  return references.filter((it) => it.deref() !== undefined).length;
}

slowTest(
  "SseConnection releases the requests and responses of ended connections",
  async () => {
    const { signal } = new AbortController();
    const responses: WeakRef<Response>[] = [];
    const requests: WeakRef<Request>[] = [];
    await using sse = await connectSse(url, {
      method: "POST",
      body: "x",
      signal,
      idleTimeout: 1e6,
      connectTimeout: 1e6,
      reconnect: { initialDelay: 0 },
      fetch(request) {
        const response = eventResponse("id: 1\ndata: a\n\ndata: half");
        requests.push(new WeakRef(request));
        responses.push(new WeakRef(response));
        return response;
      },
    });
    for (let i = 0; i < COUNT; i++) await sse.next();
    assertLess(await alive(responses), FEW);
    assertLess(await alive(requests), FEW);
  },
);

slowTest(
  "SseConnection releases the responses of connections that reconnect() dropped",
  async () => {
    const { signal } = new AbortController();
    const responses: WeakRef<Response>[] = [];
    await using sse = await connectSse(url, {
      signal,
      idleTimeout: 1e6,
      connectTimeout: 1e6,
      reconnect: true,
      fetch() {
        const { response } = new OpenResponse("data: a\n\n");
        responses.push(new WeakRef(response));
        return response;
      },
    });
    for (let i = 0; i < COUNT; i++) {
      await sse.next();
      sse.reconnect();
    }
    assertLess(await alive(responses), FEW);
  },
);

slowTest(
  "SseConnection releases the errors of failed attempts",
  async () => {
    const { signal } = new AbortController();
    const errors: WeakRef<Error>[] = [];
    let requests = 0;
    await using sse = await connectSse(url, {
      signal,
      reconnect: { initialDelay: 0, maxDelay: 0 },
      fetch() {
        if (++requests > COUNT) return eventResponse("data: a\n\n");
        const error = new Error("cable cut");
        errors.push(new WeakRef(error));
        throw error;
      },
    });
    await sse.next();
    assertLess(await alive(errors), FEW);
  },
);

const ways: Record<string, (sse: SseConnection) => Promise<unknown>> = {
  "been closed": (sse) => sse.close(),
  "ended": async (sse) => {
    while (!(await sse.next()).done);
  },
};
for (const [how, leave] of Object.entries(ways)) {
  slowTest(
    `SseConnection is not retained by a long-lived signal after it has ${how}`,
    async () => {
      const { signal } = new AbortController();
      const connections: WeakRef<SseConnection>[] = [];
      await using server = new HttpServer(() =>
        eventResponse("data: a\n\ndata: [DONE]\n\n")
      );
      for (let i = 0; i < COUNT; i++) {
        const sse = await connectSse(server.url, {
          signal,
          until: "[DONE]",
          reconnect: true,
        });
        connections.push(new WeakRef(sse));
        await sse.next();
        await leave(sse);
      }
      assertLess(await alive(connections), FEW);
    },
  );
}

slowTest(
  "connectSse leaves no reference from a long-lived signal to a failed request",
  async () => {
    const { signal } = new AbortController();
    const requests: WeakRef<Request>[] = [];
    for (let i = 0; i < COUNT; i++) {
      await connectSse(url, {
        signal,
        reconnect: { maxAttempts: 0 },
        fetch(request) {
          requests.push(new WeakRef(request));
          throw new Error("cable cut");
        },
      }).catch(() => {});
    }
    assertLess(await alive(requests), FEW);
  },
);

for (const where of ["fetch", "input"]) {
  slowTest(
    `SseConnection's memory does not grow with failures in a row if ${where} throws at once`,
    async () => {
      const used: number[] = [];
      let calls = 0;
      const fail = () => {
        if (++calls % 1000 === 0) {
          collectGarbage();
          used.push(Deno.memoryUsage().heapUsed);
        }
        return new SseError("network", "cable cut");
      };
      await connectSse(
        () => {
          if (where === "input") throw fail();
          return url;
        },
        {
          fetch() {
            throw fail();
          },
          reconnect: { initialDelay: 0, maxDelay: 0, maxAttempts: 4000 },
        },
      ).catch(() => {});
      // It was 2500 to 3600 bytes for each failure.
      assertLess((used[3] - used[0]) / 3000, 500);
    },
  );
}
