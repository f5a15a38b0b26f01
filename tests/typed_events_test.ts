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

/** A source that yields these events, and then waits for calls of the test. */
class Source implements AsyncIterableIterator<ServerSentEvent> {
  /** The number of calls of `next`. */
  nextCalls = 0;
  /** The number of calls of `return`. */
  returnCalls = 0;
  #events: ServerSentEvent[];
  #pendingNext:
    | PromiseWithResolvers<IteratorResult<ServerSentEvent>>
    | undefined;

  constructor(...events: ServerSentEvent[]) {
    this.#events = events;
  }

  end(): void {
    this.#pendingNext!.resolve({ done: true, value: undefined });
  }

  fail(error: unknown): void {
    this.#pendingNext!.reject(error);
  }

  next(): Promise<IteratorResult<ServerSentEvent>> {
    this.nextCalls++;
    const value = this.#events.shift();
    if (value) return Promise.resolve({ done: false, value });
    this.#pendingNext = Promise.withResolvers();
    return this.#pendingNext.promise;
  }

  return(): Promise<IteratorResult<ServerSentEvent>> {
    this.returnCalls++;
    this.#pendingNext?.resolve({ done: true, value: undefined });
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function* streamOf(...events: ServerSentEvent[]) {
  yield* events;
}

/** Returns the `TypedEventError` that `next()` rejects with. */
function nextError(
  events: { next(): Promise<unknown> },
): Promise<TypedEventError> {
  return assertRejects(() => events.next(), TypedEventError);
}

Deno.test("typedEvents returns the output of each event's schema, and keeps the other fields", async () => {
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

Deno.test("typedEvents awaits asynchronous schemas", async () => {
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
  const { issues } = await nextError(events);
  assertStrictEquals(issues, notANumber);
});

Deno.test("typedEvents accepts undefined as the output of a schema", async () => {
  const nothing = schemaOf(() => ({ value: undefined }));
  const events = typedEvents(streamOf(event("a")), { a: nothing });
  assertEquals((await events.next()).value, {
    event: "a",
    data: undefined,
    id: "",
    retry: undefined,
  });
});

Deno.test('typedEvents skips events without a schema unless unknown is "throw"', async () => {
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

Deno.test('typedEvents throws at an event without a schema if unknown is "throw"', async () => {
  const stranger = event("b");
  const source = new Source(event("a"), stranger);
  const events = typedEvents(source, { a: number }, { unknown: "throw" });
  await events.next();
  const error = await nextError(events);
  assertEquals(
    error.message,
    'Expected an event that has a schema, got "b": unknown: "skip" ignores it',
  );
  assertStrictEquals(error.event, stranger);
  assertEquals(error.issues, [{ message: error.message }]);
  assertEquals(source.returnCalls, 1);
});

Deno.test("typedEvents ignores inherited properties of schemas", async () => {
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
      await nextError(typedEvents(source, schemas, { unknown: "throw" }));
    }
  }
});

Deno.test("typedEvents uses schemas whose names are those of Object.prototype", async () => {
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
  const error = await nextError(events);
  assertEquals(
    error.message,
    'Expected the data of "message" to be JSON, got "[DONE]"',
  );
  assertStrictEquals(error.event, unparsable);
  assertEquals(error.issues, [{ message: error.message }]);
  assertInstanceOf(error.cause, SyntaxError);
  assertEquals(source.returnCalls, 1);
});

Deno.test("typedEvents throws at data that its schema rejects", async () => {
  const wrong = event("a", '{"b":[1,"2"]}');
  const issues = [
    { message: "Expected a number", path: ["b", { key: 1 }] },
    { message: "No c", path: [Symbol("c")] },
    { message: "Too short", path: [] },
    { message: "Too late", path: undefined },
  ];
  const source = new Source(wrong);
  const events = typedEvents(source, { a: schemaOf(() => ({ issues })) });
  const error = await nextError(events);
  assertEquals(
    error.message,
    'Expected the data of "a" to match its schema: b.1: Expected a number; ' +
      "Symbol(c): No c; Too short; Too late",
  );
  assertStrictEquals(error.event, wrong);
  assertStrictEquals(error.issues, issues);
  assertEquals(Object.hasOwn(error, "cause"), false);
  assertEquals(source.returnCalls, 1);
});

Deno.test("typedEvents throws if issues is an empty array", async () => {
  const events = typedEvents(streamOf(event("a")), {
    a: schemaOf(() => ({ issues: [], value: 1 })),
  });
  assertEquals((await nextError(events)).issues, []);
});

const broken = new RangeError("Invalid time value");
const failing: [string, Validate<unknown>][] = [
  ["throws", () => {
    throw broken;
  }],
  ["rejects", () => Promise.reject(broken)],
];

for (const [how, validate] of failing) {
  Deno.test(`typedEvents throws an error with the event if its schema ${how}`, async () => {
    const bad = event("a");
    const source = new Source(bad);
    const error = await nextError(
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
    assertEquals(source.returnCalls, 1);
  });
}

Deno.test("TypedEventError quotes only the start of long texts", async () => {
  for (const [length, shown] of [[200, 200], [201, 200]]) {
    const { message } = await nextError(
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
    const { message } = await nextError(
      typedEvents(streamOf(it), { a: anything, ...schemas }, {
        unknown: "throw",
      }),
    );
    assertStringIncludes(message, "xxx…");
    assert(message.length < 300, `The message has ${message.length}`);
  }
});

Deno.test("TypedEventError has a name, and its message as the only issue by default", () => {
  const it = event("a");
  const error = new TypedEventError(it, "Wrong", { cause: broken });
  assertEquals(String(error), "TypedEventError: Wrong");
  assertEquals(Object.hasOwn(error, "name"), false);
  assertStrictEquals(error.event, it);
  assertStrictEquals(error.cause, broken);
  assertEquals(error.issues, [{ message: "Wrong" }]);
  assertEquals(new TypedEventError(it, "", { issues: [] }).issues, []);
});

Deno.test("typedEvents reads events only on demand", async () => {
  const source = new Source(event("a"), event("b"), event("a"), event("a"));
  const events = typedEvents(source, { a: number });
  assertEquals(source.nextCalls, 0);
  await events.next();
  assertEquals(source.nextCalls, 1);
  await events.next();
  assertEquals(source.nextCalls, 3);
  assertEquals(source.returnCalls, 0);
});

Deno.test("typedEvents continues an iterator that was partly read", async () => {
  const source = streamOf(event("a", "1"), event("a", "2"), event("a", "3"));
  await source.next();
  const events = typedEvents(source, { a: number });
  assertEquals((await events.next()).value?.data, 2);
  assertEquals(await Array.fromAsync(events, ({ data }) => data), [3]);
});

Deno.test("typedEvents resolves overlapping calls in order, and reads one event at a time", async () => {
  const slow = Promise.withResolvers<{ value: string }>();
  const source = new Source(event("skipped"), event("slow"), event("a"));
  const events = typedEvents(source, {
    slow: schemaOf(() => slow.promise),
    a: number,
  });
  const results: unknown[] = [];
  const calls = [1, 2, 3].map(async () => {
    const { value, done } = await events.next();
    results.push(done ? "the end" : value.data);
  });
  await microtasks(50);
  assertEquals(source.nextCalls, 2);
  assertEquals(results, []);
  slow.resolve({ value: "slow" });
  await Promise.all(calls.slice(0, 2));
  assertEquals(results, ["slow", 1]);
  assertEquals(source.nextCalls, 4);
  source.end();
  await calls[2];
  assertEquals(results, ["slow", 1, "the end"]);
});

Deno.test("typedEvents ends when its source ends, and then neither reads nor closes it", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  await events.next();
  const last = events.next();
  source.end();
  assertEquals(await last, END);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.nextCalls, 2);
  assertEquals(source.returnCalls, 0);
});

Deno.test("typedEvents throws the error of its source, and then neither reads nor closes it", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  await events.next();
  const next = events.next();
  source.fail(broken);
  assertStrictEquals(await assertRejects(() => next), broken);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.nextCalls, 2);
  assertEquals(source.returnCalls, 0);
});

Deno.test("typedEvents ends after an event that its schema rejects", async () => {
  const source = new Source(event("a", "null"), event("a"));
  const events = typedEvents(source, { a: number });
  await nextError(events);
  assertEquals(await events.next(), END);
  assertEquals(await events.return!(), END);
  assertEquals(source.nextCalls, 1);
  assertEquals(source.returnCalls, 1);
});

const exits: [string, (events: AsyncIterable<unknown>) => Promise<void>][] = [
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

for (const [how, leave] of exits) {
  Deno.test(`typedEvents closes the source once if the loop is left with ${how}`, async () => {
    const source = new Source(event("a"), event("a"));
    const events = typedEvents(source, { a: number });
    await leave(events);
    assertEquals(source.returnCalls, 1);
    await events.return!();
    assertEquals(await events.next(), END);
    assertEquals(source.nextCalls, 1);
    assertEquals(source.returnCalls, 1);
  });
}

Deno.test("typedEvents waits until the source has closed", async () => {
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
  await nextError(events);
  assert(closed);
});

Deno.test("typedEvents throws if the loop is left and the source fails to close", async () => {
  const source = new Source(event("a"));
  source.return = () => Promise.reject(broken);
  const error = await assertRejects(async () => {
    for await (const _ of typedEvents(source, { a: number })) break;
  });
  assertStrictEquals(error, broken);
});

Deno.test("typedEvents closes the source if a schema returns no result of a Standard Schema", async () => {
  for (const result of [undefined, null, { issues: 1 }, { issues: [null] }]) {
    const source = new Source(event("a"));
    const validate = (() => result) as unknown as Validate<number>;
    const events = typedEvents(source, { a: schemaOf(validate) });
    assertInstanceOf((await nextError(events)).cause, TypeError);
    assertEquals(source.returnCalls, 1);
    assertEquals(await events.next(), END);
  }
});

Deno.test("typedEvents throws the TypedEventError also if the source fails to close", async () => {
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
    await nextError(typedEvents(source, { a: number }));
  }
});

Deno.test("typedEvents supports a source without return()", async () => {
  const sourceOf = (...events: ServerSentEvent[]) => ({
    [Symbol.asyncIterator]() {
      const source = streamOf(...events);
      return { next: () => source.next() };
    },
  });
  for await (const _ of typedEvents(sourceOf(event("a")), { a: number })) break;
  await nextError(typedEvents(sourceOf(event("a", "null")), { a: number }));
});

Deno.test("return() of typedEvents closes a source that was never read", async () => {
  const source = new Source(event("a"));
  const events = typedEvents(source, { a: number });
  assertEquals(await events.return!(), END);
  assertEquals(source.returnCalls, 1);
  assertEquals(await events.next(), END);
  assertEquals(source.nextCalls, 0);
});

Deno.test("return() of typedEvents ends pending calls of next()", async () => {
  const source = new Source();
  const events = typedEvents(source, { a: number });
  const pending = [events.next(), events.next()];
  await microtasks(50);
  await deadline(events.return!(), "return()");
  for (const next of pending) {
    assertEquals(await deadline(next, "next()"), END);
  }
  assertEquals(source.nextCalls, 1);
  assertEquals(source.returnCalls, 1);
});

Deno.test("return() of typedEvents is followed by no event, even if one is being validated", async () => {
  const slow = Promise.withResolvers<{ value: string }>();
  const source = new Source(event("a"), event("a"));
  const events = typedEvents(source, { a: schemaOf(() => slow.promise) });
  const pending = events.next();
  await microtasks(50);
  await deadline(events.return!(), "return()");
  slow.resolve({ value: "late" });
  assertEquals(await pending, END);
  assertEquals(await events.next(), END);
  assertEquals(source.nextCalls, 1);
});

Deno.test("return() of typedEvents is followed by no event, even if a generator cannot be closed yet", async () => {
  const gate = Promise.withResolvers<void>();
  let validated = 0;
  async function* source() {
    await gate.promise;
    yield event("a");
  }
  const schema = schemaOf(() => ({ value: ++validated }));
  const events = typedEvents(source(), { a: schema });
  const pending = events.next();
  await microtasks(50);
  const returned = events.return!();
  gate.resolve();
  assertEquals(await deadline(returned, "return()"), END);
  assertEquals(await pending, END);
  assertEquals(validated, 0);
});

Deno.test("return() of typedEvents is followed by no error of a schema or of the source", async () => {
  const slow = Promise.withResolvers<{ value: string }>();
  const schema = schemaOf(() => slow.promise);
  const validating = typedEvents(new Source(event("a")), { a: schema });
  const gate = Promise.withResolvers<void>();
  async function* failing() {
    await gate.promise;
    yield await Promise.reject(broken);
  }
  const reading = typedEvents(failing(), { a: number });
  const pending = [validating.next(), reading.next()];
  await microtasks(50);
  await deadline(validating.return!(), "return()");
  const returned = reading.return!();
  slow.reject(broken);
  gate.resolve();
  assertEquals(await deadline(returned, "return()"), END);
  assertEquals(await Promise.all(pending), [END, END]);
});

Deno.test("return() of typedEvents ends a call that skips events without a schema", async () => {
  // A source without return().
  let nextCalls = 0;
  const pendingReads: ((result: IteratorResult<ServerSentEvent>) => void)[] =
    [];
  const source = {
    next: () => {
      nextCalls++;
      return new Promise<IteratorResult<ServerSentEvent>>((resolve) =>
        pendingReads.push(resolve)
      );
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  const events = typedEvents(source, { a: number });
  const pending = events.next();
  await events.return!();
  pendingReads[0]({ done: false, value: event("b") });
  assertEquals(await deadline(pending, "next()"), END);
  assertEquals(nextCalls, 1);
});

Deno.test("typedEvents ends if the connection is closed while next() is pending", async () => {
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

Deno.test("return() of typedEvents closes the connection while next() is pending", async () => {
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

Deno.test("typedEvents closes the connection at data that is not JSON", async () => {
  const stream = new OpenResponse("data: [DONE]\n\n");
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
  });
  await nextError(typedEvents(sse, { message: anything }));
  await stream.cancelled;
});

Deno.test("typedEvents throws the error of a connection", async () => {
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

Deno.test("typedEvents reads a ReadableStream", async () => {
  const { body } = new Response("data: 1\n\ndata: 2\n\n");
  const stream = body!.pipeThrough(new SseEventStream());
  const events = typedEvents(stream, { message: number });
  assertEquals(await Array.fromAsync(events, ({ data }) => data), [1, 2]);
});

Deno.test("return() of typedEvents cancels a stream while next() is pending", async () => {
  const { response, cancelled } = new OpenResponse();
  const stream = response.body!.pipeThrough(new SseEventStream());
  const events = typedEvents(stream, { message: number });
  const pending = events.next();
  await deadline(events.return!(), "return()");
  assertEquals(await deadline(pending, "next()"), END);
  await cancelled;
});

Deno.test("typedEvents throws the error of a stream", async () => {
  const stream = new ReadableStream<ServerSentEvent>({
    pull(controller) {
      controller.error(broken);
    },
  });
  const events = typedEvents(stream, { message: number });
  assertStrictEquals(await assertRejects(() => events.next()), broken);
  assertEquals(await events.return!(), END);
});

Deno.test("typedEvents closes its source when a stream made from it is canceled", async () => {
  const source = new Source();
  const stream = ReadableStream.from(typedEvents(source, { a: number }));
  await deadline(stream.cancel(), "the stream to be canceled");
  assertEquals(source.returnCalls, 1);
});

Deno.test("typedEvents throws a TypeError at invalid arguments", () => {
  const source = new Source();
  const wrong: [unknown[], string][] = [
    [
      [undefined, {}],
      "Expected an iterable or a ReadableStream, got undefined",
    ],
    [
      [Promise.resolve(source), {}],
      "Expected an iterable or a ReadableStream, got [object Promise]",
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
  assertEquals(source.returnCalls, 0);
});

Deno.test("typedEvents calls a schema's validate() as a method", async () => {
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

Deno.test("typedEvents accepts a schema that is a function", async () => {
  const schema = Object.assign(() => {}, number);
  const events = typedEvents(streamOf(event("a")), { a: schema });
  assertEquals((await events.next()).value?.data, 1);
});

Deno.test("typedEvents unlocks a stream when it ends, as a loop does", async () => {
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

Deno.test("typedEvents settles overlapping calls in order, also 20,000 of them", async () => {
  const count = 20_000;
  const source = Array.from(
    { length: 3 },
    (_, i) => new ServerSentEvent({ event: "n", data: String(i) }),
  );
  const typed = typedEvents(source, { n: number });
  const order: number[] = [];
  const calls = Array.from(
    { length: count },
    (_, i) =>
      typed.next().then(({ done }) => {
        order.push(i);
        return done;
      }),
  );
  const results = await deadline(Promise.all(calls), "all calls");
  assertEquals(results.slice(0, 4), [false, false, false, true]);
  assertEquals(order, Array.from({ length: count }, (_, i) => i));
});
