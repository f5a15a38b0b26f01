/**
 * Overlapping calls of an async method.
 *
 * @module
 */

/**
 * Runs overlapping calls of an async method one at a time and in order, as an
 * async generator does. A call starts when the promise of the call before it has
 * settled.
 *
 * Each call has to call `finish` itself when it is over, because a reaction to
 * its promise would take a tenth of the time of an event.
 */
export class CallQueue<T> {
  /** The calls that have started or wait. */
  #count = 0;
  /** The promise of the newest call. Undefined while the first one starts. */
  #newest: Promise<T> | undefined;
  /** Takes the promise of the first call, if a callback of it made another one. */
  #resolveFirst: ((first: Promise<T>) => void) | undefined;

  /** Runs a call after all that were made before it. */
  run(call: () => Promise<T>): Promise<T> {
    if (this.#count++ > 0) {
      this.#newest ??= new Promise((resolve) => this.#resolveFirst = resolve);
      return this.#newest = this.#newest.then(call, call);
    }
    this.#newest = undefined;
    const first = call();
    this.#newest ??= first;
    this.#resolveFirst?.(first);
    this.#resolveFirst = undefined;
    return first;
  }

  /** Ends a call. */
  finish(): void {
    this.#count--;
  }
}
