import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  readSse,
  type ServerSentEvent,
  SseError,
  SseEventStream,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { deadline } from "../support/deadline.ts";
import { microtasks } from "../support/microtasks.ts";
import { Random } from "../support/random.ts";
import { vectors } from "../vectors.ts";

type Chunk = BufferSource | string;

function streamOf(chunks: Iterable<Chunk>): ReadableStream<Chunk> {
  return ReadableStream.from(chunks);
}

function plain({ event, data, id, retry }: ServerSentEvent) {
  return { event, data, id, retry };
}

Deno.test("SseEventStream can be used as a TransformStream", () => {
  const stream: TransformStream<Chunk, ServerSentEvent> = new SseEventStream();
  assertInstanceOf(stream.readable, ReadableStream);
  assertInstanceOf(stream.writable, WritableStream);
});

Deno.test("SseEventStream decodes the body of a response", async () => {
  const { body } = new Response("data: é\n\nevent: e\nid: 1\ndata: 🎉\n\n");
  const events = await Array.fromAsync(body!.pipeThrough(new SseEventStream()));
  assertEquals(events.map(plain), [
    { event: "message", data: "é", id: "", retry: undefined },
    { event: "e", data: "🎉", id: "1", retry: undefined },
  ]);
});

Deno.test("SseEventStream decodes each vector", async () => {
  for (const { name, chunks, events, ...state } of vectors) {
    const stream = new SseEventStream();
    const actual = await Array.fromAsync(streamOf(chunks).pipeThrough(stream));
    assertEquals(actual.map(plain), events, name);
    assertEquals(stream.lastEventId, state.lastEventId, name);
    assertEquals(stream.reconnectionTime, state.reconnectionTime, name);
  }
});

Deno.test("SseEventStream decodes the output of a TextDecoderStream", async () => {
  const { body } = new Response("data: é☃🎉\n\n");
  const events = body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new SseEventStream());
  assertEquals((await Array.fromAsync(events)).map((it) => it.data), ["é☃🎉"]);
});

Deno.test("SseEventStream decodes an ArrayBuffer and any view", async () => {
  const { buffer } = new TextEncoder().encode("data: abc\n\n");
  const chunks = [buffer, new DataView(buffer), new Uint8ClampedArray(buffer)];
  const stream = streamOf(chunks).pipeThrough(new SseEventStream());
  const data = (await Array.fromAsync(stream)).map((event) => event.data);
  assertEquals(data, ["abc", "abc", "abc"]);
});

Deno.test("SseEventStream drops an unfinished event at the end of the stream", async () => {
  const stream = new SseEventStream();
  const chunks = ["id: 1\ndata: a\n\n", "id: 2\ndata: b\n"];
  const events = await Array.fromAsync(streamOf(chunks).pipeThrough(stream));
  assertEquals(events.map((event) => event.data), ["a"]);
  assertEquals(stream.lastEventId, "1");
});

Deno.test("SseEventStream emits an event before the next chunk arrives", async () => {
  const stream = new SseEventStream();
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  writer.write("data: a\r\n\r");
  assertEquals((await reader.read()).value?.data, "a");
  writer.write("\ndata: b\n\n");
  assertEquals((await reader.read()).value?.data, "b");
  writer.close();
  assertEquals((await reader.read()).done, true);
});

Deno.test("SseEventStream updates lastEventId and reconnectionTime with each chunk", async () => {
  const stream = new SseEventStream({ lastEventId: "0" });
  assertEquals(stream.lastEventId, "0");
  assertEquals(stream.reconnectionTime, undefined);
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();

  writer.write("data: a\n\n");
  assertEquals((await reader.read()).value?.id, "0");
  writer.write("id: 1\nretry: 10\ndata: b\n\n");
  assertEquals((await reader.read()).value?.retry, 10);
  assertEquals(stream.lastEventId, "1");
  assertEquals(stream.reconnectionTime, 10);
  writer.write("id: 2\n\nid: 3\nretry: 20\n");
  writer.write("data: c\n\n");
  await reader.read();
  assertEquals(stream.lastEventId, "3");
  assertEquals(stream.reconnectionTime, 20);
  await reader.cancel();
});

Deno.test("SseEventStream calls onComment with each comment", async () => {
  const comments: string[] = [];
  const stream = new SseEventStream({ onComment: (it) => comments.push(it) });
  const chunks = [": pi", "ng\n\ndata: a\n:pong\n\n"];
  await Array.fromAsync(streamOf(chunks).pipeThrough(stream));
  assertEquals(comments, ["ping", "pong"]);
});

Deno.test("SseEventStream pulls from its source only as fast as its reader reads", async () => {
  let pulls = 0;
  const source = new ReadableStream<string>({
    pull(controller) {
      pulls++;
      // Without backpressure, all chunks would be pulled at once.
      if (pulls === 1000) controller.close();
      else controller.enqueue(`data: ${pulls}\n\n`);
    },
  }, { highWaterMark: 0 });
  const reader = source.pipeThrough(new SseEventStream()).getReader();
  for (let read = 1; read <= 100; read++) {
    assertEquals((await reader.read()).value?.data, String(read));
    // One chunk may be queued on each side of the transform.
    assert(pulls <= read + 2, `${pulls} pulls for ${read} events`);
  }
  await reader.cancel();
});

Deno.test("SseEventStream accepts a chunk only when the events of the previous one are read", async () => {
  const stream = new SseEventStream();
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  writer.write("data: a\n\ndata: b\n\ndata: c\n\n");
  let accepted = false;
  const next = writer.write("data: d\n\n").then(() => accepted = true);
  for (const data of ["a", "b", "c"]) {
    assertEquals(accepted, false);
    assertEquals((await reader.read()).value?.data, data);
  }
  assertEquals((await reader.read()).value?.data, "d");
  await next;
  await writer.abort();
});

Deno.test("SseEventStream errors and cancels its source if an event is too large", async () => {
  let cancelled: unknown;
  let lines = 0;
  const source = new ReadableStream<string>({
    pull(controller) {
      if (++lines === 1000) controller.close();
      else controller.enqueue("data: and so on\n");
    },
    cancel: (reason) => void (cancelled = reason),
  });
  const stream = source.pipeThrough(new SseEventStream({ maxEventSize: 100 }));
  const error = await assertRejects(() => Array.fromAsync(stream), SseError);
  assertEquals(error.code, "event-too-large");
  assertStrictEquals(cancelled, error);
});

Deno.test("SseEventStream errors with the error of onComment", async () => {
  const fault = new Error("not this one");
  const stream = new SseEventStream({
    onComment() {
      throw fault;
    },
  });
  const error = await assertRejects(() =>
    Array.fromAsync(streamOf([": a\n"]).pipeThrough(stream))
  );
  assertStrictEquals(error, fault);
});

Deno.test("SseEventStream errors if a chunk is neither bytes nor a string", async () => {
  for (const chunk of [5, null, undefined, {}]) {
    const stream = new SseEventStream();
    const writer = stream.writable.getWriter();
    const reader = stream.readable.getReader();
    const [written, read] = await Promise.allSettled([
      writer.write(chunk as Chunk),
      reader.read(),
      writer.closed,
      reader.closed,
    ]);
    assert(written.status === "rejected");
    assertInstanceOf(written.reason, TypeError);
    assert(read.status === "rejected");
    assertStrictEquals(read.reason, written.reason);
  }
});

Deno.test("SseEventStream errors with the error of its source", async () => {
  const fault = new Error("gone");
  const source = new ReadableStream<string>({
    start: (controller) => controller.enqueue("data: a\n\n"),
    pull: (controller) => controller.error(fault),
  }, { highWaterMark: 0 });
  const stream = source.pipeThrough(new SseEventStream());
  const error = await assertRejects(() => Array.fromAsync(stream));
  assertStrictEquals(error, fault);
});

Deno.test("SseEventStream cancels its source with the reason when it is canceled", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  const source = new ReadableStream<string>({
    pull: (controller) => controller.enqueue("data: a\n\n"),
    cancel: cancelled.resolve,
  });
  const reason = new Error("enough");
  const reader = source.pipeThrough(new SseEventStream()).getReader();
  await reader.read();
  await reader.cancel(reason);
  assertStrictEquals(await cancelled.promise, reason);
});

Deno.test("SseEventStream cancels its source if a loop is left", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  const source = new ReadableStream<string>({
    pull: (controller) => controller.enqueue("data: a\n\n"),
    cancel: cancelled.resolve,
  });
  for await (const event of source.pipeThrough(new SseEventStream())) {
    assertEquals(event.data, "a");
    break;
  }
  await cancelled.promise;
});

Deno.test("SseEventStream cancels its source if a loop is left before all events of a chunk are read", async () => {
  const cancelled = Promise.withResolvers<void>();
  const source = new ReadableStream<string>({
    pull: (controller) => controller.enqueue("data: a\n\ndata: b\n\n"),
    cancel: () => cancelled.resolve(),
  });
  for await (const _ of source.pipeThrough(new SseEventStream())) break;
  await deadline(cancelled.promise, "the source to be canceled");
});

Deno.test("SseEventStream rejects a pending read when its writable side is aborted", async () => {
  const reason = new Error("no more");
  const stream = new SseEventStream();
  const reader = stream.readable.getReader();
  const read = reader.read();
  // Handle the rejection now: it happens before `failed` is awaited.
  const failed = assertRejects(() => read);
  await stream.writable.abort(reason);
  assertStrictEquals(await failed, reason);
  await reader.closed.catch(() => {});
});

Deno.test("SseEventStream throws if maxEventSize is invalid", () => {
  const error = assertThrows(() => new SseEventStream({ maxEventSize: -1 }));
  assert(error instanceof RangeError || error instanceof TypeError);
});

/** Returns a stream of numbered events, with these counts of events per chunk. */
function numbered(...counts: number[]): ReadableStream<ServerSentEvent> {
  let number = 0;
  const chunks = counts.map((count) =>
    Array.from({ length: count }, () => `data: ${number++}\n\n`).join("")
  );
  return streamOf(chunks).pipeThrough(new SseEventStream());
}

const numbers = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => String(from + i));

/** Reads all events with a reader. Returns their data. */
async function readAll(stream: ReadableStream<ServerSentEvent>) {
  const reader = stream.getReader();
  const data: string[] = [];
  while (true) {
    const { done, value } = await reader.read();
    if (done) return data;
    data.push(value.data);
  }
}

const readMethods: Record<
  string,
  (stream: ReadableStream<ServerSentEvent>) => Promise<string[]>
> = {
  "for await": (stream) => Array.fromAsync(stream, ({ data }) => data),
  "values()": (stream) => Array.fromAsync(stream.values(), ({ data }) => data),
  "values() and preventCancel": (stream) =>
    Array.fromAsync(
      stream.values({ preventCancel: true }),
      ({ data }) => data,
    ),
  "getReader()": readAll,
  "pipeTo()": async (stream) => {
    const data: string[] = [];
    await stream.pipeTo(
      new WritableStream({ write: (event) => void data.push(event.data) }),
    );
    return data;
  },
  "pipeThrough()": (stream) =>
    Array.fromAsync(stream.pipeThrough(new TransformStream()))
      .then((events) => events.map(({ data }) => data)),
  "tee()": async (stream) => {
    const [one, other] = stream.tee();
    const [data, same] = await Promise.all([
      readAll(one),
      Array.fromAsync(other, ({ data }) => data),
    ]);
    assertEquals(data, same);
    return data;
  },
};
for (const [how, read] of Object.entries(readMethods)) {
  Deno.test(`SseEventStream emits each event once and in order, read with ${how}`, async () => {
    assertEquals(await read(numbered(3, 0, 1, 0, 5, 1)), numbers(10));
    assertEquals(await read(numbered()), []);
    assertEquals(await read(numbered(2000)), numbers(2000));
  });
}

Deno.test("SseEventStream loses no event if readers and iterators alternate", async () => {
  const stream = numbered(4, 4, 4);
  const reader = stream.getReader();
  assertEquals((await reader.read()).value?.data, "0");
  reader.releaseLock();
  const got: string[] = [];
  for await (const { data } of stream.values({ preventCancel: true })) {
    got.push(data);
    if (data === "2") break;
  }
  const second = stream.getReader();
  assertEquals((await second.read()).value?.data, "3");
  second.releaseLock();
  for await (const { data } of stream) got.push(data);
  assertEquals(got, ["1", "2", ...numbers(8, 4)]);
});

Deno.test("SseEventStream's iterator resolves overlapping calls in order", async () => {
  const iterator = numbered(2, 1, 3)[Symbol.asyncIterator]();
  const results = await Promise.all(
    Array.from({ length: 9 }, () => iterator.next()),
  );
  assertEquals(
    results.map(({ value }) => value?.data),
    [...numbers(6), undefined, undefined, undefined],
  );
  assertEquals(results.slice(6).every(({ done }) => done), true);
});

Deno.test("SseEventStream's iterator returns each event once and in order at any speed of source and reader", async () => {
  for (let seed = 0; seed < 500; seed++) {
    const random = new Random(seed);
    const chunks: string[] = [];
    let count = 0;
    for (let left = random.below(12); left > 0; left--) {
      let chunk = "";
      for (let events = random.below(4); events > 0; events--) {
        chunk += `data: ${count++}\n\n${random.pick(["", "", ":c\n\n"])}`;
      }
      chunks.push(chunk);
    }
    const fault = random.chance(0.3) ? new Error("gone") : undefined;
    const source = new ReadableStream<string>({
      async pull(controller) {
        await microtasks(random.below(12));
        const chunk = chunks.shift();
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (fault === undefined) controller.close();
        // Delayed: as in any stream, an error drops chunks not decoded yet.
        else setTimeout(() => controller.error(fault));
      },
    }, { highWaterMark: random.below(3) });
    const onComment = random.pick([undefined, () => {}]);
    const stream = source.pipeThrough(new SseEventStream({ onComment }));
    await microtasks(random.below(30));

    const iterator = stream.values();
    const got: string[] = [];
    let end: unknown;
    while (end === undefined) {
      const calls = Array.from(
        { length: 1 + random.below(3) },
        () => iterator.next(),
      );
      for (const result of await Promise.allSettled(calls)) {
        if (result.status === "rejected") end = result.reason;
        else if (result.value.done) end ??= "the end";
        else got.push(result.value.value.data);
      }
      await microtasks(random.below(12));
    }
    assertEquals(got, numbers(count), `seed ${seed}`);
    assertStrictEquals(end, fault ?? "the end", `seed ${seed}`);
    assertEquals((await iterator.next()).done, true);
    assertFalse(stream.locked);
  }
});

Deno.test("SseEventStream's iterator applies backpressure to a faster source", async () => {
  for (const perChunk of [1, 2]) {
    let pulls = 0;
    const source = new ReadableStream<string>({
      pull(controller) {
        pulls++;
        // Without backpressure, all chunks would be pulled at once.
        if (pulls === 1000) controller.close();
        else controller.enqueue("data: a\n\n".repeat(perChunk));
      },
    }, { highWaterMark: 0 });
    const iterator = source.pipeThrough(new SseEventStream()).values();
    for (let read = 1; read <= 100; read++) {
      await iterator.next();
      await microtasks(100);
      // One chunk may be queued on each side of the transform.
      const most = Math.ceil(read / perChunk) + 2;
      assert(pulls <= most, `${pulls} pulls for ${read} events`);
    }
    await iterator.return!();
  }
});

Deno.test("SseEventStream resolves a write before all events of the chunk are read", async () => {
  const { readable, writable } = new SseEventStream();
  const writer = writable.getWriter();
  const iterator = readable.values();
  const first = iterator.next();
  await deadline(writer.write("data: 1\n\ndata: 2\n\n"), "the write");
  assertEquals((await first).value?.data, "1");
  await deadline(writer.close(), "the close");
  assertEquals((await iterator.next()).value?.data, "2");
  assertEquals((await iterator.next()).done, true);
});

Deno.test("SseEventStream completes its pipe before a loop reads past the last event", async () => {
  const { readable, writable } = new SseEventStream();
  const piped = streamOf(["data: 1\n\ndata: 2\n\n"]).pipeTo(writable);
  const got: string[] = [];
  for await (const { data } of readable) {
    got.push(data);
    if (data === "2") await deadline(piped, "the pipe");
  }
  assertEquals(got, ["1", "2"]);
});

Deno.test("SseEventStream's iterator applies backpressure to chunks without events", async () => {
  for (const chunk of [":c\n", "data: part\n", "x"]) {
    let pulls = 0;
    const source = new ReadableStream<string>({
      pull(controller) {
        if (++pulls === 1000) controller.close();
        else controller.enqueue(pulls === 1 ? "data: a\n\n" : chunk);
      },
    }, { highWaterMark: 0 });
    const iterator = source.pipeThrough(new SseEventStream()).values();
    await iterator.next();
    await microtasks(1000);
    assert(pulls <= 3, `${pulls} pulls for an event`);
    await iterator.return!();
  }
});

Deno.test("SseEventStream's iterator returns no event after onComment calls return()", async () => {
  const { readable, writable } = new SseEventStream({
    onComment: () => void iterator.return!(),
  });
  const iterator = readable.values();
  const next = iterator.next();
  writable.getWriter().write("data: 1\n\n:c\ndata: 2\n\n").catch(() => {});
  assertEquals((await next).value?.data, "1");
  assertEquals((await iterator.next()).done, true);
});

Deno.test("SseEventStream's iterator resolves overlapping calls in order if an event is queued before it is created", async () => {
  const { readable, writable } = new SseEventStream();
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const read = reader.read();
  writer.write("data: 1\n\ndata: 2\n\n");
  await read;
  reader.releaseLock();
  const iterator = readable.values();
  const settled: string[] = [];
  const note = ({ value }: IteratorResult<ServerSentEvent>) =>
    settled.push(value?.data);
  const calls = [iterator.next(), iterator.next()].map((it) => it.then(note));
  await writer.write("data: 3\n\n");
  await Promise.all(calls);
  assertEquals(settled, ["2", "3"]);
  await iterator.return!();
});

for (const preventCancel of [false, true]) {
  Deno.test(`SseEventStream's iterator rejects the first of overlapping calls and ends the others after an abort, with preventCancel ${preventCancel}`, async () => {
    const fault = new Error("gone");
    const { readable, writable } = new SseEventStream();
    const iterator = readable.values({ preventCancel });
    const settled: unknown[] = [];
    const calls = [1, 2, 3].map(() =>
      iterator.next().then(
        ({ done }) => settled.push(done),
        (reason) => settled.push(reason),
      )
    );
    await writable.abort(fault);
    await Promise.all(calls);
    assertEquals(settled, [fault, true, true]);
    assertFalse(readable.locked);
  });
}

Deno.test("SseEventStream's iterator locks the stream until it ends", async () => {
  const stream = numbered(2);
  const iterator = stream.values();
  assert(stream.locked);
  assertThrows(() => stream.getReader(), TypeError);
  assertThrows(() => stream.values(), TypeError);
  const done = { done: true, value: undefined } as const;
  await iterator.next();
  assertEquals(await iterator.return!(), done);
  assertEquals(stream.locked, false);
  assertEquals(await iterator.next(), done);
  await iterator.return!();

  const whole = numbered(1);
  for await (const _ of whole);
  assertEquals(whole.locked, false);
});

Deno.test("SseEventStream's iterator with preventCancel leaves later events to the next reader", async () => {
  const stream = numbered(1, 1, 1);
  for await (const _ of stream.values({ preventCancel: true })) break;
  assertEquals(await readAll(stream), ["1", "2"]);
});

/** The blocks of a chunk with comments, and the data of its events. */
const blocksWithComments = {
  "data:1 data:2 :c": ["1", "2"],
  "data:1 :c data:2 data:3": ["1", "2", "3"],
  "data:1 data:2 :c data:3 data:4": ["1", "2", "3", "4"],
  ":c data:1 :c :c data:2 data:3 :c data:4": ["1", "2", "3", "4"],
  ":c :c": [],
};
for (const [blocks, expected] of Object.entries(blocksWithComments)) {
  const chunk = blocks.replaceAll(" ", "\n\n") + "\n\n";
  for (const [how, read] of Object.entries(readMethods)) {
    Deno.test(`SseEventStream with onComment emits ${blocks} in order, read with ${how}`, async () => {
      for (const chunks of [[chunk], [chunk, chunk], [...chunk]]) {
        let comments = 0;
        const stream = streamOf(chunks).pipeThrough(
          new SseEventStream({ onComment: () => comments++ }),
        );
        const times = chunks.length === 2 ? 2 : 1;
        assertEquals(
          await read(stream),
          Array.from({ length: times }, () => expected).flat(),
        );
        assertEquals(comments, times * (blocks.split(":c").length - 1));
      }
    });
  }
}

Deno.test("SseEventStream's iterator resolves next() called by onComment in order", async () => {
  const inner: Promise<IteratorResult<ServerSentEvent>>[] = [];
  const stream = streamOf(["data:1\n\n:c\n\ndata:2\n\ndata:3\n\n"]).pipeThrough(
    new SseEventStream({ onComment: () => void inner.push(iterator.next()) }),
  );
  const iterator = stream.values();
  const results = [
    await iterator.next(),
    await inner[0],
    await iterator.next(),
  ];
  assertEquals(results.map(({ value }) => value?.data), ["1", "2", "3"]);
});

for (const callsInComment of [0, 1, 2]) {
  Deno.test(`SseEventStream's iterator created by onComment returns the rest of the chunk in order, with ${callsInComment} calls of next() in onComment`, async () => {
    let iterator!: AsyncIterator<ServerSentEvent>;
    const calls: Promise<IteratorResult<ServerSentEvent>>[] = [];
    const { readable, writable } = new SseEventStream({
      onComment() {
        reader.releaseLock();
        iterator = readable.values();
        for (let i = 0; i < callsInComment; i++) calls.push(iterator.next());
      },
    });
    const reader = readable.getReader();
    const read = reader.read();
    const writer = writable.getWriter();
    writer.write("data: 1\n\ndata: 2\n\n:c\n\ndata: 3\n\n");
    assertEquals((await read).value?.data, "1");
    for (let i = callsInComment; i < 2; i++) calls.push(iterator.next());
    const results = await Promise.all(calls);
    assertEquals(results.map(({ value }) => value.data), ["2", "3"]);
    await iterator.return!();
  });
}

Deno.test("SseEventStream's iterator does not affect a later one after it ends", async () => {
  const stream = numbered(7);
  const first = stream.values({ preventCancel: true });
  assertEquals((await first.next()).value?.data, "0");
  await first.return!();
  const second = stream.values();
  const got = [(await second.next()).value?.data];
  await first.return!();
  assertEquals((await first.next()).done, true);
  for await (const { data } of second) got.push(data);
  assertEquals(got, numbers(7).slice(1));

  const other = numbered(7);
  const ended = other.values({ preventCancel: true });
  await ended.return!();
  const loop = other.values();
  const received = [(await loop.next()).value?.data];
  await ended.return!();
  assertEquals((await ended.next()).done, true);
  for await (const { data } of loop) received.push(data);
  assertEquals(received, numbers(7));
});

Deno.test("SseEventStream's iterator with preventCancel ends after the pending call resolves", async () => {
  let controller!: ReadableStreamDefaultController<string>;
  const source = new ReadableStream<string>({
    start(it) {
      controller = it;
    },
  });
  const stream = source.pipeThrough(new SseEventStream());
  const iterator = stream.values({ preventCancel: true });
  const pending = iterator.next();
  const returned = iterator.return!("mine");
  const late = iterator.next();
  controller.enqueue("data: a\n\ndata: b\n\n");
  assertEquals((await pending).value?.data, "a");
  assertEquals(await returned, { done: true, value: "mine" });
  assertEquals((await late).done, true);
  assertEquals(stream.locked, false);
  controller.close();
  assertEquals(await readAll(stream), ["b"]);
});

Deno.test("SseEventStream's iterator with preventCancel resolves return() if the stream fails", async () => {
  const fault = new Error("gone");
  const { readable, writable } = new SseEventStream();
  const iterator = readable.values({ preventCancel: true });
  const pending = iterator.next().catch((reason) => reason);
  const returned = iterator.return!();
  await writable.abort(fault);
  assertStrictEquals(await pending, fault);
  assertEquals((await returned).done, true);
});

Deno.test("SseEventStream's iterator cancels the source when await using disposes it", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  const source = new ReadableStream<string>({
    start: (it) => it.enqueue("data: a\n\n"),
    cancel: cancelled.resolve,
  });
  {
    await using iterator = source.pipeThrough(new SseEventStream())
      .values() as AsyncIterableIterator<ServerSentEvent> & AsyncDisposable;
    assertEquals((await iterator.next()).value?.data, "a");
  }
  await cancelled.promise;
});

Deno.test("SseEventStream errors at an event that is too large, and readSse returns the events before it", async () => {
  const text = `data: a\n\ndata: b\n\ndata: ${"x".repeat(100)}\n\n`;
  const stream = streamOf([text])
    .pipeThrough(new SseEventStream({ maxEventSize: 50 }));
  const error = await assertRejects(() => Array.fromAsync(stream), SseError);
  assertEquals(error.code, "event-too-large");

  const sse = readSse(new Response(text).body!, { maxEventSize: 50 });
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals((await sse.next()).value?.data, "b");
  await assertSseError(sse.next(), "event-too-large");
});

Deno.test("SseEventStream errors if its source fails or its pipe is aborted", async () => {
  const fault = new Error("gone");
  const controller = new AbortController();
  const canceled = Promise.withResolvers<unknown>();
  const sources = [
    new ReadableStream<string>({ pull: (it) => it.error(fault) }),
    new ReadableStream<string>({ cancel: canceled.resolve }),
  ];
  const reads = sources.map((source) =>
    assertRejects(() =>
      Array.fromAsync(source.pipeThrough(new SseEventStream(), controller))
    )
  );
  assertStrictEquals(await reads[0], fault);
  controller.abort(fault);
  assertStrictEquals(await reads[1], fault);
  assertStrictEquals(await deadline(canceled.promise, "the cancel"), fault);
});
