/**
 * Server-Sent Events over `fetch`, for Deno and every runtime that has it.
 *
 * - {@linkcode connectSse} sends a request and gives an
 *   {@linkcode SseConnection}, an iterator over the response's events, each a
 *   {@linkcode ServerSentEvent}. What goes wrong is an {@linkcode SseError}.
 * - {@linkcode readSse} reads a response that is there already.
 * - {@linkcode SseEventStream} turns any `ReadableStream` of bytes into events,
 *   as `TextDecoderStream` turns one into text.
 * - {@linkcode sseResponse}, {@linkcode SseEncoderStream} and
 *   {@linkcode encodeSse} write streams into which no string can smuggle an
 *   event; {@linkcode lastEventIdOf} says where a client left off.
 * - {@linkcode SseDecoder} is the parser of them all, for bytes that come another
 *   way.
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
  FetchOptions,
  ReadSseOptions,
  SseAttempt,
  SseRequest,
} from "./src/read/options.ts";
export type { ReconnectInfo, ReconnectOptions } from "./src/read/reconnect.ts";
export { sseResponse, type SseResponseInit } from "./src/write/response.ts";
export {
  ServerSentEvent,
  type ServerSentEventInit,
} from "./src/read/server_sent_event.ts";
