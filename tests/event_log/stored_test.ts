/** What logs that are kept elsewhere have in common, with nothing else there. */
import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  EntryCache,
  LogFollower,
  type LogStore,
} from "../../src/event_log/stored.ts";
import { numbers, Reader } from "./contract.ts";

/** Numbers for messages, kept in an array. */
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

Deno.test("EntryCache makes a message once, and forgets the oldest of too many or too much", () => {
  for (const [count, size] of [[1001, 1], [5, 1024 * 1024]]) {
    const cache = new EntryCache();
    let made = 0;
    const entry = (id: string) =>
      cache.entry(id, () => {
        made++;
        return JSON.stringify({ data: "x".repeat(size) });
      });
    const ids = numbers(1, count);
    const entries = ids.map(entry);
    assertEquals(made, count);
    assert(entry(ids.at(-1)!) === entries.at(-1));
    assertEquals(made, count);
    assertEquals(entry(ids[0]).id, ids[0]);
    assertEquals(made, count + 1);
  }
});

Deno.test("LogFollower keeps the newest messages at hand, and forgets all others", async () => {
  const store = new ArrayStore();
  const follower = new LogFollower(store);
  const reader = new Reader(follower.read("0", {}));
  const read = reader.take(1500);
  while (store.waits === 0) await new Promise((run) => setTimeout(run));
  store.last = 1500;
  store.wake();
  await read;
  const known = numbers(0, 1500).filter((id) => follower.has(id));
  // After the position before them, and after each.
  assertEquals(known, numbers(500, 1500));
  await reader.return();
});

Deno.test("LogFollower begins with the shortest delay after each time it has worked", async () => {
  using time = new FakeTime();
  const store = new ArrayStore();
  const iterator = new LogFollower(store).read("0", {})[Symbol.asyncIterator]();
  const next = iterator.next();
  await time.tickAsync(0);
  store.failures.push(...Array(8).fill("away"));
  store.wake();
  // It takes seconds, and then there is nothing yet.
  for (let i = 0; i < 10; i++) await time.tickAsync(2000);
  assertEquals([store.failures, store.waits], [[], 2]);
  store.failures.push("away");
  store.last = 1;
  store.wake();
  // It takes 50 ms at most.
  for (let i = 0; i < 10; i++) await time.tickAsync(5);
  assertEquals(store.failures, []);
  assertEquals((await next).value?.data, "1");
  await iterator.return!();
});

Deno.test("a reader that leaves while it waits to try again leaves nothing behind", async () => {
  const store = new ArrayStore();
  store.failures.push(...Array(100).fill("away"));
  const told = new Promise<void>((resolve) => store.onError = () => resolve());
  const reader = new Reader(new LogFollower(store).read("", {}));
  const end = reader.assertEnd();
  await told;
  // A timer that went on would fail this test.
  await reader.return();
  await end;
});
