/** Tests `typedEvents` with libraries. Each of them defines the same schemas. */
import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { type } from "npm:arktype@2.2.9";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import * as mini from "npm:zod@4.6.7/mini";
import { connectSse } from "../../mod.ts";
import {
  type StandardSchema,
  TypedEventError,
  typedEvents,
} from "../../src/typed_events.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { OpenResponse } from "../support/open_response.ts";

type Schemas = {
  /** An object with `text`, and with `count`, which is 1 by default. */
  token: StandardSchema<{ text: string; count: number }>;
  /** A string, transformed to a date. */
  day: StandardSchema<Date>;
  /** Any string except "taken". */
  name: StandardSchema<string>;
};

async function isFree(name: string): Promise<boolean> {
  await Promise.resolve();
  return name !== "taken";
}

const libraries: Record<string, Schemas> = {
  zod: {
    token: z.object({ text: z.string(), count: z.number().default(1) }),
    day: z.string().transform((text) => new Date(text)),
    name: z.string().refine(isFree),
  },
  "zod/mini": {
    token: mini.object({
      text: mini.string(),
      count: mini._default(mini.number(), 1),
    }),
    day: mini.pipe(
      mini.string(),
      mini.transform((text) => new Date(text)),
    ),
    name: mini.string().check(mini.refine(isFree)),
  },
  valibot: {
    token: v.object({ text: v.string(), count: v.optional(v.number(), 1) }),
    day: v.pipe(v.string(), v.transform((text) => new Date(text))),
    name: v.pipeAsync(v.string(), v.checkAsync(isFree)),
  },
  arktype: {
    token: type({ text: "string", count: "number = 1" }),
    day: type("string").pipe((text) => new Date(text)),
    // ArkType has no asynchronous refinements.
    name: type("string").narrow((name) => name !== "taken"),
  },
};

/** Opens a connection on which the server sends these events, and stays open. */
async function open(...messages: [event: string, data: unknown][]) {
  const stream = new OpenResponse(
    messages.map(([event, data]) =>
      `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
    ).join(""),
  );
  const fetch = () => stream.response;
  return { stream, sse: await connectSse("http://localhost/", { fetch }) };
}

/** Returns the keys of each issue's path. Some libraries wrap keys in objects. */
function keysOf({ issues }: TypedEventError): PropertyKey[][] {
  return issues.map(({ path = [] }) =>
    Array.from(path, (it) => typeof it === "object" ? it.key : it)
  );
}

for (const [library, schemas] of Object.entries(libraries)) {
  Deno.test(`typedEvents returns the output of ${library} schemas`, async () => {
    const { sse, stream } = await open(
      ["token", { text: "a", count: 2 }],
      ["token", { text: "☃" }],
      ["day", "2030-01-01"],
      ["name", "free"],
    );
    stream.end();
    const events = typedEvents(sse, schemas);
    assertEquals(
      await Array.fromAsync(events, ({ event, data }) => [event, data]),
      [
        ["token", { text: "a", count: 2 }],
        ["token", { text: "☃", count: 1 }],
        ["day", new Date("2030-01-01")],
        ["name", "free"],
      ],
    );
  });

  Deno.test(`typedEvents throws the issues of ${library}, and closes the connection`, async () => {
    const { sse, stream } = await open(
      ["token", { text: "a" }],
      ["token", { text: 1, count: "2" }],
    );
    const events = typedEvents(sse, schemas);
    await events.next();
    const error = await assertRejects(() => events.next(), TypedEventError);
    assertEquals(keysOf(error).sort(), [["count"], ["text"]]);
    for (const { message } of error.issues) {
      assertEquals(error.message.includes(message), true, error.message);
    }
    assertEquals(error.event.data, '{"text":1,"count":"2"}');
    await stream.cancelled;
  });

  Deno.test(`typedEvents throws if a refinement of ${library} fails`, async () => {
    const { sse, stream } = await open(["name", "free"], ["name", "taken"]);
    const events = typedEvents(sse, schemas);
    assertEquals((await events.next()).value?.data, "free");
    const error = await assertRejects(() => events.next(), TypedEventError);
    assertEquals(keysOf(error), [[]]);
    await stream.cancelled;
  });

  Deno.test(`typedEvents skips events without a schema of ${library}, or throws`, async () => {
    const messages: [string, unknown][] = [["ping", {}], ["name", "free"]];
    for (const unknown of ["skip", "throw"] as const) {
      const { sse, stream } = await open(...messages);
      const events = typedEvents(sse, schemas, { unknown });
      if (unknown === "skip") {
        assertEquals((await events.next()).value?.event, "name");
        await sse.close();
      } else {
        const { event } = await assertRejects(
          () => events.next(),
          TypedEventError,
        );
        assertEquals(event.event, "ping");
      }
      await stream.cancelled;
    }
  });

  Deno.test(`typedEvents with ${library} closes the connection at a break, and throws its network error`, async () => {
    const left = await open(["name", "a"], ["name", "b"]);
    for await (const { data } of typedEvents(left.sse, schemas)) {
      assertEquals(data, "a");
      break;
    }
    await left.stream.cancelled;

    const broken = await open(["name", "a"]);
    const events = typedEvents(broken.sse, schemas);
    await events.next();
    const cause = new Error("broken");
    broken.stream.fail(cause);
    const error = await assertSseError(events.next(), "network");
    assertStrictEquals(error.cause, cause);
  });
}

Deno.test("typedEvents throws an error with the event if a transformation of a library throws", async () => {
  const link = (text: string) => new URL(text);
  const throwing: Record<string, StandardSchema<URL>> = {
    zod: z.string().transform(link),
    valibot: v.pipe(v.string(), v.transform(link)),
    arktype: type("string").pipe(link),
  };
  for (const schema of Object.values(throwing)) {
    const { sse, stream } = await open(["link", "no URL"]);
    const events = typedEvents(sse, { link: schema });
    const error = await assertRejects(() => events.next(), TypedEventError);
    assertEquals(error.event.data, '"no URL"');
    assertInstanceOf(error.cause, TypeError);
    await stream.cancelled;
  }
});
