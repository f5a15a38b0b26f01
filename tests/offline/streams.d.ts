// The functions and classes of @std/streams that the tests use.

export declare class TextLineStream extends TransformStream<string, string> {
  constructor(options?: { allowCR?: boolean });
}

export declare function toText(
  stream: ReadableStream<string> | ReadableStream<Uint8Array>,
): Promise<string>;
export declare function toBytes(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array>;
export declare function concatReadableStreams<T>(
  ...streams: ReadableStream<T>[]
): ReadableStream<T>;
