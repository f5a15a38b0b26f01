/** Tests types: the compiler checks them before the tests run. */
import { assertEquals } from "@std/assert";
import { assertType, type IsExact } from "@std/testing/types";
import { type } from "npm:arktype@2.2.9";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import * as mini from "npm:zod@4.6.7/mini";
import {
  ServerSentEvent,
  type SseConnection,
  type SseEventStream,
} from "../../mod.ts";
import {
  type StandardSchema,
  type StandardSchemaIssue,
  type TypedEvent,
  TypedEventError,
  type TypedEventOf,
  typedEvents,
  type TypedEventsOptions,
} from "../../src/typed_events.ts";

/** The type of the data of events with that name. */
type DataOf<Events, Name> = Events extends TypedEvent & { event: Name }
  ? Events["data"]
  : never;

type Element<Events> = Events extends AsyncIterable<infer Event> ? Event
  : never;

async function* none(): AsyncGenerator<ServerSentEvent> {}

Deno.test("typedEvents returns a union of events that the name narrows", async () => {
  const source = ReadableStream.from([
    new ServerSentEvent({ event: "token", data: '{"text":"a"}' }),
    new ServerSentEvent({ event: "done", data: "7" }),
  ]);
  const events = typedEvents(source, {
    token: z.object({ text: z.string() }),
    done: v.number(),
  });
  assertType<
    IsExact<
      Element<typeof events>,
      TypedEvent<"token", { text: string }> | TypedEvent<"done", number>
    >
  >(true);

  const seen: unknown[] = [];
  for await (const event of events) {
    assertType<IsExact<typeof event.id, string>>(true);
    assertType<IsExact<typeof event.retry, number | undefined>>(true);
    // @ts-expect-error: the data may be a number.
    event.data.text;
    switch (event.event) {
      case "token":
        assertType<IsExact<typeof event.data, { text: string }>>(true);
        seen.push(event.data.text);
        // @ts-expect-error: there is no such field.
        seen.push(event.data.txt ?? "no txt");
        break;
      case "done":
        assertType<IsExact<typeof event.data, number>>(true);
        seen.push(event.data.toFixed(1));
        break;
      // @ts-expect-error: there is no such event.
      case "end":
        break;
      default:
        assertType<IsExact<typeof event, never>>(true);
    }
    // @ts-expect-error: events are readonly.
    event.id = "";
  }
  assertEquals(seen, ["a", "no txt", "7.0"]);
});

Deno.test("typedEvents returns events whose name narrows destructured data", async () => {
  const events = typedEvents(none(), { a: z.number(), b: z.string() });
  for await (const { event, data } of events) {
    if (event === "a") assertType<IsExact<typeof data, number>>(true);
    else assertType<IsExact<typeof data, string>>(true);
  }
});

Deno.test("next() of typedEvents resolves to an event or the end", async () => {
  const events = typedEvents(none(), { a: z.number() });
  const { value } = await events.next();
  assertType<IsExact<typeof value, TypedEvent<"a", number> | undefined>>(true);
  const result = await events.next();
  if (!result.done) {
    assertType<IsExact<typeof result.value, TypedEvent<"a", number>>>(true);
  }
});

Deno.test("TypedEventOf has the output type of a schema, not its input type", () => {
  const schemas = {
    zod: z.object({ at: z.string().transform((text) => new Date(text)) }),
    mini: mini.object({ n: mini._default(mini.number(), 1) }),
    valibot: v.pipe(v.string(), v.transform((text) => text.length)),
    valibotAsync: v.pipeAsync(
      v.string(),
      v.transformAsync((text) => Promise.resolve(new URL(text))),
    ),
    arktype: type({ n: "string.numeric.parse", "s?": "'a' | 'b'" }),
    union: z.discriminatedUnion("type", [
      z.object({ type: z.literal("text"), text: z.string() }),
      z.object({ type: z.literal("end") }),
    ]),
  };
  type Event = TypedEventOf<typeof schemas>;
  assertType<IsExact<Event["event"], keyof typeof schemas>>(true);
  assertType<IsExact<DataOf<Event, "zod">, { at: Date }>>(true);
  assertType<IsExact<DataOf<Event, "mini">, { n: number }>>(true);
  assertType<IsExact<DataOf<Event, "valibot">, number>>(true);
  assertType<IsExact<DataOf<Event, "valibotAsync">, URL>>(true);
  assertType<
    IsExact<DataOf<Event, "arktype">, { n: number; s?: "a" | "b" }>
  >(true);
  assertType<
    IsExact<
      DataOf<Event, "union">,
      { type: "text"; text: string } | { type: "end" }
    >
  >(true);
});

Deno.test("TypedEventOf infers the output of handwritten schemas from validate()", () => {
  const schemas = {
    inferred: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "string"
            ? { value }
            : { issues: [{ message: "Expected a string" }] },
      },
    },
    both: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "string"
            ? { value, issues: undefined }
            : { value: null, issues: [{ message: "Expected a string" }] },
      },
    },
    async: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) => Promise.resolve({ value: value === 1 }),
      },
    },
    declared: {} as StandardSchema<{ n: number }>,
    untyped: {} as StandardSchema,
    7: {} as StandardSchema<number>,
  } as const;
  type Event = TypedEventOf<typeof schemas>;
  assertType<IsExact<DataOf<Event, "inferred">, string>>(true);
  assertType<IsExact<DataOf<Event, "both">, string>>(true);
  assertType<IsExact<DataOf<Event, "async">, boolean>>(true);
  assertType<IsExact<DataOf<Event, "declared">, { n: number }>>(true);
  assertType<IsExact<DataOf<Event, "untyped">, unknown>>(true);
  assertType<IsExact<DataOf<Event, "7">, number>>(true);
});

Deno.test("typedEvents infers the parameter type of an inline schema", async () => {
  const events = typedEvents(none(), {
    a: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate(value) {
          assertType<IsExact<typeof value, unknown>>(true);
          return { value: 1 };
        },
      },
    },
  });
  for await (const { data } of events) {
    assertType<IsExact<typeof data, number>>(true);
  }
});

Deno.test("typedEvents returns events of any name if the names of the schemas are unknown", async () => {
  const schemas: Record<string, z.ZodType<Date>> = {};
  for await (const event of typedEvents(none(), schemas)) {
    assertType<IsExact<typeof event, TypedEvent<string, Date>>>(true);
  }
  for await (const event of typedEvents(none(), {})) {
    assertType<IsExact<typeof event, never>>(true);
  }
});

// Never called: the invalid calls in it would throw.
function _typeErrors(sse: SseConnection, stream: SseEventStream) {
  const a = z.number();
  typedEvents(sse, { a });
  typedEvents(stream.readable, { a });
  // @ts-expect-error: the writable side has no events.
  typedEvents(stream.writable, { a });
  // @ts-expect-error: a promise of a connection must be awaited first.
  typedEvents(Promise.resolve(sse), { a });
  // @ts-expect-error: bytes must be decoded first.
  typedEvents(new Response("").body!, { a });
  // @ts-expect-error: a string is not a schema.
  typedEvents(sse, { a, b: "number" });
  // @ts-expect-error: the schemas are missing.
  typedEvents(sse);

  typedEvents(sse, { a }, {});
  typedEvents(sse, { a }, { unknown: undefined });
  // @ts-expect-error: the option is misspelled.
  typedEvents(sse, { a }, { unkown: "throw" });
  // @ts-expect-error: there is no such value.
  typedEvents(sse, { a }, { unknown: "ignore" });
  // @ts-expect-error: there is no such value.
  const _options: TypedEventsOptions = { unknown: true };

  const error = new TypedEventError(new ServerSentEvent(), "Wrong");
  assertType<IsExact<typeof error.event, ServerSentEvent>>(true);
  assertType<
    IsExact<typeof error.issues, readonly StandardSchemaIssue[]>
  >(true);
}
