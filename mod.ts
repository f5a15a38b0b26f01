/**
 * Server-Sent Events (`text/event-stream`) for Deno, and for every runtime with
 * `fetch`: Node, Bun, Cloudflare Workers and browsers. It is for programs that
 * read the tokens of an LLM, the progress of a job, a feed or an MCP server,
 * and for the servers that send such streams. With the options `idleTimeout`
 * and `until`, a stream that stalls or is cut off fails with an error code. With
 * `reconnect`, it continues after the last event on a new connection. The module
 * has no dependencies.
 *
 * ```sh
 * deno add jsr:@x/sse       # Deno
 * npm install @x/sse        # Node, Bun, Cloudflare Workers, bundlers
 * ```
 *
 * ## Read a stream
 *
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/events");
 * for await (const event of sse) {
 *   console.log(event.event, event.data);
 * }
 * ```
 *
 * {@linkcode connectSse} takes the arguments of `fetch`, and returns an
 * {@linkcode SseConnection}: an iterator over the events of the response. Each
 * event is a {@linkcode ServerSentEvent}.
 *
 * ## Survive failures
 *
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/jobs/7", {
 *   // Reconnect, and continue after the last event.
 *   reconnect: true,
 *   // Notice a connection that died silently.
 *   idleTimeout: 30_000,
 *   // Notice a stream that ended too early.
 *   until: ({ event }) => event === "done",
 * });
 * for await (const event of sse) {
 *   console.log(event.id, event.event, event.data);
 * }
 * ```
 *
 * If a stream fails and `connectSse` does not reconnect, reading the stream
 * throws an {@linkcode SseError}. {@linkcode ConnectSseOptions} and
 * {@linkcode ReconnectOptions} describe all options.
 *
 * ## Write a stream
 *
 * ```ts
 * import { sseResponse } from "@x/sse";
 *
 * async function* greet() {
 *   for (const data of ["Hello", "world"]) yield { event: "word", data };
 * }
 *
 * export default { fetch: () => sseResponse(greet(), { heartbeat: 15_000 }) };
 * ```
 *
 * {@linkcode sseResponse} turns an iterable or a stream of messages into a
 * `Response`. A message is an {@linkcode SseMessage}. Save this program as
 * `main.ts`, and run it with `deno serve main.ts`. Field values cannot inject
 * events.
 *
 * ## The names
 *
 * Start with {@linkcode connectSse}, {@linkcode SseError} and
 * {@linkcode sseResponse}. If you have a response or a stream of bytes already,
 * use {@linkcode readSse}, or pipe the bytes through an
 * {@linkcode SseEventStream}.
 *
 * If an SDK sends the requests, give it the `fetch` that {@linkcode sseFetch}
 * makes. Then a stream that stalls or is cut off fails in the SDK as well.
 *
 * For special cases, there are {@linkcode SseDecoder} (the parser, chunk by
 * chunk), {@linkcode encodeSse} and {@linkcode SseEncoderStream} (the encoder),
 * and {@linkcode lastEventIdOf} (the last event ID that a request contains).
 *
 * ## Other entry points
 *
 * - `@x/sse/event-log`: broadcast messages, and replay those that a client
 *   missed. The log is in memory.
 * - `@x/sse/event-log/redis`, `@x/sse/event-log/kv` and `@x/sse/event-log/sql`:
 *   logs for many processes, in Redis, Deno KV, SQLite, Durable Objects and
 *   PostgreSQL.
 * - `@x/sse/event-source`: the standard's `EventSource` on every runtime, with
 *   headers, any method and a body, and errors that say what went wrong.
 * - `@x/sse/typed-events`: events that are typed and checked by zod, valibot or
 *   arktype.
 * - `@x/sse/testing`: a server that follows a script, for tests of clients. It
 *   stalls, breaks the connection and refuses requests on demand.
 * - `@x/sse/cli`: a command. `deno run -N jsr:@x/sse/cli URL` or
 *   `npx @x/sse URL` prints a stream.
 *
 * ## More
 *
 * The [README](https://github.com/x/sse/blob/main/README.md) has tables of the
 * options and errors, notes on each runtime, and a section on when not to use
 * this module.
 *
 * Each guide leads from a question to a finished program:
 *
 * - [LLM chat](https://github.com/x/sse/blob/main/examples/guides/llm_chat.md)
 * - [SDKs](https://github.com/x/sse/blob/main/examples/guides/sdks.md) of LLMs
 *   and MCP: how they notice streams that stall or are cut off
 * - [MCP](https://github.com/x/sse/blob/main/examples/guides/mcp.md)
 * -
 *   [Feeds and resuming](https://github.com/x/sse/blob/main/examples/guides/feeds_and_resuming.md)
 * - [Dashboards](https://github.com/x/sse/blob/main/examples/guides/dashboards.md):
 *   state first, then changes
 * - [Daemons](https://github.com/x/sse/blob/main/examples/guides/daemons.md)
 *   that follow feeds for weeks
 * - [Answers](https://github.com/x/sse/blob/main/examples/guides/answers.md) of
 *   LLMs that continue even if their reader disconnects
 * -
 *   [Broadcasting](https://github.com/x/sse/blob/main/examples/guides/broadcasting.md)
 *   to many clients
 * - [Engines](https://github.com/x/sse/blob/main/examples/guides/engines.md):
 *   which event log to choose
 * - [Servers](https://github.com/x/sse/blob/main/examples/guides/servers.md)
 *   and frameworks
 * -
 *   [Behind proxies](https://github.com/x/sse/blob/main/examples/guides/behind_proxies.md)
 * -
 *   [In a page](https://github.com/x/sse/blob/main/examples/guides/in_a_page.md)
 * - [Testing](https://github.com/x/sse/blob/main/examples/guides/testing.md)
 * -
 *   [The command line](https://github.com/x/sse/blob/main/examples/guides/command_line.md)
 * - [Traps](https://github.com/x/sse/blob/main/examples/guides/traps.md):
 *   errors of each runtime, and their remedies
 * -
 *   [Other libraries](https://github.com/x/sse/blob/main/examples/guides/other_libraries.md),
 *   and how to migrate
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
export { sseFetch, type SseFetchOptions } from "./src/read/sse_fetch.ts";
export { ServerSentEvent } from "./src/read/server_sent_event.ts";
export type { SseSource } from "./src/write/subscription.ts";
