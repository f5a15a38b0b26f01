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

  /** Runs a call after all that were made before it. */
  run(call: () => Promise<T>): Promise<T> {
    if (this.#count === 0) {
      this.#count = 1;
      this.#newest = undefined;
      return this.#newest = call();
    }
    // Made by a callback of a call whose promise does not exist yet.
    if (!this.#newest) return Promise.resolve().then(() => this.run(call));
    this.#count++;
    return this.#newest = this.#newest.then(call, call);
  }

  /** Ends a call. */
  finish(): void {
    this.#count--;
  }
}
