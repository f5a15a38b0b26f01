/**
 * The event of an event stream.
 *
 * @module
 */

/**
 * What a new {@linkcode ServerSentEvent} is made of; all of it optional.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
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
  // A pure call, so that bundlers can leave the class out where nobody uses it.
  static #isPrintable = /* @__PURE__ */ makePrintable(() =>
    ServerSentEvent.prototype
  );

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

/** Has `console.log` print the fields that are not empty. */
function makePrintable(prototype: () => ServerSentEvent): boolean {
  // Deno and Node both look for this symbol. Set from outside, it is no part of
  // the class's public type.
  Object.defineProperty(
    prototype(),
    Symbol.for("nodejs.util.inspect.custom"),
    { value: inspectEvent },
  );
  return true;
}

function inspectEvent(
  this: ServerSentEvent,
  _depth: number,
  options: unknown,
  inspect: (value: unknown, options: unknown) => string,
): string {
  const said = Object.entries(this).filter(([, value]) =>
    value !== "" && value !== undefined
  );
  return `ServerSentEvent ${inspect(Object.fromEntries(said), options)}`;
}
