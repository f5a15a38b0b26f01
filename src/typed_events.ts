/**
 * Events whose data a schema has checked, typed by their names.
 *
 * A schema is anything that implements
 * [Standard Schema](https://standardschema.dev): those of zod (3.24 or newer),
 * valibot (1.0) and arktype (2.0) do, among others.
 *
 * @example
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
 * @module
 */

import { check, textOf } from "./internal/check.ts";
import type { ServerSentEvent } from "./read/server_sent_event.ts";

/**
 * What a schema has to be: version 1 of Standard Schema, as much of it as is
 * needed here.
 *
 * @typeParam Output What the schema makes of a valid value.
 *
 * @example By hand
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
  /** What the standard defines. */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Gives what the schema makes of the value, or what is wrong with it. */
    readonly validate: (
      value: unknown,
    ) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
  };
}

/**
 * What a schema says of a value. Where there are no `issues`, it is valid.
 *
 * @typeParam Output What the schema makes of a valid one.
 *
 * @see {@link https://standardschema.dev/schema}
 */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/**
 * One thing that is wrong with a value.
 *
 * @see {@link https://standardschema.dev/schema}
 */
export interface StandardSchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where: the keys that lead there, each by itself or as the `key` of an object. */
  readonly path?:
    | readonly (PropertyKey | { readonly key: PropertyKey })[]
    | undefined;
}

/**
 * An event whose data is what its schema made of it.
 *
 * @typeParam Name The event's type.
 * @typeParam Data What its schema gives.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export interface TypedEvent<Name extends string = string, Data = unknown> {
  /** The event's type, `"message"` where the stream gave none. */
  readonly event: Name;
  /** The payload, parsed as JSON, as its schema gives it. */
  readonly data: Data;
  /** The last event ID of the stream when the event was dispatched. */
  readonly id: string;
  /** The reconnection time in ms, only where this very event carried it. */
  readonly retry: number | undefined;
}

/**
 * The events that {@linkcode typedEvents} gives with these schemas: a union
 * that a check of `event` narrows.
 *
 * @typeParam Schemas The type of the schemas by name.
 *
 * @example
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
    // What `validate` returns for a valid value, however its type is written.
    Extract<
      Awaited<ReturnType<Schemas[Name]["~standard"]["validate"]>>,
      { readonly value: unknown; readonly issues?: undefined }
    > extends { readonly value: infer Output } ? Output : never
  >;
}[keyof Schemas & (string | number)];

/** Options of {@linkcode typedEvents}. */
export interface TypedEventsOptions {
  /**
   * What to do with an event whose name has no schema: pass over it, or throw a
   * {@linkcode TypedEventError}.
   *
   * @default {"skip"}
   */
  unknown?: "skip" | "throw" | undefined;
}

/** What a new {@linkcode TypedEventError} may carry beside its event and message. */
export interface TypedEventErrorOptions extends ErrorOptions {
  /** What is wrong. By default one issue, with the error's message. */
  issues?: readonly StandardSchemaIssue[] | undefined;
}

/**
 * An event that is not what its schema demands: its data does not validate or is
 * not JSON, or its name has no schema and `unknown` is `"throw"`.
 *
 * @example
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
 *   // The server says 50.
 *   console.error(error.event.data, error.issues[0].message);
 * }
 * ```
 *
 * @see {@link https://standardschema.dev/schema}
 */
export class TypedEventError extends Error {
  static {
    // On the prototype, as the platform's own errors have it.
    this.prototype.name = "TypedEventError";
  }

  /** The event, as it was read. */
  readonly event: ServerSentEvent;

  /** What is wrong, as the schema says it. */
  readonly issues: readonly StandardSchemaIssue[];

  /**
   * Makes an error.
   *
   * @param event The event.
   * @param message What was expected, and what came.
   * @param options What is wrong, and the cause, where there is one.
   */
  constructor(
    event: ServerSentEvent,
    message: string,
    options: TypedEventErrorOptions = {},
  ) {
    super(message, options);
    this.event = event;
    this.issues = options.issues ?? [{ message }];
  }
}

/**
 * Gives each event's data the type that the schema of its name says, once it has
 * been parsed as JSON and found valid. Schemas may be asynchronous and may
 * transform what they are given.
 *
 * Nothing is read that nobody has asked for. Leaving a `for await` loop in any
 * way closes `events`, and so does an event that is not what its schema demands.
 * `return()` closes them at once, even while an event is awaited. Only an async
 * generator cannot be ended while it awaits something. Closing `events`
 * elsewhere, as with `sse.close()`, ends the loop too. What `events` throw is
 * passed on as it is.
 *
 * Data that is not JSON throws. Where a stream says so that it is over, as with
 * `[DONE]`, give `until: "[DONE]"` to `connectSse`.
 *
 * @typeParam Schemas The type of the schemas by name.
 * @param events The events: an `SseConnection`, a stream that was piped through
 * an `SseEventStream`, or anything else that can be iterated.
 * @param schemas A schema for each name that counts. Events without a name are
 * named `"message"`.
 * @param options What to do with events that have no schema.
 * @returns The events that have a schema, in order.
 * @throws {TypeError} If `events` cannot be iterated asynchronously, a schema is
 * not a Standard Schema, or `unknown` is neither of its values.
 * @throws {TypedEventError} From `next()`: if the data of an event is not JSON,
 * or not what its schema demands, or the schema itself throws (then the `cause`
 * is what it threw); or, with `unknown: "throw"`, if there is no schema.
 *
 * @example
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { typedEvents } from "@x/sse/typed-events";
 * import { z } from "npm:zod@4";
 *
 * const sse = await connectSse("https://example.com/jobs/7");
 * const file = z.object({ url: z.string() })
 *   .transform(({ url }) => new URL(url, "https://example.com"));
 *
 * // Events of other names, as "progress", are passed over.
 * for await (const { id, data } of typedEvents(sse, { done: file })) {
 *   console.log(id, data.href);
 * }
 * ```
 *
 * @see {@link https://standardschema.dev}
 */
export function typedEvents<Schemas extends Record<string, StandardSchema>>(
  events: AsyncIterable<ServerSentEvent> | ReadableStream<ServerSentEvent>,
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
      `the schema of ${quote(name)} to be a Standard Schema`,
      schema,
    );
  }
  const source = iterate(events);
  let state: "open" | "ended" = "open";

  async function close(): Promise<void> {
    if (state === "ended") return;
    state = "ended";
    await source.return?.();
  }

  // A generator, so that overlapping calls of `next` are answered in order.
  async function* read(): AsyncGenerator<TypedEventOf<Schemas>, undefined> {
    try {
      while (state === "open") {
        const { done, value: event } = await source.next();
        if (done) return;
        const schema = Object.hasOwn(schemas, event.event)
          ? schemas[event.event]
          : undefined;
        if (schema || unknown === "throw") yield await typed(event, schema);
      }
    } finally {
      state = "ended";
    }
  }

  async function typed(event: ServerSentEvent, schema?: StandardSchema) {
    try {
      const { event: name, id, retry } = event;
      const data = await validate(event, schema);
      return { event: name, data, id, retry } as TypedEventOf<Schemas>;
    } catch (error) {
      // An error of closing does not hide this one, as in `for await`.
      await close().catch(() => {});
      throw error;
    }
  }

  const generator = read();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => generator.next(),
    // Not the generator's own, which would wait for the event that is awaited,
    // and would close nothing before the first `next`.
    async return() {
      await close();
      return { done: true, value: undefined };
    },
  };
}

/** Where events come from, and how to let go of it. */
interface Source {
  next(): Promise<IteratorResult<ServerSentEvent>>;
  return?(): Promise<unknown>;
}

function iterate(events: Parameters<typeof typedEvents>[0]): Source {
  if (events instanceof ReadableStream) {
    // Its own iterator, which not all runtimes have, cannot be ended while an
    // event is awaited.
    const reader = events.getReader();
    return {
      async next() {
        let isOver = true;
        try {
          const result = await reader.read();
          isOver = result.done;
          return result as IteratorResult<ServerSentEvent>;
        } finally {
          if (isOver) reader.releaseLock();
        }
      },
      async return() {
        const cancelled = reader.cancel();
        reader.releaseLock();
        await cancelled;
      },
    };
  }
  check(
    typeof events?.[Symbol.asyncIterator] === "function",
    "events to be an async iterable or a ReadableStream",
    events,
  );
  return events[Symbol.asyncIterator]();
}

/** The event's data as its schema gives it. */
async function validate(
  event: ServerSentEvent,
  schema: StandardSchema | undefined,
): Promise<unknown> {
  const name = quote(event.event);
  if (!schema) {
    throw new TypedEventError(
      event,
      `Expected an event that has a schema, got ${name}: ` +
        'with unknown: "skip" it is passed over',
    );
  }

  let value: unknown;
  try {
    value = event.json();
  } catch (cause) {
    throw new TypedEventError(
      event,
      `Expected the data of ${name} to be JSON, got ${quote(event.data)}`,
      { cause },
    );
  }

  let result: StandardSchemaResult<unknown>;
  try {
    result = await schema["~standard"].validate(value);
  } catch (cause) {
    throw new TypedEventError(
      event,
      `Expected the schema of ${name} to validate its data, but it threw ` +
        shorten(textOf(cause)),
      { cause },
    );
  }
  if (!result.issues) return result.value;
  throw new TypedEventError(
    event,
    `Expected the data of ${name} to match its schema: ` +
      shorten(result.issues.map(describe).join("; ")),
    { issues: result.issues },
  );
}

/** An issue on one line, with the path to what it is about. */
function describe({ message, path = [] }: StandardSchemaIssue): string {
  const keys = path.map((it) => String(typeof it === "object" ? it.key : it));
  return keys.length > 0 ? `${keys.join(".")}: ${message}` : message;
}

function quote(text: string): string {
  return JSON.stringify(shorten(text));
}

/** What messages show of a text: data can be megabytes long. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
