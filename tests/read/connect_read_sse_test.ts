import {
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, readSse, type ServerSentEvent } from "../../mod.ts";
import { allData } from "../support/data_of.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done } from "../support/in_process.ts";
import { countListeners } from "../support/listeners.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

Deno.test("readSse reads a response of the caller's own fetch", async () => {
  await using server = new HttpServer(() =>
    eventResponse("id: 1\ndata: a\n\n")
  );
  const response = await fetch(server.url);
  const sse = readSse(response);
  assertStrictEquals(sse[Symbol.asyncIterator](), sse);
  assertStrictEquals(sse.response, response);
  assertEquals(await allData(sse), ["a"]);
  assertEquals(sse.lastEventId, "1");
  assertEquals(server.requests.length, 1);
});

Deno.test("readSse reads a ReadableStream of bytes, which needs no Content-Type", async () => {
  const { body } = new Response("data: a\n\n");
  assertEquals(await allData(readSse(body!)), ["a"]);
});

Deno.test("readSse supports each of its options", async () => {
  const comments: string[] = [];
  await using sse = readSse(
    eventResponse(":c\n\ndata: a\n\ndata: [DONE]\n\ndata: b\n\n"),
    {
      lastEventId: "7",
      until: "[DONE]",
      onComment: (comment) => void comments.push(comment),
    },
  );
  assertEquals(sse.lastEventId, "7");
  assertEquals((await sse.next()).value?.id, "7");
  assertEquals(await sse.next(), done);
  assertEquals(comments, ["c"]);

  const plain = new Response("data: a\n\n");
  assertEquals(await allData(readSse(plain, { anyContentType: true })), ["a"]);

  const large = readSse(eventResponse("data: aaaaaaaa\n\n"), {
    maxEventSize: 8,
  });
  await assertSseError(large.next(), "event-too-large");

  using time = new FakeTime();
  for (const option of ["idleTimeout", "eventTimeout"]) {
    const { response, cancelled } = new OpenResponse();
    const silent = readSse(response, { [option]: 100 });
    const code = option === "idleTimeout" ? "idle-timeout" : "event-timeout";
    const pending = assertSseError(silent.next(), code);
    await time.tickAsync(100);
    await pending;
    await cancelled;
  }
});

Deno.test("readSse checks the response's status and Content-Type as connectSse does", async () => {
  const status = readSse(new Response("Sorry", { status: 500 }));
  const error = await assertSseError(status.next(), "status");
  assertEquals(error.body, "Sorry");
  await assertSseError(readSse(new Response("a")).next(), "content-type");
  const empty = readSse(new Response(null, { status: 204 }));
  assertEquals(await empty.next(), done);
});

Deno.test("readSse cancels the response or the stream if the loop is left", async () => {
  for (const asResponse of [true, false]) {
    const { response, cancelled } = new OpenResponse("data: a\n\n");
    for await (const _ of readSse(asResponse ? response : response.body!)) {
      break;
    }
    await cancelled;
  }
});

Deno.test("readSse cancels the body on an abort, or at once if the signal is already aborted, and removes its listener", async () => {
  const reason = new Error("enough");
  const aborted = new OpenResponse("data: a\n\n");
  const never = readSse(aborted.response, {
    signal: AbortSignal.abort(reason),
  });
  await aborted.cancelled;
  assertStrictEquals(await assertRejects(() => never.next()), reason);
  assertEquals(await never.next(), done);

  const controller = new AbortController();
  const { signal } = controller;
  const listeners = countListeners(signal);
  const { response, cancelled } = new OpenResponse("data: a\n\n");
  const sse = readSse(response, { signal });
  assertEquals(listeners(), 1);
  await sse.next();
  const pending = assertRejects(() => sse.next());
  controller.abort(reason);
  assertStrictEquals(await pending, reason);
  await cancelled;
  assertEquals(listeners(), 0);
});

Deno.test("readSse reads from the stream only on demand", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode(`data: ${++pulls}\n\n`));
    },
  }, { highWaterMark: 0 });
  const sse = readSse(body);
  assertEquals(pulls, 0);
  await sse.next();
  assertEquals(pulls, 1);
  await sse.close();
});

Deno.test('readSse ends with the body, and fails with "truncated" if until is not met', async () => {
  assertEquals(await allData(readSse(eventResponse("data: a\n\n"))), ["a"]);
  const cut = readSse(eventResponse("data: a\n\n"), { until: "[DONE]" });
  await cut.next();
  await assertSseError(cut.next(), "truncated");
});

Deno.test("readSse returns a connection whose reconnect() throws a TypeError", async () => {
  const sse = readSse(eventResponse("data: a\n\n"));
  assertThrows(() => sse.reconnect(), TypeError, "reconnect");
  assertEquals(await allData(sse), ["a"]);
});

Deno.test("readSse throws a TypeError if the source is neither a Response nor a ReadableStream", () => {
  for (const source of [undefined, null, 5, "data: a\n\n", {}, [], () => {}]) {
    const { message } = assertThrows(
      () => readSse(source as unknown as Response),
      TypeError,
    );
    assertStringIncludes(message, "a Response or a ReadableStream");
  }
});

Deno.test("readSse throws a TypeError for a locked stream, and next() rejects with one for a used response", async () => {
  const { body } = new Response("data: a\n\n");
  body!.getReader();
  assertThrows(() => readSse(body!), TypeError, "locked");

  const response = eventResponse("data: a\n\n");
  await response.text();
  const sse = readSse(response);
  await assertRejects(() => sse.next(), TypeError, "clone()");
});

Deno.test("readSse's next() rejects with a TypeError if the body is not a ReadableStream", async () => {
  const response = {
    status: 200,
    headers: new Headers({ "content-type": "text/event-stream" }),
    body: { pipe() {} },
  };
  const sse = readSse(response as unknown as Response);
  await assertRejects(() => sse.next(), TypeError, "ReadableStream");
});

Deno.test("readSse throws if an option is invalid, and does not lock the stream", () => {
  const { body } = new Response("");
  for (const options of [{ until: 5 }, { onComment: 5 }, { lastEventId: 5 }]) {
    assertThrows(() => readSse(body!, options as object), TypeError);
  }
  for (const name of ["idleTimeout", "eventTimeout", "maxEventSize"]) {
    assertThrows(() => readSse(body!, { [name]: -1 }), RangeError, name);
  }
  assertFalse(body!.locked);
});

Deno.test("readSse reads and cancels a stream of another realm", async () => {
  const stream = new OpenResponse("data: a\n\n");
  const { body } = stream.response;
  // `Response` does not accept it, and it cannot be iterated.
  const foreign = {
    locked: false,
    getReader: () => body!.getReader(),
    cancel: () => body!.cancel(),
  } as unknown as ReadableStream<Uint8Array>;
  const sse = readSse(foreign);
  assertEquals((await sse.next()).value?.data, "a");
  await sse.close();
  await stream.cancelled;
});

Deno.test("readSse accepts string chunks, as some sources yield them", async () => {
  const source = ReadableStream.from(["data: ☃", "\n\n"]);
  const events: ServerSentEvent[] = [];
  const sse = readSse(source as unknown as ReadableStream<Uint8Array>);
  for await (const event of sse) events.push(event);
  assertEquals(events.map(({ data }) => data), ["☃"]);
});

Deno.test("readSse ignores the option reconnect", async () => {
  const options = { until: "[DONE]", reconnect: true };
  const sse = readSse(eventResponse("data: a\n\n"), options);
  assertEquals((await sse.next()).value?.data, "a");
  await assertSseError(sse.next(), "truncated");
  assertThrows(() => sse.reconnect(), TypeError, "reconnect");
});

Deno.test("readSse provides the response even if the signal is already aborted", async () => {
  const response = eventResponse("data: a\n\n");
  const sse = readSse(response, { signal: AbortSignal.abort("enough") });
  assertStrictEquals(sse.response, response);
  assertEquals(await sse.next().catch((reason) => reason), "enough");
});

Deno.test("readSse throws and connectSse rejects with a TypeError if signal is not an AbortSignal", async () => {
  const signal = new AbortController() as unknown as AbortSignal;
  const expected = "Expected signal to be an AbortSignal";
  assertThrows(
    () => readSse(eventResponse(""), { signal }),
    TypeError,
    expected,
  );
  await assertRejects(
    () => connectSse("http://in.process/", { signal, fetch }),
    TypeError,
    expected,
  );
});
