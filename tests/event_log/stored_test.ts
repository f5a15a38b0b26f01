/** Tests the code that stored logs share, with a store in memory. */
import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  EntryCache,
  LogFollower,
  type LogStore,
} from "../../src/event_log/stored.ts";
import { numbers, Reader } from "./contract.ts";

/**
 * A store of the messages 1 to `last`. Each read throws the next of `failures`.
 */
class ArrayStore implements LogStore {
  readonly #cache = new EntryCache();
  readonly failures: unknown[] = [];
  last = 0;
  waits = 0;
  wake = () => {};

  async pageAfter(position: string) {
    await this.#fail();
    const entries = [];
    for (let n = Number(position) + 1; n <= this.last; n++) {
      if (entries.length === 100) break;
      entries.push(this.#cache.entry(`${n}`, () => `{"data":"${n}"}`));
    }
    return { entries, end: entries.at(-1)?.id ?? position, ended: false };
  }

  async oldest() {
    await this.#fail();
    return "0";
  }

  async status() {
    await this.#fail();
    return { lastId: `${this.last}`, ended: false };
  }

  append() {
    return Promise.resolve(`${++this.last}`);
  }

  async end() {}

  async wait(_position: string, signal: AbortSignal) {
    this.waits++;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      signal.addEventListener("abort", () => resolve());
    });
  }

  isLasting() {
    return false;
  }

  onError = (_error: unknown) => {};

  async #fail() {
    await Promise.resolve();
    if (this.failures.length > 0) throw this.failures.shift();
  }
}

Deno.test("EntryCache parses a message once and drops the oldest above its limits of count or size", () => {
  for (const [count, size] of [[1001, 1], [5, 1024 * 1024]]) {
    const cache = new EntryCache();
    let parsed = 0;
    const entry = (id: string) =>
      cache.entry(id, () => {
        parsed++;
        return JSON.stringify({ data: "x".repeat(size) });
      });
    const ids = numbers(1, count);
    const entries = ids.map(entry);
    assertEquals(parsed, count);
    assert(entry(ids.at(-1)!) === entries.at(-1));
    assertEquals(parsed, count);
    assertEquals(entry(ids[0]).id, ids[0]);
    assertEquals(parsed, count + 1);
  }
});

Deno.test("LogFollower buffers only the newest messages", async () => {
  const store = new ArrayStore();
  const follower = new LogFollower(store);
  const reader = new Reader(follower.read("0", {}));
  const read = reader.take(1500);
  while (store.waits === 0) await new Promise((run) => setTimeout(run));
  store.last = 1500;
  store.wake();
  await read;
  const buffered = numbers(0, 1500).filter((id) => follower.has(id));
  // The position before the buffered messages, and that of each message.
  assertEquals(buffered, numbers(500, 1500));
  await reader.return();
});

Deno.test("LogFollower resets its retry delay after a success", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const iterator = new LogFollower(store).read("0", {})[Symbol.asyncIterator]();
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
  await iterator.return!();
});

Deno.test("LogFollower leaves no timer behind if a reader returns during a retry delay", async () => {
  const store = new ArrayStore();
  store.failures.push(...Array(100).fill("away"));
  const failed = new Promise<void>((resolve) =>
    store.onError = () => resolve()
  );
  const reader = new Reader(new LogFollower(store).read("", {}));
  const end = reader.assertEnd();
  await failed;
  // A timer that is left would fail this test.
  await reader.return();
  await end;
});
