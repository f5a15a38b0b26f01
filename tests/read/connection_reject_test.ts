// SseConnection.reconnect(error). The form without an error is tested in
// connection_reconnect_test.ts.

import {
  assertEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, readSse, type SseError } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { done, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

const overloaded = new Error("overloaded_error at http://h/?k=secret");

Deno.test("reconnect(error) closes the connection and reconnects after a delay, with the error as the cause", async () => {
  using time = new FakeTime();
  const stream = new OpenResponse("id: 1\ndata: a\n\n");
  const { fetch, requests, times } = inTurn(
    () => stream.response,
    events("id: 2\ndata: b\n\n"),
  );
  const infos: ReconnectInfo[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { jitter: 0, onReconnect: (info) => void infos.push(info) },
  });
  const { response } = sse;
  await sse.next();
  sse.reconnect(overloaded);
  await stream.cancelled;
  const next = sse.next();
  await microtasks(50);
  await time.nextAsync();
  assertEquals((await next).value?.data, "b");
  assertEquals(times[1] - times[0], 1000);
  assertEquals(requests[1].headers.get("Last-Event-ID"), "1");
  const [{ attempt, delay, error }] = infos;
  assertEquals([infos.length, attempt, delay], [1, 1, 1000]);
  assertEquals([error.name, error.code], ["SseError", "rejected"]);
  assertStrictEquals(error.cause, overloaded);
  assertStrictEquals(error.response, response);
  assertStringIncludes(error.message, "overloaded_error at http://h/?…");
});

Deno.test("reconnect(error) ends a pending next(), which then returns an event of the next connection", async () => {
  const stream = new OpenResponse("");
  const { fetch } = inTurn(() => stream.response, events("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  const next = sse.next();
  await new Promise((resolve) => setTimeout(resolve));
  sse.reconnect(overloaded);
  assertEquals((await deadline(next, "an event")).value?.data, "a");
});

Deno.test("reconnect(error) during a request or a delay counts as another failure", async () => {
  using time = new FakeTime();
  const never = () => new Promise<Response>(() => {});
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    failing,
    never,
    events("data: b\n\n"),
  );
  const codes: string[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      jitter: 0,
      onReconnect: ({ attempt, error }) =>
        void codes.push(`${attempt} ${error.code}`),
    },
  });
  await sse.next();
  const next = sse.next();
  await microtasks(50);
  sse.reconnect(overloaded); // During the first delay.
  await microtasks(50);
  await time.nextAsync(); // Not in the same task.
  await microtasks(50);
  await time.nextAsync(); // The second delay. The request fails.
  await microtasks(50);
  assertEquals(codes, ["1 truncated", "2 rejected", "3 network"]);
  await time.nextAsync();
  await microtasks(50);
  assertEquals(requests.length, 3);
  sse.reconnect(overloaded); // During the request.
  await microtasks(50);
  await time.nextAsync();
  await microtasks(50);
  await time.nextAsync();
  assertEquals((await next).value?.data, "b");
  assertEquals(codes.slice(3), ["4 rejected"]);
});

Deno.test("reconnect(error) counts for maxAttempts, and an accepted event resets the count", async () => {
  const silent = () => new OpenResponse().response;
  const stream = new OpenResponse("data: b\n\n");
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    () => stream.response,
    silent,
    silent,
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0, maxDelay: 0, maxAttempts: 2 },
  });
  await dataOf(sse, 1);
  sse.reconnect(overloaded);
  await dataOf(sse, 1);
  stream.send("data: c\n\n");
  await dataOf(sse, 1);
  sse.reconnect(overloaded);
  const next = sse.next();
  for (const count of [3, 4]) {
    while (requests.length < count || sse.state !== "open") {
      await new Promise((resolve) => setTimeout(resolve));
    }
    sse.reconnect(overloaded);
  }
  const error = await assertSseError(
    deadline(next, "the error"),
    "reconnect-failed",
  );
  assertEquals((error.cause as SseError).code, "rejected");
  assertEquals(requests.length, 4);
});

Deno.test("reconnect(error) counts attempts on if the first events of a connection are what the caller rejects", async () => {
  using time = new FakeTime();
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    events("event: error\ndata: b\n\n"),
  );
  const delays: number[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      jitter: 0,
      maxAttempts: 3,
      onReconnect: ({ delay }) => void delays.push(delay),
    },
  });
  const reading = (async () => {
    for await (const { event } of sse) {
      if (event === "error") sse.reconnect(overloaded);
    }
  })();
  const failed = assertSseError(reading, "reconnect-failed");
  for (let i = 0; i < 3; i++) {
    await microtasks(50);
    await time.nextAsync();
  }
  await failed;
  assertEquals(delays, [1000, 2000, 4000]);
  assertEquals(requests.length, 4);
});

Deno.test("shouldReconnect decides about reconnect(error)", async () => {
  const { fetch, requests } = inTurn(events("data: a\n\n"));
  const causes: unknown[] = [];
  await using sse = await connectSse(url, {
    fetch,
    reconnect: {
      shouldReconnect: ({ cause }) => {
        causes.push(cause);
        return false;
      },
    },
  });
  await sse.next();
  sse.reconnect(overloaded);
  const error = await assertSseError(sse.next(), "rejected");
  assertStrictEquals(error.cause, overloaded);
  assertEquals(causes, [overloaded]);
  assertEquals(await sse.next(), done);
  assertEquals(requests.length, 1);
});

Deno.test("reconnect(error) keeps events that have arrived, and asks for those after them", async () => {
  const { fetch, requests } = inTurn(
    events("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: half"),
    events("id: 3\ndata: c\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  await sse.next();
  sse.reconnect(overloaded);
  assertEquals(await dataOf(sse, 2), ["b", "c"]);
  assertEquals(requests[1].headers.get("Last-Event-ID"), "2");
});

Deno.test("reconnect(error) with resume: false drops events that have arrived", async () => {
  const { fetch } = inTurn(
    events("data: role\n\ndata: old\n\n"),
    events("data: role\n\ndata: new\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: {
      resume: false,
      initialDelay: 0,
      restartUntil: ({ data }) => data !== "role",
    },
  });
  await sse.next();
  sse.reconnect(overloaded);
  assertEquals(await dataOf(sse, 2), ["role", "new"]);
  assertEquals(await sse.next(), done);
});

Deno.test("reconnect(error) without reconnect makes the next next() throw, and drops events that have arrived", async () => {
  const stream = new OpenResponse("data: a\n\ndata: b\n\n");
  const connections = [
    await connectSse(url, { fetch: () => stream.response }),
    readSse(eventResponse("data: a\n\ndata: b\n\n")),
  ];
  for (const sse of connections) {
    await sse.next();
    assertThrows(() => sse.reconnect(), TypeError);
    sse.reconnect(overloaded);
    const error = await assertSseError(sse.next(), "rejected");
    assertStrictEquals(error.cause, overloaded);
    assertEquals(await sse.next(), done);
  }
  await stream.cancelled;
});

Deno.test("reconnect(error) treats a refused response as failed", async () => {
  const { fetch } = inTurn(
    () => new Response("No", { status: 401 }),
    events("data: a\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  sse.reconnect(overloaded);
  assertEquals(await dataOf(sse, 1), ["a"]);
});

Deno.test("reconnect(error) takes any value, and has no effect after the end", async () => {
  for (const reason of ["text", 5, null, { code: 1 }]) {
    const sse = readSse(eventResponse("data: a\n\n"));
    sse.reconnect(reason);
    assertStrictEquals(
      (await assertSseError(sse.next(), "rejected")).cause,
      reason,
    );
    sse.reconnect(reason);
    assertEquals(await sse.next(), done);
  }
  const closed = readSse(eventResponse("data: a\n\n"));
  await closed.close();
  closed.reconnect(overloaded);
  assertEquals(await closed.next(), done);
});

Deno.test("reconnect(error) can be called by until and onComment", async () => {
  for (const name of ["until", "onComment"]) {
    const { fetch } = inTurn(
      events(":c\n\ndata: a\n\ndata: b\n\n"),
      events("data: c\n\n"),
    );
    let calls = 0;
    await using sse = await connectSse(url, {
      fetch,
      reconnect: { initialDelay: 0 },
      [name]() {
        if (calls++ === 0) sse.reconnect(overloaded);
        return false;
      },
    });
    assertEquals(await dataOf(sse, 3), ["a", "b", "c"], name);
  }
});

Deno.test("reconnect(error) and reconnect() called by onReconnect count for maxAttempts", async () => {
  for (const argument of [[overloaded], []]) {
    let calls = 0;
    const sse = await connectSse(url, {
      fetch: inTurn(events("data: a\n\n"), failing).fetch,
      reconnect: {
        initialDelay: 0,
        maxAttempts: 5,
        onReconnect() {
          calls++;
          sse.reconnect(...argument);
        },
      },
    });
    await sse.next();
    await assertSseError(deadline(sse.next(), "the end"), "reconnect-failed");
    assertEquals(calls, 5);
  }
});

for (const name of ["onReconnect", "shouldReconnect"]) {
  Deno.test(`reconnect(error) called by ${name} each time lets timers run`, async () => {
    const abort = new AbortController();
    const sse = await connectSse(url, {
      fetch: events("data: a\n\n"),
      signal: abort.signal,
      reconnect: { [name]: () => sse.reconnect(overloaded) },
    });
    await sse.next();
    const next = sse.next().catch((reason) => reason);
    setTimeout(() => abort.abort("enough"), 10);
    assertEquals(await deadline(next, "the abort"), "enough");
  });
}
