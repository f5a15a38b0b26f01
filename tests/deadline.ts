/**
 * The promise, but rejecting after five seconds: a test that waits for what
 * never comes then fails by name, where it would otherwise hang.
 */
export async function deadline<T>(
  promise: Promise<T>,
  what: string,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Waited 5 seconds for ${what}`)),
    5000,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
