// When an answer that cannot be resumed starts anew (`resume: false`,
// `restartUntil`), and what `maxAttempts` counts.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
} from "../../mod.ts";
import { SseScript, type SseStep } from "../../src/testing.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { allData, dataOf } from "../support/data_of.ts";
import { done, events, failing, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

const isToken = ({ data }: ServerSentEvent) => data !== "role";
const restart = {
  resume: false,
  restartUntil: isToken,
  initialDelay: 0,
  maxDelay: 0,
} satisfies ConnectSseOptions["reconnect"];

/** A connection that is quiet for a minute, and then ends. */
const minute: SseStep[] = [{ bytes: ":\n\n" }, { wait: 60_000 }];

Deno.test("restartUntil lets an answer start anew until it has returned true", async () => {
  const { fetch, requests } = inTurn(
    events("data: role\n\n"),
    events("data: role\n\ndata: role\n\n"),
    events("data: role\n\ndata: a\n\n"),
    events("data: never\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: restart,
  });
  assertEquals(await dataOf(sse, 5), ["role", "role", "role", "role", "a"]);
  await assertSseError(sse.next(), "truncated");
  assertEquals(requests.length, 3);
});

Deno.test("restartUntil is not called any more once it has returned true", async () => {
  const seen: string[] = [];
  await using sse = await connectSse(url, {
    fetch: events("data: role\n\ndata: a\n\ndata: b\n\n"),
    reconnect: {
      ...restart,
      restartUntil(event) {
        seen.push(event.data);
        return isToken(event);
      },
    },
  });
  assertEquals(await allData(sse), ["role", "a", "b"]);
  assertEquals(seen, ["role", "a"]);
});

Deno.test("restartUntil is asked about the events that are returned, not about those that have arrived", async () => {
  const { fetch, requests } = inTurn(
    events("data: role\n\ndata: a\n\n"),
    events("data: b\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: restart,
  });
  assertEquals(await dataOf(sse, 1), ["role"]);
  sse.reconnect(new Error("overloaded"));
  assertEquals(await allData(sse), ["b"]);
  assertEquals(requests.length, 2);
});

Deno.test("an error that restartUntil throws ends the stream and disconnects", async () => {
  const stream = new OpenResponse("data: a\n\ndata: b\n\n");
  const thrown = new Error("mine");
  await using sse = await connectSse(url, {
    fetch: () => stream.response,
    reconnect: {
      ...restart,
      restartUntil() {
        throw thrown;
      },
    },
  });
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("next() rejects with a TypeError if restartUntil returns a promise", async () => {
  await using sse = await connectSse(url, {
    fetch: events("data: a\n\n"),
    reconnect: {
      ...restart,
      // deno-lint-ignore require-await
      restartUntil: (async () => false) as unknown as () => boolean,
    },
  });
  await assertRejects(() => sse.next(), TypeError, "restartUntil");
});

Deno.test("connectSse rejects with a TypeError if restartUntil is no function, or resume is not false", async () => {
  for (
    const reconnect of [
      { resume: false, restartUntil: "role" },
      { restartUntil: isToken },
      { resume: true, restartUntil: isToken },
    ]
  ) {
    await assertRejects(
      () => connectSse(url, { reconnect } as ConnectSseOptions),
      TypeError,
      "restartUntil",
    );
  }
});

Deno.test("with resume: false, nothing resets the count of attempts", async () => {
  const { fetch, requests } = inTurn(events("data: role\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { ...restart, maxAttempts: 3 },
  });
  const error = await assertSseError(allData(sse), "reconnect-failed");
  assertEquals((error.cause as { code?: string }).code, "truncated");
  assertEquals(requests.length, 4);
});

Deno.test("with resume: false, errors that the caller reports and calls of reconnect() count as well", async () => {
  for (const argument of [[new Error("overloaded")], []]) {
    const { fetch, requests } = inTurn(events("data: role\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      until: "[DONE]",
      reconnect: { ...restart, maxAttempts: 3 },
    });
    const reading = (async () => {
      for await (const _ of sse) sse.reconnect(...argument);
    })();
    await assertSseError(reading, "reconnect-failed");
    assertEquals(requests.length, 4);
    assertEquals(sse.state, "closed");
  }
});

Deno.test("with resume: false, reconnect() ends the stream after maxAttempts attempts", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    fetch: () => stream.response,
    reconnect: { ...restart, maxAttempts: 0 },
  });
  sse.reconnect();
  assertEquals(sse.state, "closed");
  await stream.cancelled;
  await assertSseError(sse.next(), "reconnect-failed");
});

Deno.test("with resume: false, reconnect() called by shouldReconnect sends no request after maxAttempts attempts", async () => {
  const { fetch, requests } = inTurn(
    events("data: role\n\n"),
    failing,
    events("data: never\n\n"),
  );
  const sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: {
      ...restart,
      maxAttempts: 1,
      shouldReconnect(_error, attempt) {
        if (attempt > 1) sse.reconnect();
        return undefined;
      },
    },
  });
  await sse.next();
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(requests.length, 2);
});

Deno.test("with resume: false, reconnect() counts the request whose refusal is being read", async () => {
  const refused = Promise.withResolvers<void>();
  const { fetch, requests } = inTurn(
    events("data: role\n\n"),
    () => {
      refused.resolve();
      return new Response(new ReadableStream(), { status: 503 });
    },
    events("data: never\n\n"),
  );
  const sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { ...restart, maxAttempts: 1 },
  });
  await sse.next();
  const failed = assertSseError(sse.next(), "reconnect-failed");
  await refused.promise;
  await microtasks(100);
  sse.reconnect();
  await failed;
  assertEquals(requests.length, 2);
});

Deno.test("with resume: false, the number of the attempt is that of the request", async () => {
  const attempts: number[] = [];
  const { fetch } = inTurn(
    events("data: role\n\n"),
    failing,
    events("data: role\n\n"),
    events("data: a\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(({ attempt }) => {
    attempts.push(attempt);
    return url;
  }, { fetch, until: "[DONE]", reconnect: { ...restart, maxAttempts: 3 } });
  assertEquals(await allData(sse), ["role", "role", "a"]);
  assertEquals(attempts, [0, 1, 2, 3]);
});

/**
 * Reads streams that stay open for `open` ms each, start with this text, and end
 * without an event. Returns the delays before the attempts.
 */
async function delaysOf(
  { open, text, how = "end" }: {
    open: number;
    text: string;
    how?: "end" | "fail" | "reject";
  },
): Promise<{ delays: number[]; code: string | undefined }> {
  using time = new FakeTime();
  const steps: SseStep[] = [{ bytes: text }, { wait: open }];
  if (how === "fail") steps.push("cut");
  const { fetch } = new SseScript(...Array(7).fill(steps));
  const delays: number[] = [];
  const sse = await connectSse(url, {
    fetch,
    reconnect: {
      jitter: 0,
      maxAttempts: 3,
      onReconnect: ({ delay }) => void delays.push(delay),
    },
  });
  let code: string | undefined;
  const reading = sse.next().catch((error) => code = error.code);
  for (let i = 0; i < 6 && code === undefined; i++) {
    await microtasks(50);
    await time.tickAsync(open);
    if (how === "reject") sse.reconnect(new Error("mine"));
    await microtasks(50);
    if (code === undefined) await time.nextAsync();
  }
  await sse.close();
  await reading;
  return { delays, code };
}

for (const how of ["end", "fail", "reject"] as const) {
  Deno.test(`quiet connections that a proxy cuts do not use up maxAttempts, and their delays do not grow (${how})`, async () => {
    const { delays, code } = await delaysOf({
      open: 60_000,
      text: ":\n\n",
      how,
    });
    assertEquals(delays, [1000, 1000, 1000, 1000, 1000, 1000]);
    assertEquals(code, undefined);
  });
}

Deno.test("connections that stay silent use up maxAttempts, however long they are open", async () => {
  const { delays, code } = await delaysOf({ open: 60_000, text: "" });
  assertEquals(delays, [1000, 2000, 4000]);
  assertEquals(code, "reconnect-failed");
});

Deno.test("connections that are cut earlier than maxDelay use up maxAttempts, although they deliver bytes", async () => {
  const { delays, code } = await delaysOf({ open: 30_000, text: ":\n\n" });
  assertEquals(delays, [1000, 2000, 4000]);
  assertEquals(code, "reconnect-failed");
});

Deno.test("an event resets the count of attempts and the delays", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    failing,
    events("data: b\n\n"),
    failing,
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0, maxDelay: 0, maxAttempts: 2 },
  });
  assertEquals(await dataOf(sse, 2), ["a", "b"]);
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(requests.length, 5);
});

Deno.test("an event that the caller rejects before it reads on does not reset the count of attempts", async () => {
  const { fetch, requests } = inTurn(
    failing,
    () => eventResponse("data: a\n\ndata: b\n\n"),
    failing,
    () => eventResponse("data: c\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0, maxDelay: 0, maxAttempts: 1 },
  });
  assertEquals(await dataOf(sse, 1), ["a"]);
  sse.reconnect(new Error("mine"));
  assertEquals(await dataOf(sse, 1), ["b"]);
  await assertSseError(sse.next(), "reconnect-failed");
  assertEquals(requests.length, 2);
});

Deno.test("an answer does not start anew if a restart was ruled out after its connection had failed", async () => {
  const { fetch, requests } = inTurn(
    events(`data: a\n\ndata: ${"b".repeat(20)}\n\n`),
  );
  await using sse = await connectSse(url, {
    fetch,
    maxEventSize: 10,
    reconnect: { ...restart, shouldReconnect: () => true },
  });
  assertEquals(await dataOf(sse, 1), ["a"]);
  await assertSseError(sse.next(), "event-too-large");
  assertEquals(requests.length, 1);
});

Deno.test("a refused response uses up no attempt", async () => {
  const { fetch, requests } = inTurn(
    () => new Response("Who?", { status: 401 }),
    events("data: a\n\ndata: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { ...restart, maxAttempts: 1 },
  });
  sse.reconnect(); // With a new token.
  assertEquals(await allData(sse), ["a"]);
  assertEquals(requests.length, 2);
});

Deno.test("reconnect() during a delay uses up no further attempt", async () => {
  const { fetch, requests } = inTurn(
    failing,
    events("data: a\n\ndata: [DONE]\n\n"),
  );
  const delaying = Promise.withResolvers<void>();
  const { fetch: first } = inTurn(events("data: role\n\n"), fetch);
  await using sse = await connectSse(url, {
    fetch: first,
    until: "[DONE]",
    reconnect: {
      ...restart,
      initialDelay: 10_000,
      maxDelay: 10_000,
      maxAttempts: 2,
      onReconnect: () => delaying.resolve(),
    },
  });
  await dataOf(sse, 1);
  const next = sse.next().catch((error) => error.code);
  await delaying.promise;
  sse.reconnect(); // The first attempt, which fails.
  while (requests.length < 1) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  await microtasks(50);
  sse.reconnect(); // The second attempt.
  assertEquals((await next).value?.data, "a");
});

Deno.test("a quiet connection does not reset the count of attempts with resume: false", async () => {
  using time = new FakeTime();
  const { fetch, requests } = new SseScript(...Array(4).fill(minute));
  const sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { ...restart, maxAttempts: 2 },
  });
  const failed = assertSseError(sse.next(), "reconnect-failed");
  for (let i = 0; i < 3; i++) {
    await time.tickAsync(60_000);
    await microtasks(50);
    if (i < 2) await time.nextAsync();
  }
  await failed;
  assertEquals(requests.length, 3);
});

Deno.test("an endless maxDelay does not keep a quiet connection from being healthy", async () => {
  using time = new FakeTime();
  const { fetch, requests } = new SseScript(...Array(6).fill(minute));
  const sse = await connectSse(url, {
    fetch,
    reconnect: { jitter: 0, maxDelay: Infinity, maxAttempts: 2 },
  });
  const reading = sse.next().catch((error) => error);
  for (let i = 0; i < 5; i++) {
    await time.tickAsync(60_000);
    await microtasks(50);
    await time.nextAsync();
  }
  await microtasks(50);
  assertEquals(requests.length, 6);
  await sse.close();
  assertEquals(await reading, done);
});
