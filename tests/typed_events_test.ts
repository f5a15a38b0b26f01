import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connectSse, ServerSentEvent, SseEventStream } from "../mod.ts";
import {
  type StandardSchema,
  TypedEventError,
  typedEvents,
} from "../src/typed_events.ts";
import { assertSseError } from "./support/assert_sse_error.ts";
import { deadline } from "./support/deadline.ts";
import { microtasks } from "./support/microtasks.ts";
import { OpenResponse } from "./support/open_response.ts";

type Validate<Output> = StandardSchema<Output>["~standard"]["validate"];

function schemaOf<Output>(validate: Validate<Output>): StandardSchema<Output> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

const anything = schemaOf((value) => ({ value }));

const notANumber = [{ message: "Expected a number" }];

const number = schemaOf<number>((value) =>
  typeof value === "number" ? { value } : { issues: notANumber }
);

const END = { done: true, value: undefined } as const;

function event(name: string, data = "1"): ServerSentEvent {
  return new ServerSentEvent({ event: name, data });
}

/** A source of these events, which then says nothing until it is told to. */
class Source implements AsyncIterableIterator<ServerSentEvent> {
  /** How often an event was asked for. */
  asked = 0;
  /** How often `return` was called. */
  returns = 0;
  #events: ServerSentEvent[];
  #waiting:
    | PromiseWithResolvers<IteratorResult<ServerSentEvent>>
    | undefined;

  constructor(...events: ServerSentEvent[]) {
    this.#events = events;
  }

  end(): void {
    this.#waiting!.resolve({ done: true, value: undefined });
  }

  fail(error: unknown): void {
    this.#waiting!.reject(error);
  }

  next(): Promise<IteratorResult<ServerSentEvent>> {
    this.asked++;
    const value = this.#events.shift();
    if (value) return Promise.resolve({ done: false, value });
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  return(): Promise<IteratorResult<ServerSentEvent>> {
    this.returns++;
    this.#waiting?.resolve({ done: true, value: undefined });
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function* streamOf(...events: ServerSentEvent[]) {
  yield* events;
}

/** The `TypedEventError` with which the next event is refused. */
function refusal(
  events: { next(): Promise<unknown> },
): Promise<TypedEventError> {
  return assertRejects(() => events.next(), TypedEventError);
}

Deno.test("typedEvents gives each event's data as its schema does, and its other fields", async () => {
  const double = schemaOf((value) => ({ value: (value as number) * 2 }));
  const source = streamOf(
    new ServerSentEvent({ event: "n", data: "7", id: "1 ☃", retry: 0 }),
    new ServerSentEvent({ event: "o", data: '{"a":[null]}', id: "1 ☃" }),
    Object.assign(new ServerSentEvent({ data: '"no name"' }), { more: 1 }),
  );
  const events = typedEvents(source, {
    n: double,
    o: anything,
    message: anything,
  });
  assertEquals(await Array.fromAsync(events), [
    { event: "n", data: 14, id: "1 ☃", retry: 0 },
    { event: "o", data: { a: [null] }, id: "1 ☃", retry: undefined },
    { event: "message", data: "no name", id: "", retry: undefined },
  ]);
});

Deno.test("typedEvents waits for schemas that are asynchronous", async () => {
  const late = schemaOf(async (value) => {
    await Promise.resolve();
    return typeof value === "number"
      ? { value: `${value}` }
      : { issues: notANumber };
  });
  const events = typedEvents(streamOf(event("a"), event("a", "null")), {
    a: late,
  });
  const { value } = await events.next();
  assertEquals(value?.data, "1");
  const { issues } = await refusal(events);
  assertStrictEquals(issues, notANumber);
});

Deno.test("typedEvents takes a value that is undefined for valid", async () => {
  const nothing = schemaOf(() => ({ value: undefined }));
  const events = typedEvents(streamOf(event("a")), { a: nothing });
  assertEquals((await events.next()).value, {
    event: "a",
    data: undefined,
    id: "",
    retry: undefined,
  });
});

Deno.test("typedEvents passes over events without a schema", async () => {
  for (
    const options of [undefined, {}, { unknown: undefined }, {
      unknown: "skip" as const,
    }]
  ) {
    const events = typedEvents(
      streamOf(event("b", "no JSON"), event("a"), event("b")),
      { a: number },
      options,
    );
    const names = await Array.fromAsync(events, ({ event }) => event);
    assertEquals(names, ["a"]);
  }
});

Deno.test("typedEvents throws at an event without a schema where it is told to", async () => {
  const stranger = event("b");
  const source = new Source(event("a"), stranger);
  const events = typedEvents(source, { a: number }, { unknown: "throw" });
  await events.next();
  const error = await refusal(events);
  assertEquals(
    error.message,
    'Expected an event that has a schema, got "b": unknown: "skip" ignores it',
  );
  assertStrictEquals(error.event, stranger);
  assertEquals(error.issues, [{ message: error.message }]);
  assertEquals(source.returns, 1);
});

Deno.test("typedEvents knows no name that schemas merely inherit", async () => {
  const inherited = [
    "constructor",
    "toString",
    "hasOwnProperty",
    "__proto__",
    "a",
  ];
  for (const schemas of [{}, Object.create({ a: anything })]) {
    const source = streamOf(...inherited.map((name) => event(name)));
    assertEquals(await Array.fromAsync(typedEvents(source, schemas)), []);
    for (const name of inherited) {
      const source = streamOf(event(name));
      await refusal(typedEvents(source, schemas, { unknown: "throw" }));
    }
  }
});

Deno.test("typedEvents knows the names of Object.prototype where they have schemas", async () => {
  const names = ["constructor", "toString", "__proto__"];
  const schemas = Object.fromEntries(names.map((name) => [name, number]));
  Object.setPrototypeOf(schemas, null);
  const source = streamOf(...names.map((name) => event(name)));
  const events = typedEvents(source, schemas);
  assertEquals(await Array.fromAsync(events, ({ event }) => event), names);
});

Deno.test("typedEvents throws at data that is not JSON", async () => {
  const unparsable = new ServerSentEvent({ data: "[DONE]" });
  const source = new Source(unparsable);
  const events = typedEvents(source, { message: anything });
  const error = await refusal(events);
  assertEquals(
    error.message,
    'Expected the data of "message" to be JSON, got "[DONE]"',
  );
  assertStrictEquals(error.event, unparsable);
  assertEquals(error.issues, [{ message: error.message }]);
  assertInstanceOf(error.cause, SyntaxError);
  assertEquals(source.returns, 1);
});

Deno.test("typedEvents throws at data that does not validate", async () => {
  const wrong = event("a", '{"b":[1,"2"]}');
  const issues = [
    { message: "Expected a number", path: ["b", { key: 1 }] },
    { message: "No c", path: [Symbol("c")] },
    { message: "Too short", path: [] },
    { message: "Too late", path: undefined },
  ];
  const source = new Source(wrong);
  const events = typedEvents(source, { a: schemaOf(() => ({ issues })) });
  const error = await refusal(events);
  assertEquals(
    error.message,
    'Expected the data of "a" to match its schema: b.1: Expected a number; ' +
      "Symbol(c): No c; Too short; Too late",
  );
  assertStrictEquals(error.event, wrong);
  assertStrictEquals(error.issues, issues);
  assertEquals(Object.hasOwn(error, "cause"), false);
  assertEquals(source.returns, 1);
});

Deno.test("typedEvents takes issues for a refusal, even none", async () => {
  const events = typedEvents(streamOf(event("a")), {
    a: schemaOf(() => ({ issues: [], value: 1 })),
  });
  assertEquals((await refusal(events)).issues, []);
});

const broken = new RangeError("Invalid time value");
const failing: [string, Validate<unknown>][] = [
  ["throws", () => {
    throw broken;
  }],
  ["rejects", () => Promise.reject(broken)],
];

for (const [how, validate] of failing) {
  Deno.test(`typedEvents says of which event a schema ${how}`, async () => {
    const bad = event("a");
    const source = new Source(bad);
    const error = await refusal(
      typedEvents(source, { a: schemaOf(validate) }),
    );
    assertEquals(
      error.message,
      'Expected the schema of "a" to validate its data, but it threw ' +
        "RangeError: Invalid time value",
    );
    assertStrictEquals(error.event, bad);
    assertStrictEquals(error.cause, broken);
    assertEquals(error.issues, [{ message: error.message }]);
    assertEquals(source.returns, 1);
  });
}

Deno.test("TypedEventError shows no more than the start of what is long", async () => {
  for (const [length, shown] of [[200, 200], [201, 200]]) {
    const { message } = await refusal(
      typedEvents(streamOf(event("a", "x".repeat(length))), { a: anything }),
    );
    const rest = length > shown ? "…" : "";
    assertStringIncludes(message, `, got "${"x".repeat(shown)}${rest}"`);
  }
  const long = "x".repeat(1e6);
  const schemas = {
    b: schemaOf(() => ({ issues: [{ message: long }] })),
    c: schemaOf(() => {
      throw new Error(long);
    }),
  };
  for (
    const it of [event(long), event("a", long), event("b"), event("c")]
  ) {
    const { message } = await refusal(
      typedEvents(streamOf(it), { a: anything, ...schemas }, {
        unknown: "throw",
      }),
    );
    assertStringIncludes(message, "xxx…");
    assert(message.length < 300, `The message has ${message.length}`);
  }
});

Deno.test("TypedEventError has a name, and its message as its issue by default", () => {
  const it = event("a");
  const error = new TypedEventError(it, "Wrong", { cause: broken });
  assertEquals(String(error), "TypedEventError: Wrong");
  assertEquals(Object.hasOwn(error, "name"), false);
  assertStrictEquals(error.event, it);
  assertStrictEquals(error.cause, broken);
  assertEquals(error.issues, [{ message: "Wrong" }]);
  assertEquals(new TypedEventError(it, "", { issues: [] }).issues, []);
});

Deno.test("typedEvents reads nothing that nobody has asked for", async () => {
  const source = new Source(event("a"), event("b"), event("a"), event("a"));
  const events = typedEvents(source, { a: number });
  assertEquals(source.asked, 0);
  await events.next();
  assertEquals(source.asked, 1);
  await events.next();
  assertEquals(source.asked, 3);
  assertEquals(source.returns, 0);
});

Deno.test("typedEvents goes on where an iterator was left", async () => {
  const source = streamOf(event("a", "1"), event("a", "2"), event("a", "3"));
  await source.next();
  const events = typedEvents(source, { a: number });
  assertEquals((await events.next()).value?.data, 2);
  assertEquals(await Array.fromAsync(events, ({ data }) => data), [3]);
});

Deno.test("typedEvents answers overlapping calls in order, and asks for one event at a time", async () => {
  const slow = Promise.withResolvers<{ value: string }>();
  const source = new Source(event("skipped"), event("slow"), event("a"));
  const events = typedEvents(source, {
    slow: schemaOf(() => slow.promise),
    a: number,
  });
  const answers: unknown[] = [];
  const calls = [1, 2, 3].map(async () => {
    const { value, done } = await events.next();
    answers.push(done ? "the end" : value.data);
  });
  await microtasks(50);
  assertEquals(source.asked, 2);
  assertEquals(answers, []);
  slow.resolve({ value: "slow" });
  await Promise.all(calls.slice(0, 2));
  assertEquals(answers, ["slow", 1]);
  assertEquals(source.asked, 4);
  source.end();
  await calls[2];
  assertEquals(answers, ["slow", 1, "the end"]);
});

Deno.test("typedEvents ends with its source, which it then leaves alone", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  await events.next();
  const last = events.next();
  source.end();
  assertEquals(await last, END);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.asked, 2);
  assertEquals(source.returns, 0);
});

Deno.test("typedEvents throws on what its source throws, and then leaves it alone", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  await events.next();
  const next = events.next();
  source.fail(broken);
  assertStrictEquals(await assertRejects(() => next), broken);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.asked, 2);
  assertEquals(source.returns, 0);
});

Deno.test("typedEvents is over after an event that it refuses", async () => {
  const source = new Source(event("a", "null"), event("a"));
  const events = typedEvents(source, { a: number });
  await refusal(events);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.asked, 1);
  assertEquals(source.returns, 1);
});

const leavings: [string, (events: AsyncIterable<unknown>) => Promise<void>][] =
  [
    ["break", async (events) => {
      for await (const _ of events) break;
    }],
    ["an error", async (events) => {
      const error = await assertRejects(async () => {
        for await (const _ of events) throw broken;
      });
      assertStrictEquals(error, broken);
    }],
    ["return", async (events) => {
      await (async () => {
        for await (const _ of events) return;
      })();
    }],
  ];

for (const [how, leave] of leavings) {
  Deno.test(`leaving the loop over typedEvents with ${how} closes the source, once`, async () => {
    const source = new Source(event("a"), event("a"));
    const events = typedEvents(source, { a: number });
    await leave(events);
    assertEquals(source.returns, 1);
    await events.return!();
    assertEquals(await events.next(), END);
    assertEquals(source.asked, 1);
    assertEquals(source.returns, 1);
  });
}

Deno.test("leaving the loop over typedEvents waits for the source to close", async () => {
  let closed = false;
  async function* source() {
    try {
      yield event("a");
    } finally {
      await new Promise((resolve) => setTimeout(resolve));
      closed = true;
    }
  }
  for await (const _ of typedEvents(source(), { a: number })) break;
  assert(closed);

  closed = false;
  const events = typedEvents(source(), { a: schemaOf(() => ({ issues: [] })) });
  await refusal(events);
  assert(closed);
});

Deno.test("leaving the loop over typedEvents throws where the source cannot be closed", async () => {
  const source = new Source(event("a"));
  source.return = () => Promise.reject(broken);
  const error = await assertRejects(async () => {
    for await (const _ of typedEvents(source, { a: number })) break;
  });
  assertStrictEquals(error, broken);
});

Deno.test("typedEvents throws what is wrong with an event also where the source cannot be closed", async () => {
  for (
    const cannotClose of [
      () => Promise.reject(broken),
      () => {
        throw broken;
      },
    ]
  ) {
    const source = new Source(event("a", "null"));
    source.return = cannotClose;
    await refusal(typedEvents(source, { a: number }));
  }
});

Deno.test("typedEvents can leave a source that has no return()", async () => {
  const sourceOf = (...events: ServerSentEvent[]) => ({
    [Symbol.asyncIterator]() {
      const source = streamOf(...events);
      return { next: () => source.next() };
    },
  });
  for await (const _ of typedEvents(sourceOf(event("a")), { a: number })) break;
  await refusal(typedEvents(sourceOf(event("a", "null")), { a: number }));
});

Deno.test("return() of typedEvents lets go of a source that was never read", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  assertEquals(await events.return!(), END);
  assertEquals(source.returns, 1);
  assertEquals(await events.next(), END);
  assertEquals(source.asked, 0);
});

Deno.test("return() of typedEvents ends the calls that wait for an event", async () => {
  const source = new Source();
  const events = typedEvents(source, { a: number });
  const pending = [events.next(), events.next()];
  await microtasks(50);
  await deadline(events.return!(), "return()");
  for (const next of pending) {
    assertEquals(await deadline(next, "next()"), END);
  }
  assertEquals(source.asked, 1);
  assertEquals(source.returns, 1);
});

Deno.test("return() of typedEvents loses no event that is being validated", async () => {
  const slow = Promise.withResolvers<{ value: string }>();
  const source = new Source(event("a"), event("a"));
  const events = typedEvents(source, { a: schemaOf(() => slow.promise) });
  const pending = events.next();
  await microtasks(50);
  await deadline(events.return!(), "return()");
  slow.resolve({ value: "late" });
  assertEquals((await pending).value?.data, "late");
  assertEquals(await events.next(), END);
  assertEquals(source.asked, 1);
});

Deno.test("return() of typedEvents stops a search for an event that has a schema", async () => {
  // A source that cannot be told to stop.
  let asked = 0;
  const waiting: ((result: IteratorResult<ServerSentEvent>) => void)[] = [];
  const source = {
    next: () => {
      asked++;
      return new Promise<IteratorResult<ServerSentEvent>>((resolve) =>
        waiting.push(resolve)
      );
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  const events = typedEvents(source, { a: number });
  const pending = events.next();
  await events.return!();
  waiting[0]({ done: false, value: event("b") });
  assertEquals(await deadline(pending, "next()"), END);
  assertEquals(asked, 1);
});

Deno.test("closing the connection ends typedEvents while it waits for an event", async () => {
  const stream = new OpenResponse('data: {"n":1}\n\n');
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
  });
  const events = typedEvents(sse, { message: anything });
  assertEquals((await events.next()).value?.data, { n: 1 });
  const pending = events.next();
  await sse.close();
  assertEquals(await deadline(pending, "next()"), END);
  await stream.cancelled;
});

Deno.test("return() of typedEvents closes the connection while it waits for an event", async () => {
  const stream = new OpenResponse();
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
  });
  const events = typedEvents(sse, { message: anything });
  const pending = events.next();
  await deadline(events.return!(), "return()");
  await deadline(pending, "next()");
  await stream.cancelled;
});

Deno.test("an event that typedEvents refuses closes the connection", async () => {
  const stream = new OpenResponse("data: [DONE]\n\n");
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
  });
  await refusal(typedEvents(sse, { message: anything }));
  await stream.cancelled;
});

Deno.test("typedEvents throws on the error of a connection", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
  });
  const events = typedEvents(sse, { message: anything });
  await events.next();
  stream.fail(broken);
  const error = await assertSseError(events.next(), "network");
  assertStrictEquals(error.cause, broken);
});

Deno.test("typedEvents reads a stream of events", async () => {
  const { body } = new Response("data: 1\n\ndata: 2\n\n");
  const stream = body!.pipeThrough(new SseEventStream());
  const events = typedEvents(stream, { message: number });
  assertEquals(await Array.fromAsync(events, ({ data }) => data), [1, 2]);
});

Deno.test("return() of typedEvents cancels a stream while it waits for an event", async () => {
  const { response, cancelled } = new OpenResponse();
  const stream = response.body!.pipeThrough(new SseEventStream());
  const events = typedEvents(stream, { message: number });
  const pending = events.next();
  await deadline(events.return!(), "return()");
  assertEquals(await deadline(pending, "next()"), END);
  await cancelled;
});

Deno.test("typedEvents throws on the error of a stream", async () => {
  const stream = new ReadableStream<ServerSentEvent>({
    pull(controller) {
      controller.error(broken);
    },
  });
  const events = typedEvents(stream, { message: number });
  assertStrictEquals(await assertRejects(() => events.next()), broken);
  assertEquals(await events.return!(), END);
});

Deno.test("cancelling a stream made from typedEvents closes the source at once", async () => {
  const source = new Source();
  const stream = ReadableStream.from(typedEvents(source, { a: number }));
  await deadline(stream.cancel(), "the stream to be cancelled");
  assertEquals(source.returns, 1);
});

Deno.test("typedEvents says at once what is wrong with what it is given", () => {
  const source = new Source();
  const wrong: [unknown[], string][] = [
    [
      [undefined, {}],
      "Expected events to be iterable or a ReadableStream, got undefined",
    ],
    [
      [Promise.resolve(source), {}],
      "Expected events to be iterable or a ReadableStream, got [object Promise]",
    ],
    [
      [source, {}, { unknown: "ignore" }],
      'Expected unknown to be "skip" or "throw", got "ignore"',
    ],
    [
      [source, { a: anything, b: undefined }],
      'Expected the schema of "b" to be a Standard Schema, got undefined',
    ],
    [
      [source, { a: { parse() {} } }],
      'Expected the schema of "a" to be a Standard Schema, got [object Object]',
    ],
    [
      [source, { a: { "~standard": { version: 1 } } }],
      'Expected the schema of "a" to be a Standard Schema, got [object Object]',
    ],
  ];
  for (const [args, message] of wrong) {
    assertThrows(
      () => Reflect.apply(typedEvents, undefined, args),
      TypeError,
      message,
    );
  }
  assertEquals(source.returns, 0);
});

Deno.test("typedEvents calls a schema's validate as a method", async () => {
  const schema: StandardSchema = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate() {
        return { value: this.vendor };
      },
    },
  };
  const events = typedEvents(streamOf(event("a")), { a: schema });
  assertEquals((await events.next()).value?.data, "test");
});

Deno.test("typedEvents takes a schema that is a function", async () => {
  const schema = Object.assign(() => {}, number);
  const events = typedEvents(streamOf(event("a")), { a: schema });
  assertEquals((await events.next()).value?.data, 1);
});

Deno.test("typedEvents leaves a stream unlocked, as a loop over it does", async () => {
  const streamed = () => ReadableStream.from([event("a"), event("a")]);
  const whole = streamed();
  await Array.fromAsync(typedEvents(whole, { a: anything }));
  assertEquals(whole.locked, false);
  const left = streamed();
  for await (const _ of typedEvents(left, { a: anything })) break;
  assertEquals(left.locked, false);
  const waiting = new ReadableStream<ServerSentEvent>();
  const iterator = typedEvents(waiting, { a: anything });
  const pending = iterator.next();
  await iterator.return!();
  assertEquals(waiting.locked, false);
  assertEquals(await pending, END);
  const broken = new ReadableStream<ServerSentEvent>({
    pull: (controller) => controller.error(new Error("gone")),
  });
  await assertRejects(
    () => Array.fromAsync(typedEvents(broken, { a: anything })),
    Error,
    "gone",
  );
  assertEquals(broken.locked, false);
});
