// What has been given up can be collected, whatever lives on.

import { assertLess } from "@std/assert";
import { connectSse, type SseConnection } from "../../mod.ts";
import { collectGarbage } from "../support/garbage.ts";
import { HttpServer } from "../support/http_server.ts";
import { url } from "../support/in_process.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { slowTest } from "../support/slow_test.ts";

const COUNT = 200;
/** The newest of them is in use, and the one before may be held somewhere. */
const FEW = 5;

/** How many are still there after a collection. */
async function alive(references: WeakRef<object>[]): Promise<number> {
  for (let i = 0; i < 3; i++) {
    // A reference keeps its target until the end of the turn that made it.
    await new Promise((resolve) => setTimeout(resolve));
    collectGarbage();
  }
  return references.filter((it) => it.deref() !== undefined).length;
}

slowTest(
  "SseConnection keeps nothing of the connections that have ended",
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
  "SseConnection keeps nothing of the connections that reconnect() dropped",
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
  "SseConnection keeps nothing of the attempts that failed",
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
  "closed": (sse) => sse.close(),
  "ended": async (sse) => {
    while (!(await sse.next()).done);
  },
};
for (const [how, leave] of Object.entries(ways)) {
  slowTest(
    `a signal that lives on keeps nothing of connections that have been ${how}`,
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
  "a signal that lives on keeps nothing of connections that never came about",
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
