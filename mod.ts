/**
 * Server-Sent Events for Deno and every runtime with `fetch`: read a stream,
 * survive network failures, and write streams. It has no dependencies.
 *
 * - {@linkcode connectSse} sends a request, and returns an
 *   {@linkcode SseConnection}: an iterator over the events of the response, each
 *   a {@linkcode ServerSentEvent}. If the stream fails, it throws an
 *   {@linkcode SseError}.
 * - {@linkcode readSse} reads a response that has arrived already.
 * - {@linkcode SseEventStream} transforms a `ReadableStream` of bytes into events,
 *   as `TextDecoderStream` does into text.
 * - {@linkcode sseResponse}, {@linkcode SseEncoderStream} and
 *   {@linkcode encodeSse} write streams into which field values cannot inject
 *   events. {@linkcode lastEventIdOf} returns where a client stopped.
 * - {@linkcode SseDecoder} is the parser of all of them, for bytes from other
 *   sources.
 *
 * The other entry points are `@x/sse/event-source` (the standard's
 * `EventSource`), `@x/sse/event-log` (broadcast and replay), `@x/sse/typed-events`
 * (events checked by a schema) and `@x/sse/cli` (a command line).
 *
 * @example
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/events");
 * for await (const event of sse) {
 *   console.log(event.event, event.data);
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html}
 *
 * @module
 */

export { connectSse, readSse } from "./src/read/connect.ts";
export type { SseConnection } from "./src/read/connection.ts";
export { SseDecoder, type SseDecoderOptions } from "./src/read/decoder.ts";
export { SseError, type SseErrorCode } from "./src/error.ts";
export { encodeSse, type SseMessage } from "./src/write/encoder.ts";
export { SseEncoderStream } from "./src/write/encoder_stream.ts";
export { SseEventStream } from "./src/read/event_stream.ts";
export { lastEventIdOf } from "./src/last_event_id.ts";
export type {
  ConnectSseOptions,
  ReadSseOptions,
  SseAttempt,
} from "./src/read/options.ts";
export type { ReconnectOptions } from "./src/read/reconnect.ts";
export { sseResponse, type SseResponseInit } from "./src/write/response.ts";
export { ServerSentEvent } from "./src/read/server_sent_event.ts";
