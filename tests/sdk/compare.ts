import { assert, assertEquals } from "@std/assert";
import { deadline } from "../support/deadline.ts";

/** An SDK's reader of streams replaced, until disposed of. */
export interface Replacement extends Disposable {
  /** How many streams were read instead. */
  readonly streams: number;
}

/** Puts one method of an SDK in the place of another, until disposed of. */
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

/** What a program comes to with the SDK's own reader, and with the replaced one. */
export async function both<T>(
  program: () => Promise<T>,
  replaceReader: () => Replacement,
): Promise<{ own: T; replaced: T }> {
  const own = await deadline(program(), "a program on the SDK's own reader");
  using replacement = replaceReader();
  const replaced = await deadline(program(), "a program on readSse");
  assert(replacement.streams > 0, "The SDK did not use the replaced reader");
  return { own, replaced };
}

/** What a program comes to, whichever reader it is on. */
export async function same<T>(
  program: () => Promise<T>,
  replaceReader: () => Replacement,
): Promise<T> {
  const { own, replaced } = await both(program, replaceReader);
  assertEquals(replaced, own);
  return own;
}

/** An error as a value: two of them are equal where they say the same. */
export interface Failure {
  class: string;
  message: string;
  cause: Failure | undefined;
  /** What else it says of itself. */
  fields: Record<string, unknown>;
}

export function failureOf(error: unknown): Failure {
  assert(error instanceof Error, `Expected an Error, got ${error}`);
  // Other headers say when they were sent, and a response is no value.
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

/** What a promise gives, or its failure. */
export async function settled<T>(
  promise: Promise<T>,
): Promise<{ value: T } | { failure: Failure }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/** The items of a stream, until its end or its failure. */
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

/** An event stream that comes in pieces of so many bytes. */
export function inPieces(text: string, size: number): Response {
  const bytes = new TextEncoder().encode(text);
  const pieces = ReadableStream.from((function* () {
    for (let at = 0; at < bytes.length; at += size) {
      yield bytes.slice(at, at + size);
    }
  })());
  return new Response(pieces, {
    headers: { "content-type": "text/event-stream" },
  });
}
