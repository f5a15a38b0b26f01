import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type PulledSource,
  pullFrom,
} from "../../src/internal/pulled_source.ts";

async function readAll<T>(source: PulledSource<T>): Promise<T[]> {
  const values: T[] = [];
  while (true) {
    const { done, value } = await source.next();
    if (done) return values;
    values.push(value);
  }
}

Deno.test("pullFrom reads a stream, an async iterable and an iterable", async () => {
  async function* generate() {
    yield* [1, 2];
  }
  for (const source of [ReadableStream.from([1, 2]), generate(), [1, 2]]) {
    assertEquals(await readAll(pullFrom(source)), [1, 2]);
  }
});

Deno.test("pullFrom awaits the promises of an iterable, as `for await` does", async () => {
  const source = pullFrom<number | Promise<number>>(
    [1, Promise.resolve(2)],
  );
  assertEquals(await readAll(source), [1, 2]);
});

Deno.test("pullFrom reads on demand", async () => {
  let read = 0;
  const source = pullFrom({
    *[Symbol.iterator]() {
      while (true) yield ++read;
    },
  });
  assertEquals(read, 0);
  await source.next();
  assertEquals(read, 1);
});

Deno.test("pullFrom closes a generator", async () => {
  const closed: string[] = [];
  function* generate() {
    try {
      yield 1;
    } finally {
      closed.push("sync");
    }
  }
  async function* generateAsync() {
    try {
      yield 1;
    } finally {
      closed.push("async");
    }
  }
  for (const source of [generate(), generateAsync()]) {
    const pulled = pullFrom(source);
    await pulled.next();
    await pulled.return!();
  }
  assertEquals(closed, ["sync", "async"]);
});

Deno.test("pullFrom closes an iterator that has no return()", async () => {
  const pulled = pullFrom({
    [Symbol.iterator]: () => ({ next: () => ({ done: false, value: 1 }) }),
  });
  await pulled.next();
  await pulled.return!();
});

Deno.test("pullFrom cancels a stream also during a pending next()", async () => {
  let canceled = false;
  const stream = new ReadableStream<number>({
    cancel: () => void (canceled = true),
  });
  const pulled = pullFrom(stream);
  const pending = pulled.next();
  await pulled.return!();
  assertEquals((await pending).done, true);
  assertEquals(canceled, true);
  assertEquals(stream.locked, false);
});

Deno.test("pullFrom unlocks a stream at its end and after an error", async () => {
  const ended = ReadableStream.from<number>([]);
  await pullFrom(ended).next();
  assertEquals(ended.locked, false);

  const failed = new ReadableStream<number>({
    start: (controller) => controller.error(new Error("mine")),
  });
  await assertRejects(
    async () => await pullFrom(failed).next(),
    Error,
    "mine",
  );
  assertEquals(failed.locked, false);
});

Deno.test("pullFrom throws if the source is neither a stream nor iterable", () => {
  // deno-lint-ignore no-explicit-any
  const sources: any[] = [undefined, null, 1, "ab", {}, () => {}];
  for (const source of sources) {
    assertThrows(
      () => pullFrom(source),
      TypeError,
      "Expected an iterable or a ReadableStream, got ",
    );
  }
});
