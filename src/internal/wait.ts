/**
 * Waiting that an `AbortSignal` or a timer can end.
 *
 * @module
 */

/** The longest delay of a timer in milliseconds; a longer one fires at once. */
export const MAX_TIMER_DELAY = 2_147_483_647;

/**
 * Calls back with the reason as soon as the signal aborts; at once if it has
 * aborted already.
 *
 * @returns A function after whose call it does not call back any more.
 */
export function onAbort(
  signal: AbortSignal | null | undefined,
  callback: (reason: unknown) => void,
): () => void {
  const listener = () => {
    // Signals of old polyfills have no reason. The platform has one for them.
    callback(AbortSignal.abort(signal!.reason).reason);
  };
  if (signal?.aborted) listener();
  else signal?.addEventListener("abort", listener);
  return () => signal?.removeEventListener("abort", listener);
}

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
    if (signal?.aborted) finish();
  });
}

/**
 * Settles as the promise does, or rejects with the signal's reason if the signal
 * aborts before that. It leaves a listener on the signal, so use it only with a
 * short-lived signal of this module.
 */
export function abortable<T>(
  promise: T | Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    onAbort(signal, reject);
  });
  return Promise.race([promise, aborted]);
}

/**
 * Settles as the promise does, or rejects after `ms` milliseconds, with an error
 * that names what was expected and the option that limits the time.
 */
export async function within<T>(
  promise: T,
  ms: number,
  expected: string,
  option: string,
): Promise<Awaited<T>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Expected ${expected} in ${ms} ms (${option})`)),
      Math.min(ms, MAX_TIMER_DELAY),
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
