/**
 * A promise that other code settles.
 *
 * @module
 */

/** Does what `Promise.withResolvers` does, which Node 20 does not have. */
export function deferred<T>(): PromiseWithResolvers<T> {
  let resolve!: PromiseWithResolvers<T>["resolve"];
  let reject!: PromiseWithResolvers<T>["reject"];
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}
