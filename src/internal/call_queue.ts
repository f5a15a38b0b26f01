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
 * Each call has to call `finish` itself when it is over. A `finally` on its
 * promise would do the same, but would add a tenth to the time per event.
 */
export class CallQueue<T> {
  /** The number of calls that have started or wait. */
  #count = 0;
  /** The promise of the newest call. Undefined while the first one starts. */
  #newest: Promise<T> | undefined;
  /**
   * Resolves `#newest` with the promise of the first call, if that call has
   * made another call before it returned its promise.
   */
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

  /** Marks the end of a call. */
  finish(): void {
    this.#count--;
  }
}
