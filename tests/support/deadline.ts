/**
 * The promise, but rejecting after five seconds, or as many as are given: a test
 * that waits for what never comes then fails by name, where it would otherwise
 * hang.
 */
export async function deadline<T>(
  promise: Promise<T>,
  what: string,
  seconds = 5,
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
