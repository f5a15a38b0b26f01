/**
 * Overlapping calls of an async method.
 *
 * @module
 */

/**
 * Runs calls one at a time, in the order in which they were made, as async
 * generators do with overlapping calls of `next()`.
 */
export class CallQueue {
  readonly #waiting: (() => void)[] = [];
  #state: "idle" | "running" = "idle";

  /**
   * Runs a call: at once if none is running, else after all that were made
   * before it. A call that returns no promise is over when it returns.
   */
  run<T>(call: () => T | Promise<T>): Promise<T> {
    if (this.#state === "idle") return this.#start(call);
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(this.#start(call)));
    });
  }

  #start<T>(call: () => T | Promise<T>): Promise<T> {
    this.#state = "running";
    const result = call();
    if (result instanceof Promise) {
      // Returns the call's own promise: to wrap it delays each result by a
      // microtask. This reaction runs before those of the caller.
      result.then(this.#finish, this.#finish);
      return result;
    }
    this.#finish();
    return Promise.resolve(result);
  }

  readonly #finish = (): void => {
    this.#state = "idle";
    this.#waiting.shift()?.();
  };
}
