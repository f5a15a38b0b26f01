/**
 * The event of an event stream.
 *
 * @module
 */

/** What a new {@linkcode ServerSentEvent} is made of; all of it optional. */
export interface ServerSentEventInit {
  /**
   * The event's type.
   *
   * @default {"message"}
   */
  event?: string | undefined;
  /**
   * The payload.
   *
   * @default {""}
   */
  data?: string | undefined;
  /**
   * The last event ID when the event was dispatched.
   *
   * @default {""}
   */
  id?: string | undefined;
  /** The reconnection time in ms, where this very event carries one. */
  retry?: number | undefined;
}

/**
 * One event of an event stream.
 *
 * @example
 * ```ts
 * import { ServerSentEvent } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * const event = new ServerSentEvent({ data: '{"token":"Hello"}' });
 *
 * assertEquals(event.event, "message");
 * assertEquals(event.json<{ token: string }>().token, "Hello");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class ServerSentEvent {
  /** The event's type, `"message"` where the stream gave none. */
  readonly event: string;

  /** The payload: the event's `data` lines, joined with `\n`. */
  readonly data: string;

  /**
   * The last event ID of the stream when the event was dispatched: the event's
   * own or, where it had none, the newest one before it. `""` where the stream
   * gave none.
   */
  readonly id: string;

  /** The reconnection time in ms, only where this very event carried it. */
  readonly retry: number | undefined;

  /**
   * Makes an event.
   *
   * @param init The fields that the event has.
   */
  constructor(init: ServerSentEventInit = {}) {
    if (!isPrintable) makePrintable();
    this.event = init.event || "message";
    this.data = init.data ?? "";
    this.id = init.id ?? "";
    this.retry = init.retry;
  }

  /**
   * The payload, parsed as JSON.
   *
   * @typeParam T What the payload is known to be; it is not checked.
   * @returns What `JSON.parse` makes of `data`.
   * @throws {SyntaxError} If `data` is not JSON.
   *
   * @example
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

let isPrintable = false;

/**
 * Has `console.log` print events well. Not as the module loads, or bundlers would
 * keep the class where nothing uses it.
 */
function makePrintable(): void {
  isPrintable = true;
  // Deno and Node both look for this symbol; hidden, so that it is no part of
  // what the class says of itself.
  Object.defineProperty(
    ServerSentEvent.prototype,
    Symbol.for("nodejs.util.inspect.custom"),
    { value: inspectEvent },
  );
}

/** What `console.log` prints: the fields that say something. */
function inspectEvent(
  this: ServerSentEvent,
  _depth: number,
  options: unknown,
  inspect: (value: unknown, options: unknown) => string,
): string {
  const { event, data, id, retry } = this;
  const said = {
    event,
    ...(data !== "" && { data }),
    ...(id !== "" && { id }),
    ...(retry !== undefined && { retry }),
  };
  return `ServerSentEvent ${inspect(said, options)}`;
}
