/** Tests the code that stored logs share, with a store in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { record } from "../../src/event_log/mod.ts";
import { EXTRAS } from "../../src/event_log/message.ts";
import { type LogStore, StoredLog } from "../../src/event_log/stored.ts";
import { numbers, Reader } from "./contract.ts";

/**
 * A store of the messages 1 to `last`. Each read throws the next of `failures`.
 */
class ArrayStore implements LogStore {
  readonly failures: unknown[] = [];
  readonly errors: unknown[] = [];
  /** The positions of which a page was asked for. */
  readonly looks: string[] = [];
  readonly tags: string[] = [];
  last = 0;
  waits = 0;
  wake = () => {};

  async pageAfter(position: string) {
    this.looks.push(position);
    await this.#fail();
    const entries = [];
    for (let n = Number(position) + 1; n <= this.last; n++) {
      if (entries.length === 100) break;
      entries.push({ id: `${n}`, json: `{"data":"${n}"}` });
    }
    return { entries, end: entries.at(-1)?.id ?? position, ended: false };
  }

  async oldest() {
    await this.#fail();
    return "0";
  }

  async status() {
    await this.#fail();
    return { lastId: `${this.last}`, ended: false, idle: 0 };
  }

  async append(jsons: string[], tag: string) {
    await this.#fail();
    for (const _ of jsons) this.tags.push(tag);
    this.last += jsons.length;
    return `${this.last}`;
  }

  async countOf(tag: string) {
    await this.#fail();
    return this.tags.filter((it) => it === tag).length;
  }

  async end() {}
  async touch() {}

  async wait(_position: string, signal: AbortSignal) {
    this.waits++;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      signal.addEventListener("abort", () => resolve());
    });
  }

  isPermanent() {
    return false;
  }

  onError(error: unknown) {
    this.errors.push(error);
  }

  async #fail() {
    await Promise.resolve();
    if (this.failures.length > 0) throw this.failures.shift();
  }
}

Deno.test("StoredLog asks once for all readers at the same position, and keeps pages only while somebody reads", async () => {
  const store = new ArrayStore();
  store.last = 250;
  const log = new StoredLog(store);
  const readers = numbers(1, 50).map(() => new Reader(log.read("0")));
  for (const reader of readers) {
    assertEquals(await reader.data(250), numbers(1, 250));
  }
  assertEquals(store.looks, ["0", "100", "200"]);
  // A page is kept for one that is slow, and for one that begins.
  const late = new Reader(log.read("100"));
  await late.take(1);
  assertEquals(store.looks.length, 3);
  for (const reader of [...readers, late]) await reader.return();
  const alone = new Reader(log.read("0"));
  await alone.take(1);
  assertEquals(store.looks, ["0", "100", "200", "0"]);
  await alone.return();
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

Deno.test("StoredLog waits up to 30 s after a hosted service has had enough requests", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const message = "ERR max requests limit exceeded. Limit: 500000";
  store.failures.push(...Array(100).fill(new Error(message)));
  const iterator = new StoredLog(store).read("0")[Symbol.asyncIterator]();
  const end = iterator.next();
  for (let i = 0; i < 120; i++) await time.tickAsync(5000);
  const { length } = store.looks;
  assert(length > 20 && length < 60, `${length} looks in ten minutes`);
  await iterator.return!();
  await end;
});

Deno.test("StoredLog does not spin if its store never waits", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  store.wait = () => Promise.resolve();
  const iterator = new StoredLog(store).read("0")[Symbol.asyncIterator]();
  const next = iterator.next();
  for (let i = 0; i < 1000; i++) await time.tickAsync(10);
  assert(store.looks.length < 20, `${store.looks.length} looks in 10 s`);
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
    for (const entry of page.entries) {
      if (entry.id === "2") entry.json = "no JSON";
      if (entry.id === "3") entry.json = '{"data":5}';
    }
    return page;
  };
  store.last = 4;
  const reader = new Reader(new StoredLog(store).read("0"));
  assertEquals(await reader.data(2), ["1", "4"]);
  assertEquals(store.errors.length, 2);
  await reader.return();
});

Deno.test("record() appends what failed again, and stores nothing twice", async () => {
  const store = new ArrayStore();
  const log = new StoredLog(store);
  const append = store.append.bind(store);
  // The first is not stored, and of the second one part before the failure.
  const outcomes: number[] = [0, 2];
  store.append = async (jsons, tag) => {
    const stored = outcomes.shift();
    if (stored === undefined) return await append(jsons, tag);
    await append(jsons.slice(0, stored), tag);
    throw new Error("The connection was lost");
  };
  const own = Object.assign(log, { [EXTRAS]: log });
  const source = numbers(1, 5).map((data) => ({ data }));
  assertEquals(await record(own, source), "complete");
  assertEquals(store.last, 5);
});

Deno.test("record() gives up after ten seconds", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const log = new StoredLog(store);
  store.append = () => Promise.reject(new Error("The connection was lost"));
  const own = Object.assign(log, { [EXTRAS]: log });
  const outcome = record(own, [{ data: "1" }]);
  for (let i = 0; i < 100; i++) await time.tickAsync(200);
  assertEquals(await outcome, "failed");
});

Deno.test("record() rejects only if an argument is wrong", async () => {
  const log = new StoredLog(new ArrayStore());
  const wrong = [
    [{}, []],
    [log, 5],
    [log, [], { signal: {} }],
    [log, [], { onError: 1 }],
  ] as unknown as Parameters<typeof record>[];
  for (const args of wrong) {
    await assertRejects(() => record(...args), TypeError);
  }
  const options = { keepAlive: 0 };
  await assertRejects(() => record(log, [], options), RangeError, "keepAlive");
});
