/** Tests the code that stored logs share, with a store in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  EventLogEndedError,
  EventLogGapError,
  record,
  resume,
} from "../../src/event_log/mod.ts";
import { EXTRAS } from "../../src/event_log/message.ts";
import {
  type LogStore,
  oldestToKeep,
  StoredLog,
  type StoredPage,
} from "../../src/event_log/stored.ts";
import { subscribe } from "../../src/write/subscription.ts";
import { RecordingSink } from "../support/recording_sink.ts";
import { settled } from "../support/settled.ts";
import { ArrayStore } from "./array_store.ts";
import { numbers, Reader } from "./contract.ts";

/** Delays the result of the next look until the returned function is called. */
function delayNextLook(store: ArrayStore): () => void {
  const delay = Promise.withResolvers<void>();
  const pageAfter = store.pageAfter.bind(store);
  store.pageAfter = async (position) => {
    store.pageAfter = pageAfter;
    const page = await pageAfter(position);
    await delay.promise;
    return page;
  };
  return delay.resolve;
}

Deno.test("oldestToKeep() returns a number once for every tenth of the messages to keep, or for every 100", () => {
  for (
    const [maxMessages, added, expected] of [
      [50, 1, [55, 60, 65, 70]],
      [50, 2, [56, 60, 66, 70]],
      [45, 1, [50, 55, 60, 65, 70]],
      [2000, 1, [2100, 2200]],
      [1, 1, numbers(3, 9).map(Number)],
    ] as const
  ) {
    const trims: number[] = [];
    for (let last = added; last <= (expected.at(-1) ?? 0); last += added) {
      const oldest = oldestToKeep(last, added, maxMessages);
      if (oldest === undefined) continue;
      // One more than `maxMessages` is kept.
      assertEquals(oldest, last - maxMessages);
      trims.push(last);
    }
    assertEquals(trims, expected, `${maxMessages} ${added}`);
  }
});

Deno.test("StoredLog asks for as many messages as fit into a page, by the size of the last ones", async () => {
  const counts: number[] = [];
  // The lengths of the messages of each page. -1 is an entry that is no message.
  const pages = [[20_000, 40_000], [-1], [480_000], ...Array(11).fill([10])];
  class Store extends ArrayStore implements LogStore {
    override pageAfter(position: string, count?: number) {
      counts.push(count!);
      const lengths: number[] = pages.shift() ?? [];
      const entries = lengths.map((length, i) => ({
        id: `${Number(position) + i + 1}`,
        json: length < 0 ? "null" : `{"data":"${"x".repeat(length)}"}`,
      }));
      return Promise.resolve({ entries, ended: false });
    }
  }
  const reader = new Reader(new StoredLog(new Store()).read("0"));
  await reader.take(14);
  const end = reader.assertEnd();
  await settled();
  await reader.return();
  await end;
  assertEquals(
    counts,
    [10, 2, 2, 1, 1, 1, 1, 2, 4, 8, 17, 34, 69, 100, 100],
  );
});

Deno.test("StoredLog asks once for all readers at the same position, and keeps pages only while somebody reads", async () => {
  const store = new ArrayStore();
  store.last = 250;
  const log = new StoredLog(store);
  const readers = numbers(1, 50).map(() => new Reader(log.read("0")));
  for (const data of await Promise.all(readers.map((it) => it.data(250)))) {
    assertEquals(data, numbers(1, 250));
  }
  assertEquals(store.looks, ["0", "100", "200"]);
  // A page is kept for one that is slow, and for one that begins, also after
  // others have returned.
  await readers[0].return();
  const late = new Reader(log.read("100"));
  await late.take(1);
  assertEquals(store.looks.length, 3);
  for (const reader of [...readers, late]) await reader.return();
  const alone = new Reader(log.read("0"));
  await alone.take(1);
  assertEquals(store.looks, ["0", "100", "200", "0"]);
  await alone.return();
});

Deno.test("StoredLog keeps no page that arrives after its last reader has returned", async () => {
  const store = new ArrayStore();
  store.last = 1;
  const log = new StoredLog(store);
  const receive = delayNextLook(store);
  const left = new Reader(log.read("0"));
  const end = left.assertEnd();
  await settled();
  await left.return();
  await end;
  receive();
  await settled();
  const reader = new Reader(log.read("0"));
  assertEquals(await reader.data(1), ["1"]);
  assertEquals(store.looks, ["0", "0"]);
  await reader.return();
});

Deno.test("StoredLog keeps the newest 16 MB of pages, or one that is larger", async () => {
  const store = new ArrayStore();
  let length = 1_000_000;
  store.pageAfter = (position) => {
    store.looks.push(position);
    const id = `${Number(position) + 1}`;
    const json = JSON.stringify({ data: "x".repeat(length) });
    return Promise.resolve({ entries: [{ id, json }], ended: false });
  };
  const log = new StoredLog(store);
  const slow = new Reader(log.read("0"));
  await slow.take(20);
  store.looks.length = 0;
  const readers = ["0", "15"].map((id) => new Reader(log.read(id)));
  for (const reader of readers) await reader.take(1);
  assertEquals(store.looks, ["0"]);
  length = 17_000_000;
  await slow.take(1);
  assertEquals(store.looks, ["0", "20"]);
  for (const reader of [slow, ...readers]) await reader.return();
});

Deno.test("StoredLog keeps a page once, though two readers have requested it at the same time", async () => {
  const store = new ArrayStore();
  store.last = 1;
  const json = JSON.stringify({ data: "x".repeat(9_000_000) });
  store.pageAfter = (position) => {
    store.looks.push(position);
    const entries = [{ id: "1", json }];
    return Promise.resolve({ entries, ended: false });
  };
  const log = new StoredLog(store);
  const readers = numbers(1, 3).map(() =>
    new Reader(log.read("0", { follow: false }))
  );
  await Promise.all([readers[0].next(), readers[1].next()]);
  assertEquals(store.looks, ["0", "0"]);
  await readers[2].next();
  assertEquals(store.looks, ["0", "0"]);
  for (const reader of readers) await reader.return();
});

Deno.test("StoredLog asks again if it is woken, but not with a status that readers know", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const reader = new Reader(log.read("0"));
  const end = reader.assertEnd();
  await settled();
  const status = { lastId: "0", ended: false, idle: 0 };
  log.wake(status);
  await settled();
  assertEquals(store.looks.length, 1);
  log.wake({ ...status, lastId: "1" });
  await settled();
  log.wake({ ...status, ended: true });
  await settled();
  log.wake();
  await settled();
  assertEquals(store.looks.length, 4);
  await reader.return();
  await end;
});

Deno.test("StoredLog wakes its readers when it appends and when it ends", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const reader = new Reader(log.read("0"));
  const next = reader.data(1);
  await settled();
  assertEquals(store.waits, 1);
  await log.append({ data: "1" });
  assertEquals(await next, ["1"]);
  const end = reader.assertEnd();
  await settled();
  assertEquals(store.waits, 2);
  store.pageAfter = () => Promise.resolve({ entries: [], ended: true });
  await log.end();
  await end;
});

Deno.test("StoredLog resets its retry delay after a success", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const iterator = new StoredLog(store).read("0")[Symbol.asyncIterator]();
  const next = iterator.next();
  await time.tickAsync(0);
  store.failures.push(...Array(8).fill("away"));
  store.wake();
  // The eight retries take seconds, and no message follows yet.
  for (let i = 0; i < 10; i++) await time.tickAsync(2000);
  assertEquals([store.failures, store.waits], [[], 2]);
  store.failures.push("away");
  store.last = 1;
  store.wake();
  // The first retry follows within 50 ms.
  for (let i = 0; i < 10; i++) await time.tickAsync(5);
  assertEquals(store.failures, []);
  assertEquals((await next).value?.data, "1");
  assertEquals(store.errors, Array(9).fill("away"));
  await iterator.return!();
});

// After "", the oldest message is looked for first.
for (const after of ["0", ""]) {
  Deno.test(
    `StoredLog waits up to 30 s after a hosted service has had enough requests, after ${
      JSON.stringify(after)
    }`,
    async () => {
      using time = new FakeTime();
      const store = new ArrayStore();
      const message = "ERR max requests limit exceeded. Limit: 500000";
      store.failures.push(...Array(100).fill(new Error(message)));
      const iterator = new StoredLog(store).read(after)[Symbol.asyncIterator]();
      const end = iterator.next();
      for (let i = 0; i < 120; i++) await time.tickAsync(5000);
      const { length } = store.errors;
      assert(length > 20 && length < 60, `${length} tries in ten minutes`);
      await iterator.return!();
      await end;
    },
  );
}

Deno.test("StoredLog adds no delay to polls, nor to ten waits that end at once", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const ms = [...Array(10).fill(0), ...Array(110).fill(10)];
  store.wait = () => {
    store.waits++;
    return new Promise((resolve) => setTimeout(resolve, ms[store.waits - 1]));
  };
  const iterator = new StoredLog(store).read("0")[Symbol.asyncIterator]();
  const next = iterator.next();
  for (let i = 0; i < 20; i++) await time.tickAsync(0);
  assertEquals(store.waits, 11);
  for (let i = 0; i < 100; i++) await time.tickAsync(10);
  assert(store.waits > 105, `${store.waits} waits`);
  store.last = 1;
  for (let i = 0; i < 3; i++) await time.tickAsync(10);
  assertEquals((await next).value?.data, "1");
  await iterator.return!();
});

Deno.test("StoredLog does not spin if its store never waits", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  store.wait = () => Promise.resolve();
  const iterator = new StoredLog(store).read("0")[Symbol.asyncIterator]();
  const next = iterator.next();
  for (let i = 0; i < 1000; i++) await time.tickAsync(10);
  assert(store.looks.length < 30, `${store.looks.length} looks in 10 s`);
  store.last = 1;
  for (let i = 0; i < 300; i++) await time.tickAsync(10);
  assertEquals((await next).value?.data, "1");
  await iterator.return!();
});

Deno.test("StoredLog leaves no timer behind if a reader returns during a retry delay", async () => {
  const store = new ArrayStore();
  store.failures.push(...Array(100).fill("away"));
  const failed = new Promise<void>((resolve) =>
    store.onError = () => resolve()
  );
  const reader = new Reader(new StoredLog(store).read(""));
  const end = reader.assertEnd();
  await failed;
  // A timer that is left would fail this test.
  await reader.return();
  await end;
});

Deno.test("StoredLog skips a message that cannot be read, and reports it", async () => {
  const store = new ArrayStore();
  const pages = store.pageAfter.bind(store);
  store.pageAfter = async (position) => {
    const page = await pages(position);
    for (const entry of page.entries as StoredPage["entries"]) {
      if (entry.id === "2") entry.json = "no JSON";
      if (entry.id === "3") entry.json = '{"data":5}';
      // An entry that is no message is not reported.
      if (entry.id === "4") entry.json = undefined;
    }
    return page;
  };
  store.last = 5;
  const reader = new Reader(new StoredLog(store).read("0"));
  assertEquals(await reader.data(2), ["1", "5"]);
  assertEquals(store.errors.length, 2);
  await reader.return();
});

Deno.test("StoredLog throws to its readers what onError throws for a message that cannot be read", async () => {
  const store = new ArrayStore();
  store.last = 1;
  store.pageAfter = () =>
    Promise.resolve({
      entries: [{ id: "1", json: "no JSON" }],
      end: "1",
      ended: false,
    });
  store.onError = () => {
    throw new Error("strict");
  };
  for (const follow of [true, false]) {
    const reader = new Reader(new StoredLog(store).read("0", { follow }));
    await assertRejects(() => reader.next(), Error, "strict");
  }
});

Deno.test("record() appends what failed again, and stores nothing twice", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const append = store.append.bind(store);
  // Whether a try stores its messages before its connection is lost.
  const failures: boolean[] = [false, true, false, true];
  const tries: number[] = [];
  store.append = async (jsons, tag) => {
    tries.push(jsons.length);
    const stores = failures.shift();
    const id = stores === false ? "" : await append(jsons, tag);
    if (stores === undefined) return id;
    throw new Error("The connection was lost");
  };
  const has = store.has.bind(store);
  const ages: number[] = [];
  store.has = (tag, age?: number) => {
    ages.push(age!);
    return has(tag);
  };
  const own = Object.assign(log, { [EXTRAS]: log });
  const source = numbers(1, 5).map((data) => ({ data }));
  assertEquals(await record(own, source), "complete");
  assertEquals(store.jsons, numbers(1, 5).map((n) => `{"data":"${n}"}`));
  assertEquals(tries, [1, 1, 4, 4]);
  // Asked before each further try, and then finds what the last one has stored.
  assertEquals(ages.length, 4);
  assert(ages.every((age) => age >= 0 && age < 60_000), `${ages}`);
});

Deno.test("StoredLog requests pages again after a gap", async () => {
  const store = new ArrayStore();
  store.last = 2;
  const log = new StoredLog(store);
  const paused = new Reader(log.read("0"));
  assertEquals(await paused.data(1), ["1"]);
  const lost = new Reader(log.read("2"));
  const next = lost.next();
  await settled();
  // The log is deleted, and has a message again.
  store.last = 1;
  const { pageAfter } = store;
  store.pageAfter = async (position) =>
    position === "2"
      ? undefined as unknown as ReturnType<ArrayStore["pageAfter"]>
      : await pageAfter.call(store, position);
  store.wake();
  await assertRejects(() => next, EventLogGapError);
  const again = new Reader(log.read("0"));
  assertEquals(await again.data(1), ["1"]);
  assertEquals(store.looks, ["0", "2", "0"]);
  await again.return();
  await paused.return();
});

Deno.test("StoredLog keeps no page after the start of the log, as the next log of the key has the same start", async () => {
  const store = new ArrayStore();
  store.last = 2;
  const log = new StoredLog(store);
  const waiting = new Reader(log.read("start"));
  await waiting.take(2);
  const end = waiting.assertEnd();
  await settled();
  store.last = 0; // The log was deleted, which nobody has noticed yet.
  const reader = new Reader(log.read("start"));
  const next = reader.data(1);
  await settled();
  store.last = 1;
  store.wake();
  assertEquals(await next, ["1"]);
  assertEquals(store.looks, ["start", "1", "2", "start", "start"]);
  await reader.return();
  await waiting.return();
  await end;
});

Deno.test("StoredLog requests pages again if the log is empty", async () => {
  const store = new ArrayStore();
  store.last = 2;
  const log = new StoredLog(store);
  const paused = new Reader(log.read("0"));
  assertEquals(await paused.data(1), ["1"]);
  // The log is deleted.
  store.last = 0;
  store.oldest = () => Promise.resolve(store.start);
  const other = new Reader(log.read(""));
  const next = other.data(1);
  await settled();
  store.last = 1;
  store.wake();
  assertEquals(await next, ["1"]);
  await other.return();
  const again = new Reader(log.read("0"));
  assertEquals(await again.data(1), ["1"]);
  assertEquals(store.looks, ["0", "start", "start", "0"]);
  await again.return();
  await paused.return();
});

Deno.test("status() wakes readers that are not at the end of the log", async () => {
  const store = new ArrayStore();
  store.last = 1;
  const log = new StoredLog(store);
  const atEnd = new Reader(log.read("1"));
  const next = atEnd.data(1);
  await settled();
  await log.status();
  await settled();
  assertEquals(store.looks, ["1"]);
  store.last = 2;
  await log.status();
  assertEquals(await next, ["2"]);
  await atEnd.return();
});

Deno.test("appendSafely() stores at most 700 kB at once, or one message that is larger", async () => {
  const store = new ArrayStore();
  const append = store.append.bind(store);
  const batches: number[] = [];
  store.append = (jsons, tag) => {
    batches.push(jsons.length);
    return append(jsons, tag);
  };
  // A UTF-16 code unit may have three bytes.
  const lengths = [1_000_000, ...Array(5).fill(100_000), 1_000_000, 10, 10];
  const messages = lengths.map((length) => ({ data: "☃".repeat(length) }));
  await new StoredLog(store).appendSafely(messages);
  assertEquals(batches, [1, 2, 2, 1, 1, 2]);
  assertEquals(
    store.jsons,
    messages.map((message) => JSON.stringify(message)),
  );
});

Deno.test("record() calls onError for a message that cannot be written, and appends those before it", async () => {
  const store = new ArrayStore();
  const log = Object.assign(new StoredLog(store), { [EXTRAS]: undefined });
  const errors: unknown[] = [];
  const wrong = { data: 5 as unknown as string };
  const outcome = await record(log, [{ data: "1" }, wrong, { data: "2" }], {
    onError(error) {
      errors.push(error);
      return { event: "error", data: "" };
    },
  });
  assertEquals([outcome, errors.length], ["failed", 1]);
  assertEquals(store.last, 2);
});

Deno.test("record() appends only what onError returns after a message that it could not append", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const append = store.append.bind(store);
  let appends = 0;
  store.append = (jsons, tag) =>
    ++appends === 2
      ? Promise.reject(new Error("The disk is full"))
      : append(jsons, tag);
  // A log without an own way to try again.
  const foreign = {
    append: log.append.bind(log),
    end: () => log.end(),
    read: log.read.bind(log),
    status: () => log.status(),
  };
  async function* source() {
    for (const data of numbers(0, 5)) {
      yield { data };
      await Promise.resolve();
    }
  }
  const errors: unknown[] = [];
  const onError = (error: unknown) => {
    errors.push(error);
    return { event: "failed" };
  };
  const closing = source();
  assertEquals(await record(foreign, closing, { onError }), "failed");
  assertEquals(errors.map(String), ["Error: The disk is full"]);
  assertEquals(store.jsons, ['{"data":"0"}', '{"event":"failed"}']);
  assertEquals(await closing.next(), { done: true, value: undefined });
});

Deno.test("StoredLog with follow: false gives a sink nothing that was appended after the call", async () => {
  const store = new ArrayStore();
  store.last = 2;
  const sink = new RecordingSink();
  const messages = new StoredLog(store).read("0", { follow: false });
  await settled();
  store.last = 3;
  subscribe(messages, sink).pull();
  await settled();
  assertEquals(sink.calls, ["write 1", "write 2", "close"]);
});

Deno.test("StoredLog with follow: false ends if there is no message, though the store has two positions for the start", async () => {
  const store = new ArrayStore();
  store.status = () =>
    Promise.resolve({ lastId: "start", ended: false, idle: Infinity });
  const log = new StoredLog(store);
  await new Reader(log.read("", { follow: false })).assertEnd();
});

Deno.test("StoredLog with follow: false ends if its messages are deleted before they are read", async () => {
  const store = new ArrayStore();
  store.status = () =>
    Promise.resolve({ lastId: "2", ended: false, idle: Infinity });
  const log = new StoredLog(store);
  await new Reader(log.read("0", { follow: false })).assertEnd();
});

Deno.test("StoredLog with follow: false gives what was appended before the call, also if another reader waits", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const waiting = new Reader(log.read("0"));
  const next = waiting.data(1);
  await settled();
  assertEquals(store.waits, 1);
  store.last = 1;
  const all = new Reader(log.read("0", { follow: false }));
  assertEquals(await all.data(1), ["1"]);
  await all.assertEnd();
  store.wake();
  assertEquals(await next, ["1"]);
  await waiting.return();
});

Deno.test("StoredLog with follow: false gives what was appended before the call, also if a look is under way", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const receive = delayNextLook(store);
  const waiting = new Reader(log.read("0"));
  const next = waiting.data(1);
  await settled();
  // The look has found nothing.
  store.last = 1;
  const all = new Reader(log.read("0", { follow: false }));
  const first = all.data(1);
  await settled();
  receive();
  assertEquals(await first, ["1"]);
  await all.assertEnd();
  store.wake();
  assertEquals(await next, ["1"]);
  await waiting.return();
});

Deno.test('resume() with from "now" tries again if the store fails', async () => {
  const store = new ArrayStore();
  store.last = 3;
  store.failures.push("away", "away");
  const log = new StoredLog(store);
  const own = Object.assign(log, { [EXTRAS]: log });
  const request = new Request("http://localhost/");
  const reader = new Reader(resume(own, request, { from: "now" }));
  assertEquals(await reader.take(1), [{ id: "3" }]);
  assertEquals(store.errors, ["away", "away"]);
  await reader.return();
});

Deno.test("record() gives up after ten seconds", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const log = new StoredLog(store);
  store.append = () => Promise.reject(new Error("The connection was lost"));
  const own = Object.assign(log, { [EXTRAS]: log });
  const outcome = record(own, [{ data: "1" }]);
  // Ten seconds for the message, and ten for the one that tells the failure.
  for (let i = 0; i < 150; i++) await time.tickAsync(200);
  assertEquals(await outcome, "failed");
});

Deno.test("record() tries a second time even if the first try took more than ten seconds", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const append = store.append.bind(store);
  store.append = async () => {
    store.append = append;
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    throw new Error("The connection was lost");
  };
  const own = Object.assign(log, { [EXTRAS]: log });
  const outcome = record(own, [{ data: "1" }]);
  for (let i = 0; i < 4; i++) await time.tickAsync(30_000);
  assertEquals(await outcome, "complete");
  assertEquals(store.jsons, ['{"data":"1"}']);
});

for (
  const [what, error, expected] of [
    ["the log has ended", new EventLogEndedError(), "stopped"],
    ["another try cannot succeed", new Error("WRONGTYPE"), "failed"],
  ] as const
) {
  Deno.test(`record() tries once if ${what}`, async () => {
    const store = new ArrayStore();
    const log = new StoredLog(store);
    let tries = 0;
    store.append = () => {
      tries++;
      return Promise.reject(error);
    };
    store.isPermanent = (it) => (it as Error).message === "WRONGTYPE";
    const own = Object.assign(log, { [EXTRAS]: log });
    const onError = () => undefined;
    assertEquals(await record(own, [{ data: "1" }], { onError }), expected);
    assertEquals(tries, 1);
  });
}

Deno.test("record() rejects only if an argument is wrong", async () => {
  const log = new StoredLog(new ArrayStore());
  const wrong = [
    [undefined, []],
    [{}, []],
    [log, 5],
    [log, [], { signal: {} }],
    [log, [], { onError: 1 }],
  ] as unknown as Parameters<typeof record>[];
  for (const args of wrong) {
    await assertRejects(() => record(...args), TypeError, "Expected ");
  }
  const options = { keepAlive: 0 };
  await assertRejects(() => record(log, [], options), RangeError, "keepAlive");
});

Deno.test("a paused reader repeats no message if its page was dropped, and is shorter when it is fetched again", async () => {
  const store = new ArrayStore();
  let length = 100;
  const pageAfter = store.pageAfter.bind(store);
  store.pageAfter = async (position) => {
    const { entries } = await pageAfter(position);
    const shown = entries.slice(0, length);
    return { entries: shown, end: shown.at(-1)?.id ?? position, ended: false };
  };
  store.last = 10;
  const log = new StoredLog(store);
  const paused = new Reader(log.read(""));
  assertEquals(await paused.data(5), numbers(1, 5));

  // Pages of another log fill the memory for pages.
  const large = new ArrayStore();
  large.pageAfter = (position) => {
    const id = `${Number(position) + 1}`;
    const json = JSON.stringify({ data: "x".repeat(2 ** 20) });
    return Promise.resolve({ entries: [{ id, json }], ended: false });
  };
  const other = new Reader(new StoredLog(large).read(""));
  await other.take(17);

  length = 2;
  const first = new Reader(log.read(""));
  assertEquals(await first.data(1), ["1"]);
  assertEquals(await paused.data(5), numbers(6, 10));
  for (const reader of [paused, other, first]) await reader.return();
});
