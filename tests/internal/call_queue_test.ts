import { assertEquals } from "@std/assert";
import { CallQueue } from "../../src/internal/call_queue.ts";

/** A method whose calls end when the test ends them. */
class Method {
  readonly started: number[] = [];
  readonly #queue = new CallQueue<number>();
  readonly #running: (() => void)[] = [];

  call(number: number): Promise<number> {
    return this.#queue.run(() => {
      this.started.push(number);
      return new Promise((resolve) => {
        this.#running.push(() => {
          this.#queue.finish();
          resolve(number);
        });
      });
    });
  }

  end(): void {
    this.#running.shift()!();
  }
}

Deno.test("CallQueue runs overlapping calls one at a time and in order", async () => {
  const method = new Method();
  const log: string[] = [];
  const calls = [1, 2, 3].map(async (number) => {
    await method.call(number);
    log.push(`${number} of ${method.started}`);
  });
  for (let i = 1; i <= 3; i++) {
    assertEquals(method.started.length, i);
    method.end();
    await new Promise((resolve) => setTimeout(resolve));
  }
  await Promise.all(calls);
  // Each call settles before the next one starts.
  assertEquals(log, ["1 of 1", "2 of 1,2", "3 of 1,2,3"]);
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

Deno.test("CallQueue runs calls after one that rejects", async () => {
  const queue = new CallQueue<string>();
  const fail = () => {
    queue.finish();
    return Promise.reject(new Error("mine"));
  };
  const log = [queue.run(fail), queue.run(fail)].map((call) =>
    call.catch((error) => error.message)
  );
  assertEquals(await Promise.all(log), ["mine", "mine"]);
});

Deno.test("CallQueue runs a call that is made while another one starts after that one", async () => {
  const queue = new CallQueue<string>();
  let inner: Promise<string> | undefined;
  const end = Promise.withResolvers<string>();
  const log: string[] = [];
  const outer = queue.run(() => {
    inner = queue.run(() => {
      log.push("inner");
      queue.finish();
      return Promise.resolve("inner");
    });
    return end.promise.finally(() => queue.finish());
  });
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(log, []);
  end.resolve("outer");
  assertEquals([await outer, await inner], ["outer", "inner"]);
});

Deno.test("CallQueue runs any number of calls", async () => {
  const queue = new CallQueue<number>();
  const end = Promise.withResolvers<void>();
  const calls = Array.from({ length: 20_000 }, (_, i) =>
    queue.run(async () => {
      await end.promise;
      queue.finish();
      return i;
    }));
  end.resolve();
  assertEquals((await Promise.all(calls)).at(-1), 19_999);
});

Deno.test("CallQueue runs a call that is made while another one starts before calls that are made later", async () => {
  for (const isSlow of [false, true]) {
    const queue = new CallQueue<string>();
    const log: string[] = [];
    const call = (name: string, during?: () => void) => async () => {
      log.push(name);
      during?.();
      if (isSlow) await undefined;
      queue.finish();
      return name;
    };
    const calls: Promise<string>[] = [];
    calls.push(queue.run(call("outer", () => {
      calls.push(queue.run(call("inner")), queue.run(call("inner 2")));
    })));
    calls.push(queue.run(call("after")));
    await Promise.all(calls);
    assertEquals(log, ["outer", "inner", "inner 2", "after"]);
    assertEquals(await queue.run(call("again")), "again");
  }
});
