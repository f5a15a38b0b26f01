import { assertEquals } from "@std/assert";
import { CallQueue } from "../../src/internal/call_queue.ts";

/** A method whose calls end when the test says so. */
class Method {
  readonly started: number[] = [];
  readonly #queue = new CallQueue();
  readonly #running: (() => void)[] = [];

  call(number: number): Promise<number> {
    if (this.#queue.isRunning) {
      return this.#queue.add(() => this.call(number));
    }
    this.#queue.isRunning = true;
    this.started.push(number);
    return new Promise((resolve) => {
      this.#running.push(() => {
        resolve(number);
        this.#queue.finish();
      });
    });
  }

  end(): void {
    this.#running.shift()!();
  }
}

Deno.test("CallQueue runs overlapping calls one at a time and in order", async () => {
  const method = new Method();
  const calls = [1, 2, 3].map((number) => method.call(number));
  assertEquals(method.started, [1]);
  method.end();
  assertEquals(method.started, [1, 2]);
  method.end();
  assertEquals(method.started, [1, 2, 3]);
  method.end();
  assertEquals(await Promise.all(calls), [1, 2, 3]);
});

Deno.test("CallQueue starts a call at once if none is running", async () => {
  const method = new Method();
  for (const number of [1, 2]) {
    const call = method.call(number);
    assertEquals(method.started.at(-1), number);
    method.end();
    assertEquals(await call, number);
  }
});

Deno.test("CallQueue passes on the rejection of a queued call", async () => {
  const queue = new CallQueue();
  queue.isRunning = true;
  const call = queue.add(() => Promise.reject(new Error("mine")));
  queue.finish();
  assertEquals(await call.catch((error) => error.message), "mine");
});
