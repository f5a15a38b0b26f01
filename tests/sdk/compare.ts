import { assert, assertEquals } from "@std/assert";
import { deadline } from "../support/deadline.ts";

/** Replaces the stream reader of an SDK until it is disposed. */
export interface Replacement extends Disposable {
  /** The number of streams that the replacement has read. */
  readonly streams: number;
}

/** Replaces a method of an SDK until the result is disposed. */
export function replaceMethod<
  Name extends string,
  // deno-lint-ignore no-explicit-any
  Method extends (this: any, ...args: any[]) => unknown,
>(owner: Record<Name, Method>, name: Name, method: Method): Replacement {
  const own = owner[name];
  let streams = 0;
  owner[name] = function (...args) {
    streams++;
    return method.apply(this, args);
  } as Method;
  return {
    get streams() {
      return streams;
    },
    [Symbol.dispose]() {
      owner[name] = own;
    },
  };
}

/**
 * Returns the results of a program with the SDK's own reader and with
 * `readSse`.
 */
export async function runBoth<T>(
  program: () => Promise<T>,
  replaceReader: () => Replacement,
): Promise<{ own: T; replaced: T }> {
  const own = await deadline(program(), "a program on the SDK's own reader");
  using replacement = replaceReader();
  const replaced = await deadline(program(), "a program on readSse");
  assert(replacement.streams > 0, "The SDK did not use the replaced reader");
  return { own, replaced };
}

/** Asserts that a program has the same result with both readers. Returns it. */
export async function runSame<T>(
  program: () => Promise<T>,
  replaceReader: () => Replacement,
): Promise<T> {
  const { own, replaced } = await runBoth(program, replaceReader);
  assertEquals(replaced, own);
  return own;
}

/** An error as a plain value, which can be compared. */
export interface Failure {
  class: string;
  message: string;
  cause: Failure | undefined;
  /** Its other properties. */
  fields: Record<string, unknown>;
}

export function failureOf(error: unknown): Failure {
  assert(error instanceof Error, `Expected an Error, got ${error}`);
  // Other headers contain the time, and a Response cannot be compared.
  const { headers, response: _, cause, ...fields } = error as
    & Error
    & { headers?: Headers; response?: Response };
  return {
    class: error.constructor.name,
    message: error.message,
    cause: cause instanceof Error ? failureOf(cause) : undefined,
    fields: { ...fields, contentType: headers?.get("content-type") },
  };
}

/** Returns the value of a promise, or its failure. */
export async function settled<T>(
  promise: Promise<T>,
): Promise<{ value: T } | { failure: Failure }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/** Returns the items of a stream up to its end or its failure. */
export async function collect<T>(
  stream: AsyncIterable<T>,
  onItem: (item: T) => void = () => {},
): Promise<{ items: T[]; failure: Failure | undefined }> {
  const items: T[] = [];
  try {
    for await (const item of stream) {
      items.push(item);
      onItem(item);
    }
    return { items, failure: undefined };
  } catch (error) {
    return { items, failure: failureOf(error) };
  }
}

/** Returns an event stream in chunks of `size` bytes. */
export function inChunks(text: string, size: number): Response {
  const bytes = new TextEncoder().encode(text);
  const chunks = ReadableStream.from((function* () {
    for (let at = 0; at < bytes.length; at += size) {
      yield bytes.slice(at, at + size);
    }
  })());
  return new Response(chunks, {
    headers: { "content-type": "text/event-stream" },
  });
}
