/** Tests the programs of llm_chat.md, and the examples that it links to. */
import {
  assert,
  assertEquals,
  assertIsError,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { GoogleGenAI } from "npm:@google/genai@3.3.0";
import OpenAI from "npm:openai@7.57.0";
import { connectSse, SseError } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { run, serve } from "../support/run_example.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

function chunks(...values: unknown[]): string {
  return values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("");
}

const DONE = "data: [DONE]\n\n";
const busy = () =>
  new Response("Busy", { status: 503, headers: { "Retry-After": "0" } });
const token = (content: string) => ({ choices: [{ delta: { content } }] });
/** The first event of OpenAI's answers, with a reconnection time of 1 ms. */
const role = "retry: 1\n" +
  chunks({ choices: [{ delta: { role: "assistant", content: "" } }] });
const whole = role +
  chunks(token("Hel"), token("lo"), { choices: [], usage: {} }) + DONE;

/** Returns a response whose body fails after this text. */
function brokenResponse(text: string): Response {
  async function* body() {
    yield new TextEncoder().encode(text);
    await Promise.reject(new TypeError("reset"));
  }
  return new Response(ReadableStream.from(body()), {
    headers: { "content-type": "text/event-stream" },
  });
}

const CHAT = "Greet the world.";

/** Runs the first program, which is expected to fail with an SseError. */
async function chatError(): Promise<SseError> {
  return await assertRejects(
    () => runBlock("llm_chat", CHAT),
    SseError,
  );
}

Deno.test("llm_chat: the client retries until the first token, also after an event without a token", async () => {
  using api = answer((_, index) =>
    [
      eventResponse(role),
      busy(),
      eventResponse(whole),
    ][index]
  );
  using output = logged();
  await runBlock("llm_chat", CHAT);
  assertEquals(output.lines, [["Hello"]]);
  const bodies = await Promise.all(api.requests.map((it) => it.json()));
  assertEquals(bodies.length, 3);
  for (const body of bodies) assertEquals(body, bodies[0]);
  assertEquals(bodies[0].messages, [{ role: "user", content: CHAT }]);
});

Deno.test("llm_chat: the client sends at most five requests", async () => {
  using cutOff = answer(() => eventResponse(role));
  assertEquals((await chatError()).code, "truncated");
  assertEquals(cutOff.requests.length, 5);

  using refused = answer((_, index) =>
    index === 0 ? eventResponse(role) : busy()
  );
  const { code, response, body } = await chatError();
  assertEquals([code, response?.status, body], ["status", 503, "Busy"]);
  assertEquals(refused.requests.length, 5);
});

Deno.test("llm_chat: the client does not retry after the first token", async () => {
  using ended = answer(() => eventResponse(role + chunks(token("Hel"))));
  assertEquals((await chatError()).code, "truncated");
  assertEquals(ended.requests.length, 1);

  using broken = answer(() => brokenResponse(role + chunks(token("Hel"))));
  assertEquals((await chatError()).code, "network");
  assertEquals(broken.requests.length, 1);
});

Deno.test("llm_chat: the client throws without a retry if the request is rejected or the response is no stream", async () => {
  using rejected = answer(() => new Response("no such key", { status: 401 }));
  const status = await chatError();
  assertEquals([status.code, status.body], ["status", "no such key"]);
  assertEquals(rejected.requests.length, 1);

  using json = answer(() => Response.json({ choices: [] }));
  const type = await chatError();
  assertEquals([type.code, type.body], ["content-type", '{"choices":[]}']);
  assertEquals(json.requests.length, 1);
});

Deno.test("llm_chat: the client throws the message of an error in the stream", async () => {
  using api = answer(() =>
    eventResponse(chunks({ error: { message: "Overloaded" } }))
  );
  const error = await assertRejects(() => runBlock("llm_chat", CHAT));
  assertIsError(error, Error, "Overloaded");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: resume: false does not retry after an event without a token", async () => {
  const requests: Request[] = [];
  const sse = await connectSse("http://localhost/", {
    fetch(request) {
      requests.push(request);
      return eventResponse(requests.length === 1 ? "retry: 1\n\n" : role);
    },
    until: "[DONE]",
    reconnect: { resume: false, maxAttempts: 5 },
  });
  await sse.next();
  const error = await assertRejects(() => sse.next(), SseError);
  assertEquals(error.code, "truncated");
  // The retry after the empty stream, and none after the role.
  assertEquals(requests.length, 2);
});

Deno.test("llm_chat: maxAttempts is not a limit for events without a token", async () => {
  let requests = 0;
  const sse = await connectSse("http://localhost/", {
    fetch: () => eventResponse(++requests < 10 ? role : DONE),
    until: "[DONE]",
    reconnect: { maxAttempts: 1 },
  });
  assertEquals((await Array.fromAsync(sse)).length, 9);
  assertEquals(requests, 10);
});

Deno.test("llm_chat: the client handles each error by its code", async () => {
  const program = () => runBlock("llm_chat", "switch (error.code)");
  const half = role + chunks(token("Hel"));
  const cases: [Response, unknown[]][] = [
    [new Response("no such key", { status: 401 }), [401, "no such key"]],
    [eventResponse(half), ["Incomplete after 3 characters:", "Hel"]],
    [brokenResponse(half), ["Incomplete after 3 characters:", "Hel"]],
  ];
  for (const [response, expected] of cases) {
    using _ = answer(() => response);
    using output = logged("error");
    await program();
    assertEquals(output.lines, [expected]);
  }
  {
    using _ = answer(() => eventResponse(whole));
    using output = logged("error");
    await program();
    assertEquals(output.lines, []);
  }
  using _ = answer(() => eventResponse(chunks({ error: { message: "No" } })));
  assertIsError(await assertRejects(program), Error, "No");
});

/** The program that retries errors in the stream. */
// deno-lint-ignore no-explicit-any
async function askWithRetries(): Promise<any> {
  const { ask } = await runBlock("llm_chat", "MAX_REQUESTS");
  return ask;
}

/** Collects tokens, while the delays of the program pass at once. */
async function collect(tokens: AsyncIterable<string>): Promise<string> {
  using time = new FakeTime();
  let isDone = false;
  const text = Array.fromAsync(tokens).finally(() => isDone = true);
  text.catch(() => {});
  while (!isDone) await time.tickAsync(250);
  return (await text).join("");
}

const overloaded = chunks({ error: { message: "Overloaded" } });

Deno.test("llm_chat: the loop retries an error in the stream until the first token", async () => {
  const ask = await askWithRetries();
  using api = answer((_, index) =>
    [
      eventResponse(overloaded),
      eventResponse(role),
      busy(),
      eventResponse(role + overloaded),
      eventResponse(whole),
    ][index]
  );
  assertEquals(await collect(ask("Why?")), "Hello");
  const bodies = await Promise.all(api.requests.map((it) => it.json()));
  assertEquals(
    bodies.map(({ messages }) => messages[0].content),
    Array(5).fill("Why?"),
  );
});

Deno.test("llm_chat: the loop sends at most five requests, and none after the first token", async () => {
  const ask = await askWithRetries();
  using always = answer(() => eventResponse(role + overloaded));
  const error = await assertRejects(() => collect(ask("Why?")));
  assertIsError(error, Error, "Overloaded");
  assertEquals(always.requests.length, 5);

  using cutOff = answer((_, index) =>
    eventResponse(index % 2 === 0 ? role : overloaded)
  );
  await assertRejects(() => collect(ask("Why?")), SseError);
  assertEquals(cutOff.requests.length, 5);

  using late = answer(() =>
    eventResponse(role + chunks(token("Hel")) + overloaded)
  );
  await assertRejects(() => collect(ask("Why?")), Error, "Overloaded");
  assertEquals(late.requests.length, 1);

  using lateEnd = answer(() => eventResponse(role + chunks(token("Hel"))));
  await assertRejects(() => collect(ask("Why?")), SseError);
  assertEquals(lateEnd.requests.length, 1);
});

/** Returns events of Anthropic's API. */
function anthropic(...events: { type: string; [key: string]: unknown }[]) {
  return events
    .map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`)
    .join("");
}
const start = { type: "message_start", message: { content: [] } };
const delta = (text: string) => ({
  type: "content_block_delta",
  index: 0,
  delta: { type: "text_delta", text },
});
const stop = { type: "message_stop" };
const message = anthropic(start, delta("Hel"), { type: "ping" }, delta("lo"));
const withoutNames = (stream: string) => stream.replace(/^event:.*\n/gm, "");

Deno.test("llm_chat: the Anthropic client finds the end with and without event: lines", async () => {
  const { ask } = await runBlock("llm_chat", "api.anthropic.com");
  const complete = message + anthropic(stop);
  for (const stream of [complete, withoutNames(complete)]) {
    // The stream stays open, so that only `until` ends the loop.
    const open = new OpenResponse(stream);
    using api = answer(() => open.response);
    assertEquals(await deadline(ask("Why?"), "the end"), "Hello");
    await open.cancelled;
    assertEquals(api.requests.length, 1);
  }
  for (const stream of [message, withoutNames(message)]) {
    using _ = answer(() => eventResponse(stream));
    const error = await assertRejects(() => ask("Why?"), SseError);
    assertEquals(error.code, "truncated");
  }
});

Deno.test("llm_chat: the Anthropic client retries status 529, and throws errors in the stream", async () => {
  const { ask } = await runBlock("llm_chat", "api.anthropic.com");
  using api = answer((_, index) =>
    [
      eventResponse("retry: 1\n" + anthropic(start)),
      new Response("Overloaded", { status: 529 }),
      eventResponse(message + anthropic(stop)),
    ][index]
  );
  assertEquals(await ask("Why?"), "Hello");
  assertEquals(api.requests.length, 3);

  using failing = answer(() =>
    eventResponse(
      message +
        anthropic({
          type: "error",
          error: { type: "overloaded_error", message: "Wait" },
        }),
    )
  );
  const error = await assertRejects(() => ask("Why?"));
  assertIsError(error, Error, "overloaded_error: Wait");
  assertEquals(failing.requests.length, 1);
});

Deno.test("llm_chat: the client assembles tool calls from their fragments", async () => {
  const call = (...tool_calls: unknown[]) => ({
    choices: [{ delta: { tool_calls } }],
  });
  const first = chunks(
    { choices: [{ delta: { role: "assistant", content: null } }] },
    call({ index: 0, id: "a", function: { name: "add", arguments: "" } }),
    call({ index: 0, function: { arguments: '{"a": 1,' } }),
    call({ index: 1, id: "b", function: { name: "now", arguments: "" } }),
    call({ index: 0, function: { arguments: ' "b": 2}' } }),
  );
  const finish = chunks({
    choices: [{ delta: {}, finish_reason: "tool_calls" }],
  });
  {
    using _ = answer(() => eventResponse(first + finish + DONE));
    using output = logged();
    await runBlock("llm_chat", "tool_calls");
    assertEquals(output.lines, [["add", { a: 1, b: 2 }], ["now", {}]]);
  }
  // All arguments that have arrived are valid, but the answer is not complete.
  using _ = answer(() => eventResponse(first));
  using output = logged();
  await assertRejects(() => runBlock("llm_chat", "tool_calls"), SseError);
  assertEquals(output.lines, []);
});

Deno.test("llm_chat: a model that stalls behind heartbeats fails with event-timeout", async () => {
  using time = new FakeTime();
  let controller: ReadableStreamDefaultController<string>;
  let isOpen = true;
  const body = new ReadableStream<string>({
    start(it) {
      controller = it;
      it.enqueue(role);
    },
    cancel() {
      isOpen = false;
    },
  });
  using _ = answer(() =>
    new Response(body.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream" },
    })
  );
  using output = logged();
  const { debug } = console;
  using _debug = { [Symbol.dispose]: () => void (console.debug = debug) };
  console.debug = () => {};
  let error: unknown;
  const program = runBlock("llm_chat", "eventTimeout").catch((reason) =>
    error = reason
  );
  // The heartbeats keep `idleTimeout` from passing.
  for (let i = 0; error === undefined && i < 1000; i++) {
    if (isOpen) controller!.enqueue(": heartbeat\n\n");
    await time.tickAsync(10_000);
  }
  await program;
  assert(error instanceof SseError);
  assertEquals(error.code, "event-timeout");
  assertEquals(output.lines.length, 1);
});

Deno.test("llm_chat: the signal's timeout is thrown as a TimeoutError", async () => {
  const stream = new OpenResponse(role);
  const sse = await connectSse("http://localhost/", {
    fetch: () => stream.response,
    signal: AbortSignal.timeout(1),
    until: "[DONE]",
  });
  const error = await assertRejects(
    () => Array.fromAsync(sse),
    DOMException,
  );
  assertEquals(error.name, "TimeoutError");
  await stream.cancelled;
});

/** What identifies a request, without headers that only an SDK sends. */
async function identityOf(request: Request, keyHeader: string) {
  const url = new URL(request.url);
  return {
    method: request.method,
    url: url.origin + url.pathname,
    query: Object.fromEntries(url.searchParams),
    key: request.headers.get(keyHeader),
    body: request.method === "POST" ? await request.json() : undefined,
  };
}

async function identitiesOf(requests: Request[], keyHeader: string) {
  return await Promise.all(requests.map((it) => identityOf(it, keyHeader)));
}

const openAi = (...events: { type: string; [key: string]: unknown }[]) =>
  events.map((it) => `event: ${it.type}\n${chunks(it)}`).join("");

Deno.test("llm_chat: a background answer of OpenAI is resumed with the requests of the SDK", async () => {
  const { ask } = await runBlock("llm_chat", "starting_after");
  const created = {
    type: "response.created",
    sequence_number: 0,
    response: { id: "resp_1", status: "queued" },
  };
  const text = (sequence_number: number, delta: string) => ({
    type: "response.output_text.delta",
    sequence_number,
    delta,
  });
  const completed = {
    type: "response.completed",
    sequence_number: 4,
    response: { id: "resp_1", status: "completed" },
  };
  using api = answer((_, index) =>
    [
      eventResponse("retry: 1\n\n"),
      eventResponse(openAi(created, text(1, "Of "))),
      busy(),
      eventResponse(""),
      eventResponse(openAi(text(2, "scatter"), text(3, "ing."))),
      eventResponse(openAi(completed)),
    ][index]
  );
  assertEquals(await ask("Why?"), "Of scattering.");
  const sent = await identitiesOf(api.requests, "authorization");
  assertEquals(sent.map(({ method }) => method), [
    ..."POST POST GET GET GET GET".split(" "),
  ]);
  assertEquals(sent.map(({ query }) => query.starting_after), [
    ...[undefined, undefined, "1", "1", "1", "3"],
  ]);

  using sdk = answer(() => eventResponse(openAi(completed)));
  const client = new OpenAI({
    apiKey: `${Deno.env.get("OPENAI_API_KEY")}`,
    baseURL: "https://api.openai.com/v1",
  });
  const question = {
    model: "gpt-4o-mini",
    input: "Why?",
    background: true,
    stream: true,
  } as const;
  for await (const _ of await client.responses.create(question));
  const position = { stream: true, starting_after: 1 } as const;
  for await (const _ of await client.responses.retrieve("resp_1", position));
  const expected = await identitiesOf(sdk.requests, "authorization");
  assertEquals(expected.length, 2);
  assertEquals([sent[0], sent[2]], expected);
});

Deno.test("llm_chat: a background answer of OpenAI that fails is thrown", async () => {
  const { ask } = await runBlock("llm_chat", "starting_after");
  for (const type of ["response.failed", "response.incomplete", "error"]) {
    using api = answer(() =>
      eventResponse(openAi({ type, sequence_number: 1 }))
    );
    await assertRejects(() => ask("Why?"), Error, `"type":"${type}"`);
    assertEquals(api.requests.length, 1);
  }
});

const gemini = (...events: { event_type: string; [key: string]: unknown }[]) =>
  events.map((it) => `event: ${it.event_type}\n${chunks(it)}`).join("");
const geminiText = (event_id: string, text: string) => ({
  event_type: "step.delta",
  event_id,
  index: 0,
  delta: { type: "text", text },
});
const geminiEnd = (status: string) => ({
  event_type: "interaction.completed",
  event_id: "e9",
  interaction: { id: "i-1", status },
});

Deno.test("llm_chat: a background answer of Gemini is resumed with the requests of the SDK", async () => {
  const { ask } = await runBlock("llm_chat", "last_event_id");
  const created = {
    event_type: "interaction.created",
    interaction: { id: "i-1", status: "in_progress" },
  };
  const thought = {
    event_type: "step.delta",
    event_id: "e/1+☃",
    index: 0,
    delta: { type: "thought_summary", text: "Hm" },
  };
  using api = answer((_, index) =>
    [
      eventResponse("retry: 1\n" + gemini(created)),
      eventResponse(gemini(geminiText("e0", "Of "), thought)),
      busy(),
      eventResponse(
        gemini(geminiText("e2", "scattering."), geminiEnd("completed")) + DONE,
      ),
    ][index]
  );
  assertEquals(await ask("Why?"), "Of scattering.");
  const sent = await identitiesOf(api.requests, "x-goog-api-key");
  assertEquals(sent.map(({ query }) => query.last_event_id), [
    ...[undefined, undefined, "e/1+☃", "e/1+☃"],
  ]);

  using sdk = answer(() => eventResponse(gemini(geminiEnd("completed"))));
  using _warnings = logged("error");
  const client = new GoogleGenAI({
    apiKey: Deno.env.get("GEMINI_API_KEY") ?? "unset",
  });
  const created2 = await client.interactions.create({
    model: "gemini-2.5-flash",
    input: "Why?",
    background: true,
    store: true,
    stream: true,
  });
  for await (const _ of created2);
  const resumed = await client.interactions.get("i-1", {
    stream: true,
    last_event_id: "e/1+☃",
  });
  for await (const _ of resumed);
  const expected = await identitiesOf(sdk.requests, "x-goog-api-key");
  assertEquals(expected.length, 2);
  for (const it of [...sent, ...expected]) {
    if (it.key === "unset") it.key = "";
  }
  assertEquals([sent[0], sent[2]], expected);
});

Deno.test("llm_chat: a background answer of Gemini ends at [DONE], and a failed one is thrown", async () => {
  const { ask } = await runBlock("llm_chat", "last_event_id");
  {
    using _ = answer(() =>
      eventResponse(gemini(geminiText("e0", "Hello")) + DONE)
    );
    assertEquals(await ask("Why?"), "Hello");
  }
  const failures = [
    geminiEnd("failed"),
    { event_type: "error", error: { message: "No" } },
  ];
  for (const failure of failures) {
    using api = answer(() => eventResponse(gemini(failure)));
    await assertRejects(() => ask("Why?"), Error, failure.event_type);
    assertEquals(api.requests.length, 1);
  }
});

Deno.test("chat.ts retries a stream that ends after the role, at most ten times", async () => {
  await using server = new HttpServer(
    () => eventResponse(role),
    () => eventResponse(role),
    () => eventResponse(whole),
  );
  const env = { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "secret" };
  const { code, stdout } = await run("chat.ts", ["?"], env);
  assertEquals([code, stdout], [0, "Hello\n"]);
  assertEquals(server.requests.length, 3);

  await using cutOff = new HttpServer(() => eventResponse(role));
  const failed = await run("chat.ts", ["?"], {
    ...env,
    OPENAI_BASE_URL: cutOff.url,
  });
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.stderr, "SseError: Expected `until` to be met");
  assertEquals(cutOff.requests.length, 11);
});

Deno.test("typed_events.ts prints the answer also if a proxy has dropped the event: lines", async () => {
  const stream = new OpenResponse(withoutNames(message + anthropic(stop)));
  await using server = new HttpServer(() => stream.response);
  const { code, stdout, stderr } = await run("typed_events.ts", ["?"], {
    ANTHROPIC_BASE_URL: server.url.slice(0, -1),
    ANTHROPIC_API_KEY: "secret",
  });
  assertEquals([code, stdout, stderr], [0, "Hello\n", ""]);
  await stream.cancelled;
});

Deno.test("generation.ts retries a stream that ends after the role", async () => {
  await using upstream = new HttpServer(
    () => eventResponse(role),
    () => eventResponse(whole),
  );
  await using directory = await temporaryDirectory();
  await using server = await serve("generation.ts", [], {
    OPENAI_BASE_URL: upstream.url,
    OPENAI_API_KEY: "secret",
    KV_PATH: `${directory.path}/kv`,
  });
  const response = await fetch(server.url, { method: "POST", body: "?" });
  await response.body?.cancel();
  const location = response.headers.get("location")!;
  const sse = await connectSse(new URL(location, server.url), {
    until: ({ event }) => event !== "message",
  });
  const events = await Array.fromAsync(sse);
  assertEquals(events.map(({ event, data }) => data || event), [
    '"Hel"',
    '"lo"',
    "done",
  ]);
  assertEquals(upstream.requests.length, 2);
});
