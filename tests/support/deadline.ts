/**
 * Resolves or rejects as the promise does, but rejects after a timeout of 15
 * seconds by default, which is long enough for a machine that is busy. Without
 * it, a test would hang instead of failing with a message.
 */
export async function deadline<T>(
  promise: Promise<T>,
  what: string,
  seconds = 15,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Waited ${seconds} seconds for ${what}`)),
    seconds * 1000,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// `FakeTime` replaces the global functions.
const { setTimeout: setRealTimeout, clearTimeout: clearRealTimeout } =
  globalThis;

/**
 * Stops a server after a minute, unless the returned function is called. Without
 * it, a test that hangs would run forever, as the server keeps the process alive.
 * When nothing does, Deno reports the test.
 */
export function stopLater(stop: () => unknown): () => void {
  const timer = setRealTimeout(stop, 60_000);
  return () => clearRealTimeout(timer);
}
