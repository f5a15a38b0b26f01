/**
 * Reads streams and iterables in the same way.
 *
 * @module
 */

import { check, checkType } from "./check.ts";

/** The sources that can be adapted. */
export type Iterables<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T>;
type MaybePromise<T> = T | Promise<T>;

/** A source of values, each of which is read on demand. */
export interface PulledSource<T> {
  /** Reads the next value. */
  next(): Promise<IteratorResult<T>> | IteratorResult<T>;
  /** Closes the source. A stream also ends a pending `next()`. */
  return?(): unknown;
}

/**
 * Adapts a stream or an iterable, which may be synchronous.
 *
 * @throws {TypeError} If it is neither, or a locked stream.
 */
export function pullFrom<T>(source: Iterables<T>): PulledSource<T> {
  const expected = "an iterable or a ReadableStream";
  if (source instanceof ReadableStream) return pullFromStream<T>(source);
  checkType(source, "object", expected);
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  check(Symbol.iterator in source, expected, source);
  const iterator = source[Symbol.iterator]();
  return {
    // Awaits values that are promises, as `for await` does.
    async next() {
      const { done, value } = iterator.next();
      return { done, value: await value } as IteratorResult<T>;
    },
    return: () => iterator.return?.(),
  };
}

/**
 * Adapts a function that returns a source. It is called for the first value. If
 * it fails, so does the source.
 */
export function pullFromFunction<T>(
  open: () => MaybePromise<Iterables<T>>,
): PulledSource<T> {
  let source: PulledSource<T> | undefined;
  let isClosed = false;
  return {
    async next() {
      source ??= pullFrom(await open());
      if (!isClosed) return source.next();
      // It was closed while the function was running.
      await source.return?.();
      return { done: true, value: undefined };
    },
    async return() {
      isClosed = true;
      await source?.return?.();
    },
  };
}

/**
 * Reads a stream with a reader, not with the stream's async iterator: some
 * browsers lack it, and it cannot be closed while a value is awaited.
 */
function pullFromStream<T>(stream: ReadableStream<T>): PulledSource<T> {
  const reader = stream.getReader();
  return {
    async next() {
      let isOver = true;
      try {
        const result = await reader.read();
        isOver = result.done;
        return result as IteratorResult<T>;
      } finally {
        if (isOver) reader.releaseLock();
      }
    },
    return() {
      const canceled = reader.cancel();
      reader.releaseLock();
      return canceled;
    },
  };
}
