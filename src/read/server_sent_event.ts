/**
 * The event of an event stream.
 *
 * @module
 */

/**
 * One event that was read from an event stream: its type, its payload and its
 * id. {@linkcode connectSse} and the other readers return it. You can also
 * write it again: {@linkcode sseResponse} and the encoders take it as a
 * message.
 *
 * @example Show the progress of a job
 * ```ts
 * import { connectSse } from "@x/sse";
 *
 * const sse = await connectSse("https://example.com/jobs/7");
 * for await (const event of sse) {
 *   if (event.event !== "progress") continue;
 *   console.log(event.id, event.json<{ percent: number }>().percent);
 * }
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class ServerSentEvent {
  /** The event's type: `"message"` if the stream does not name one. */
  readonly event: string;

  /** The payload: the event's `data` lines, joined with `\n`. */
  readonly data: string;

  /**
   * The last event ID of the stream when the event was dispatched: the event's
   * own or, if it has none, the newest one before it. `""` if the stream has not
   * set any.
   */
  readonly id: string;

  /**
   * The reconnection time in milliseconds that the stream has set in the block
   * of this event, or in a block without data since the previous event.
   * Undefined if neither sets one.
   */
  readonly retry: number | undefined;

  /**
   * Creates an event, for example in a test.
   *
   * @param init The fields of the event: its type, by default `"message"`; the
   * payload and the id, by default `""`; and the reconnection time in
   * milliseconds, by default none.
   */
  constructor(
    init: {
      event?: string | undefined;
      data?: string | undefined;
      id?: string | undefined;
      retry?: number | undefined;
    } = {},
  ) {
    this.event = init.event || "message";
    this.data = init.data ?? "";
    this.id = init.id ?? "";
    this.retry = init.retry;
  }

  /**
   * Parses the payload as JSON.
   *
   * @typeParam T The type of the payload. It is not checked:
   * `@x/sse/typed-events` checks it.
   * @returns The result of `JSON.parse(data)`.
   * @throws {SyntaxError} If `data` is not JSON.
   *
   * @example Parse the payload of an event
   * ```ts
   * import { ServerSentEvent } from "@x/sse";
   * import { assertEquals } from "@std/assert";
   *
   * const event = new ServerSentEvent({ data: "[1, 2]" });
   * assertEquals(event.json<number[]>(), [1, 2]);
   * ```
   */
  json<T = unknown>(): T {
    return JSON.parse(this.data);
  }
}
