/**
 * Overlapping calls of an async method.
 *
 * @module
 */

/**
 * Has calls of a method run one at a time, in the order in which they were made,
 * as those of an async generator's `next()` do:
 *
 *     next() {
 *       if (queue.isRunning) return queue.add(() => this.next());
 *       queue.isRunning = true;
 *       // … and at the end:
 *       queue.finish();
 *     }
 *
 * The method itself says when it is over, as a reaction to each of its promises
 * would take a tenth of the time of an event.
 */
export class CallQueue {
  readonly #waiting: (() => void)[] = [];

  /** Whether a call is running. */
  isRunning = false;

  /** Runs a call after all that were made before it. */
  add<T>(call: () => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(call()));
    });
  }

  /** Ends the call that is running, and runs the next one. */
  finish(): void {
    this.isRunning = false;
    if (this.#waiting.length > 0) this.#waiting.shift()!();
  }
}
