/**
 * Waiting that an `AbortSignal` cuts short.
 *
 * @module
 */

import { MAX_TIMER_DELAY } from "./check.ts";

/**
 * Resolves after `ms` milliseconds, or earlier: as soon as the signal aborts or
 * `promise` is fulfilled. Rejects if `promise` is rejected before that.
 */
export function wait(
  ms: number,
  signal?: AbortSignal,
  promise?: Promise<unknown>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, Math.min(ms, MAX_TIMER_DELAY));
    signal?.addEventListener("abort", finish);
    promise?.then(finish, (error) => {
      reject(error);
      finish();
    });
  });
}

/**
 * Settles as the promise does, or rejects with the signal's reason as soon as
 * the signal aborts.
 *
 * @param onLate Called with the promise's value if it comes after the abort.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  onLate?: (value: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
    promise.then((value) => {
      if (signal.aborted) onLate?.(value);
      else resolve(value);
    }, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
