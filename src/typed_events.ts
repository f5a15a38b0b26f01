/**
 * Events whose data is checked by a schema and typed by the name of the event.
 * Use this module if a stream has events of several kinds, or if you do not want
 * to trust what a server sends.
 *
 * The schemas can be those of zod (3.24 or newer), valibot (1.0), arktype (2.0)
 * or any other library that implements
 * [Standard Schema](https://standardschema.dev).
 *
 * ```sh
 * deno add jsr:@x/sse npm:zod               # Deno
 * npm install @x/sse zod                    # Node, Bun, bundlers
 * ```
 *
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { typedEvents } from "@x/sse/typed-events";
 * import { z } from "npm:zod@4";
 *
 * const sse = await connectSse("https://example.com/jobs/7");
 * const events = typedEvents(sse, {
 *   progress: z.object({ percent: z.number() }),
 *   done: z.object({ url: z.string() }),
 * });
 * for await (const event of events) {
 *   switch (event.event) {
 *     case "progress":
 *       console.log(event.data.percent.toFixed());
 *       break;
 *     case "done":
 *       console.log(event.data.url.toUpperCase());
 *   }
 * }
 * ```
 *
 * {@linkcode typedEvents} throws a {@linkcode TypedEventError} if the data of
 * an event does not match. The other entry points are in the
 * [README](https://github.com/x/sse/blob/main/README.md). A complete program is
 * [typed_events.ts](https://github.com/x/sse/blob/main/examples/typed_events.ts).
 *
 * @see {@link https://standardschema.dev}
 *
 * @module
 */

import { CallQueue } from "./internal/call_queue.ts";
import { check, textOf } from "./internal/check.ts";
import { type PulledSource, pullFrom } from "./internal/pulled_source.ts";
import { MAX_QUOTE_LENGTH, quote } from "./internal/quote.ts";
import { truncate } from "./internal/truncate.ts";
import type { ServerSentEvent } from "./read/server_sent_event.ts";

/**
 * A schema: the part of version 1 of Standard Schema that this module uses. The
 * schemas of zod, valibot and arktype have this type. Implement it to check
 * events without a library.
 *
 * @typeParam Output The type that the schema returns for a valid value.
 *
 * @example Check a number without a library
 * ```ts
 * import type { StandardSchema } from "@x/sse/typed-events";
 * import { assertEquals } from "@std/assert";
 *
 * const percent: StandardSchema<number> = {
 *   "~standard": {
 *     version: 1,
 *     vendor: "example",
 *     validate: (value) =>
 *       typeof value === "number" && value >= 0 && value <= 100
 *         ? { value }
 *         : { issues: [{ message: "Expected a number from 0 to 100" }] },
 *   },
 * };
 *
 * assertEquals(await percent["~standard"].validate(50), { value: 50 });
 * ```
 *
 * @see {@link https://standardschema.dev/schema}
 */
export interface StandardSchema<Output = unknown> {
  /**
   * The properties that Standard Schema defines: the version, the library's
   * name, and the function that validates a value.
   */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /**
     * Validates a value. Returns the value that the schema makes of it, or the
     * issues.
     */
    readonly validate: (
      value: unknown,
    ) =>
      | { readonly value: Output; readonly issues?: undefined }
      | { readonly issues: readonly StandardSchemaIssue[] }
      | Promise<
        | { readonly value: Output; readonly issues?: undefined }
        | { readonly issues: readonly StandardSchemaIssue[] }
      >;
  };
}

/**
 * One reason why a schema rejects a value: a message, and the path to the part
 * of the value that is wrong. {@linkcode TypedEventError} has a list of them.
 *
 * @see {@link https://standardschema.dev/schema}
 */
export interface StandardSchemaIssue {
  /** The reason, as text. */
  readonly message: string;
  /**
   * The path to the wrong part: a list of keys; each is the key itself, or an
   * object with the property `key`.
   */
  readonly path?:
    | readonly (PropertyKey | { readonly key: PropertyKey })[]
    | undefined;
}

/**
 * An event whose data was checked and transformed by a schema:
 * {@linkcode typedEvents} returns it. It has the properties of a
 * `ServerSentEvent`, but its `data` is the value that the schema returned.
 *
 * @typeParam Name The event's type.
 * @typeParam Data The type that the schema returns.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export interface TypedEvent<Name extends string = string, Data = unknown> {
  /** The event's type: `"message"` if the stream does not name one. */
  readonly event: Name;
  /**
   * The value that the schema returns for the payload, which is parsed as JSON
   * first.
   */
  readonly data: Data;
  /** The last event ID of the stream when the event was dispatched. */
  readonly id: string;
  /**
   * The reconnection time in milliseconds that the stream has set with the
   * event: the same as `retry` of `ServerSentEvent`.
   */
  readonly retry: number | undefined;
}

/**
 * The type of the events that {@linkcode typedEvents} returns with these
 * schemas: a union that a check of `event` narrows. Use it for the parameter of
 * a function that takes such events.
 *
 * @typeParam Schemas The type of the schemas by name.
 *
 * @example Pass checked events to a function
 * ```ts
 * import type { TypedEventOf } from "@x/sse/typed-events";
 * import { z } from "npm:zod@4";
 *
 * const schemas = {
 *   progress: z.object({ percent: z.number() }),
 *   done: z.object({ url: z.string() }),
 * };
 *
 * function describe(event: TypedEventOf<typeof schemas>): string {
 *   return event.event === "done" ? event.data.url : `${event.data.percent}%`;
 * }
 * ```
 */
export type TypedEventOf<Schemas extends Record<string, StandardSchema>> = {
  [Name in keyof Schemas & (string | number)]: TypedEvent<
    `${Name}`,
    // The type of a valid value, for each way in which libraries declare
    // `validate`.
    Extract<
      Awaited<ReturnType<Schemas[Name]["~standard"]["validate"]>>,
      { readonly value: unknown; readonly issues?: undefined }
    > extends { readonly value: infer Output } ? Output : never
  >;
}[keyof Schemas & (string | number)];

/**
 * Options of {@linkcode typedEvents}: how to treat events that have no schema.
 */
export interface TypedEventsOptions {
  /**
   * How to treat an event whose name has no schema: `"skip"` ignores it,
   * `"throw"` throws a {@linkcode TypedEventError}. Set it to `"throw"` in
   * tests, or if a new kind of event must not be missed.
   *
   * @default {"skip"}
   */
  unknown?: "skip" | "throw" | undefined;
}

/**
 * The error of an event that its schema rejects: the data is not JSON or not
 * valid, or the name has no schema and `unknown` is `"throw"`. It has the
 * `event` and the `issues`, so that you can log what the server sent.
 *
 * @example Show what is wrong with an event
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { TypedEventError, typedEvents } from "@x/sse/typed-events";
 * import { z } from "npm:zod@4";
 *
 * const sse = await connectSse("https://example.com/jobs/7");
 * const progress = z.object({ percent: z.number().max(1) });
 * try {
 *   for await (const { data } of typedEvents(sse, { progress })) {
 *     console.log(data.percent);
 *   }
 * } catch (error) {
 *   if (!(error instanceof TypedEventError)) throw error;
 *   // The server sends 50.
 *   console.error(error.event.data, error.issues[0].message);
 * }
 * ```
 *
 * @see {@link https://standardschema.dev/schema}
 */
export class TypedEventError extends Error {
  /**
   * `"TypedEventError"`. It is a getter of the prototype, so that consoles do
   * not list it among the properties of the error.
   */
  override get name(): string {
    return "TypedEventError";
  }

  /** The event, as it was read. */
  readonly event: ServerSentEvent;

  /**
   * The reasons, as the schema reports them. For other errors, such as
   * data that is not JSON, one issue with the message of the error.
   */
  readonly issues: readonly StandardSchemaIssue[];

  /**
   * Creates an error, for example in a test.
   *
   * @param event The event.
   * @param message A text that says what was expected and what was received.
   * @param options The cause, and the issues: by default one issue, with the
   * message.
   */
  constructor(
    event: ServerSentEvent,
    message: string,
    options: {
      cause?: unknown;
      issues?: readonly StandardSchemaIssue[] | undefined;
    } = {},
  ) {
    super(message, options);
    this.event = event;
    this.issues = options.issues ?? [{ message }];
  }
}

/**
 * Parses the data of each event as JSON, validates it with the schema of the
 * event's name, and returns it with the type of the schema. Use it around a
 * connection to read only events that are valid. Schemas may be asynchronous,
 * and may transform the data.
 *
 * Events are read only on demand. Leaving a `for await` loop in any way closes
 * `events`, and so does an event that its schema rejects. `return()` closes
 * them at once, even while an event is awaited, unless they are an async
 * generator, which cannot be closed while it awaits something. If `events` are
 * closed elsewhere, for example by `sse.close()`, the loop ends. Errors of
 * `events` are passed on unchanged.
 *
 * Data that is not JSON throws. If it marks the end of the stream, as `[DONE]`
 * does, pass `until: "[DONE]"` to `connectSse`.
 *
 * @typeParam Schemas The type of the schemas by name.
 * @param events The events: an `SseConnection`, a stream that was piped through
 * an `SseEventStream`, or any other iterable.
 * @param schemas A schema for each name. Events without a name are named
 * `"message"`.
 * @param options How to treat events that have no schema.
 * @returns The events that have a schema, in order.
 * @throws {TypeError} If `events` cannot be iterated, a schema is not a
 * Standard Schema, or `unknown` is not one of its values.
 * @throws {TypedEventError} From `next()`: if the data of an event is not JSON
 * or not valid, or its schema throws (the error is the `cause`); with
 * `unknown: "throw"`, also if there is no schema.
 *
 * @example Wait for the result of a job, and ignore other events
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { typedEvents } from "@x/sse/typed-events";
 * import { z } from "npm:zod@4";
 *
 * const sse = await connectSse("https://example.com/jobs/7", {
 *   until: ({ event }) => event === "done",
 * });
 * const file = z.object({ url: z.string() })
 *   .transform(({ url }) => new URL(url, "https://example.com"));
 *
 * // Events of other names, such as "progress", are ignored.
 * for await (const { id, data } of typedEvents(sse, { done: file })) {
 *   console.log(id, data.href);
 * }
 * ```
 *
 * @see {@link https://standardschema.dev}
 */
export function typedEvents<Schemas extends Record<string, StandardSchema>>(
  events:
    | AsyncIterable<ServerSentEvent>
    | Iterable<ServerSentEvent>
    | ReadableStream<ServerSentEvent>,
  schemas: Schemas,
  options: TypedEventsOptions = {},
): AsyncIterableIterator<TypedEventOf<Schemas>, undefined> {
  const { unknown = "skip" } = options;
  check(
    unknown === "skip" || unknown === "throw",
    'unknown to be "skip" or "throw"',
    unknown,
  );
  for (const [name, schema] of Object.entries(schemas)) {
    check(
      typeof schema?.["~standard"]?.validate === "function",
      `the schema of ${asJson(name)} to be a Standard Schema`,
      schema,
    );
  }
  const source = pullFrom(events);
  return new TypedEvents(source, schemas, unknown);
}

class TypedEvents<Schemas extends Record<string, StandardSchema>>
  implements AsyncIterableIterator<TypedEventOf<Schemas>, undefined> {
  readonly #source: PulledSource<ServerSentEvent>;
  readonly #schemas: Schemas;
  readonly #unknown: "skip" | "throw";
  readonly #calls = new CallQueue<
    IteratorResult<TypedEventOf<Schemas>, undefined>
  >();
  #state: "open" | "ended" = "open";

  constructor(
    source: PulledSource<ServerSentEvent>,
    schemas: Schemas,
    unknown: "skip" | "throw",
  ) {
    this.#source = source;
    this.#schemas = schemas;
    this.#unknown = unknown;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<TypedEventOf<Schemas>, undefined>> {
    return this.#calls.run(() => this.#read());
  }

  async #read(): Promise<IteratorResult<TypedEventOf<Schemas>, undefined>> {
    try {
      while (this.#isOpen()) {
        const { done, value: event } = await this.#source.next();
        if (done) break;
        const schema = this.#schemaOf(event);
        if (!this.#isOpen() || !schema && this.#unknown === "skip") continue;
        const data = await validate(event, schema);
        // `return()` may have been called meanwhile.
        if (!this.#isOpen()) break;
        const { event: name, id, retry } = event;
        const value = { event: name, data, id, retry } as TypedEventOf<Schemas>;
        return { done: false, value };
      }
    } catch (error) {
      if (this.#isOpen()) {
        // If closing fails as well, this error is thrown, as in `for await`.
        if (error instanceof TypedEventError) {
          await this.#close().catch(() => {});
        }
        this.#state = "ended";
        throw error;
      }
    } finally {
      this.#calls.finish();
    }
    this.#state = "ended";
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<TypedEventOf<Schemas>, undefined>> {
    await this.#close();
    return { done: true, value: undefined };
  }

  #schemaOf({ event }: ServerSentEvent): StandardSchema | undefined {
    return Object.hasOwn(this.#schemas, event)
      ? this.#schemas[event]
      : undefined;
  }

  #isOpen(): boolean {
    return this.#state === "open";
  }

  async #close(): Promise<void> {
    if (this.#state === "ended") return;
    this.#state = "ended";
    await this.#source.return?.();
  }
}

/** Returns the value that the schema makes of the event's data. */
async function validate(
  event: ServerSentEvent,
  schema: StandardSchema | undefined,
): Promise<unknown> {
  const name = asJson(event.event);
  if (!schema) {
    throw new TypedEventError(
      event,
      `Expected an event that has a schema, got ${name}: ` +
        'unknown: "skip" ignores it',
    );
  }

  let value: unknown;
  try {
    value = event.json();
  } catch (cause) {
    throw new TypedEventError(
      event,
      `Expected the data of ${name} to be JSON, got ${asJson(event.data)}`,
      { cause },
    );
  }

  let issues: readonly StandardSchemaIssue[];
  let reasons: string;
  try {
    const result = await schema["~standard"].validate(value);
    if (!result.issues) return result.value;
    ({ issues } = result);
    reasons = issues.map(describe).join("; ");
  } catch (cause) {
    // It threw, or its result is not that of a Standard Schema.
    throw new TypedEventError(
      event,
      `Expected the schema of ${name} to validate its data, but it threw ` +
        quote(textOf(cause)),
      { cause },
    );
  }
  throw new TypedEventError(
    event,
    `Expected the data of ${name} to match its schema: ${quote(reasons)}`,
    { issues },
  );
}

/** Returns an issue on one line, with the path to it. */
function describe({ message, path = [] }: StandardSchemaIssue): string {
  const keys = path.map((it) => String(typeof it === "object" ? it.key : it));
  return keys.length > 0 ? `${keys.join(".")}: ${message}` : message;
}

function asJson(text: string): string {
  return JSON.stringify(truncate(text, MAX_QUOTE_LENGTH));
}
