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
import {
  connectSse,
  type ReconnectOptions,
  type ServerSentEvent,
  SseError,
} from "../../mod.ts";
import { SseScript } from "../../src/testing.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { HttpServer } from "../support/http_server.ts";
import { events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { run, serve } from "../support/run_example.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

function chunks(...values: unknown[]): string {
  return values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("");
}

const DONE = "data: [DONE]\n\n";
const busy = (status = 503) =>
  new Response("Busy", { status, headers: { "Retry-After": "0" } });
const token = (content: string) => ({ choices: [{ delta: { content } }] });
/** The first event of OpenAI's answers, with a reconnection time of 1 ms. */
const role = "retry: 1\n" +
  chunks({ choices: [{ delta: { role: "assistant", content: "" } }] });
/** An answer that stops halfway. */
const half = role + chunks(token("Hel"));
const whole = half + chunks(token("lo"), { choices: [], usage: {} }) + DONE;
const overloaded = chunks({ error: { message: "Overloaded" } });

/** Returns a response whose body fails after this text. */
function brokenResponse(text: string): Promise<Response> {
  return new SseScript([{ bytes: text }, "cut"]).fetch(url);
}

/**
 * Runs a program whose delays pass at once. Between two steps of the time, a
 * request or a chunk can make progress, so a step must be far shorter than the
 * program's timeouts.
 */
async function elapse<T>(program: () => Promise<T>, step = 500): Promise<T> {
  using time = new FakeTime();
  let isDone = false;
  const result = program().finally(() => isDone = true);
  result.catch(() => {});
  // Not without a limit: a program may retry forever.
  for (let i = 0; !isDone && i < 5000; i++) await time.tickAsync(step);
  assert(isDone, "The program ends");
  return await result;
}

const CHAT = "Greet the world.";

/** Runs the first program. Returns what it prints. */
async function chat(): Promise<unknown[][]> {
  using output = logged();
  await elapse(() => runBlock("llm_chat", CHAT));
  return output.lines;
}

/** Runs the first program, which is expected to fail with an SseError. */
async function chatError(): Promise<SseError> {
  return await assertRejects(chat, SseError);
}

/** Checks that all attempts of a stream have failed. Returns the last error. */
function lastError(error: unknown): SseError {
  assert(error instanceof SseError);
  assertEquals(error.code, "reconnect-failed");
  assert(error.cause instanceof SseError);
  return error.cause;
}

Deno.test("llm_chat: the client retries until the first token, also after an event without a token", async () => {
  using api = answer((_, index) =>
    [
      eventResponse(role),
      brokenResponse(role),
      busy(),
      eventResponse(whole),
    ][index]
  );
  assertEquals(await chat(), [["Hello"]]);
  const bodies = await Promise.all(api.requests.map((it) => it.json()));
  assertEquals(bodies.length, 4);
  for (const body of bodies) assertEquals(body, bodies[0]);
  assertEquals(bodies[0].messages, [{ role: "user", content: CHAT }]);
});

Deno.test("llm_chat: the client sends at most five requests, whatever arrives before the first token", async () => {
  using cutOff = answer(() => eventResponse(role));
  assertEquals(lastError(await chatError()).code, "truncated");
  assertEquals(cutOff.requests.length, 5);

  using refused = answer((_, index) =>
    index < 2 ? eventResponse(role) : busy()
  );
  const { code, response, body } = lastError(await chatError());
  assertEquals([code, response?.status, body], ["status", 503, "Busy"]);
  assertEquals(refused.requests.length, 5);

  using lost = answer(() => Promise.reject(new TypeError("no network")));
  assertEquals(lastError(await chatError()).code, "network");
  assertEquals(lost.requests.length, 5);
});

Deno.test("llm_chat: the client does not retry after the first token", async () => {
  using ended = answer(() => eventResponse(half));
  assertEquals((await chatError()).code, "truncated");
  assertEquals(ended.requests.length, 1);

  using broken = answer(() => brokenResponse(half));
  assertEquals((await chatError()).code, "network");
  assertEquals(broken.requests.length, 1);

  using stalled = answer(() => new OpenResponse(half).response);
  assertEquals((await chatError()).code, "idle-timeout");
  assertEquals(stalled.requests.length, 1);

  // The first token is that of the second request.
  using later = answer((_, index) => eventResponse(index === 0 ? role : half));
  assertEquals((await chatError()).code, "truncated");
  assertEquals(later.requests.length, 2);
});

Deno.test("llm_chat: the client retries a stall before the first token", async () => {
  using api = answer((_, index) =>
    [
      new OpenResponse(role).response,
      new Promise<never>(() => {}),
      eventResponse(whole),
    ][index]
  );
  assertEquals(await chat(), [["Hello"]]);
  assertEquals(api.requests.length, 3);

  using silent = answer(() => new Promise<never>(() => {}));
  assertEquals(lastError(await chatError()).code, "connect-timeout");
  assertEquals(silent.requests.length, 5);
});

Deno.test("llm_chat: the client retries temporary statuses, and no others", async () => {
  const temporary = [408, 425, 429, 500, 502, 503, 504, 520, 529, 530];
  for (const status of temporary) {
    using api = answer((_, index) =>
      index === 0 ? busy(status) : eventResponse(whole)
    );
    assertEquals(await chat(), [["Hello"]], `status ${status}`);
    assertEquals(api.requests.length, 2);
  }
  for (const status of [400, 401, 404, 501, 505, 511]) {
    using api = answer(() => busy(status));
    const { code, body } = await chatError();
    assertEquals([code, body], ["status", "Busy"], `status ${status}`);
    assertEquals(api.requests.length, 1);
  }
});

Deno.test("llm_chat: the client throws without a retry if the response is no stream", async () => {
  const page = "<!doctype html>\n<p>Welcome";
  const html = { headers: { "content-type": "text/html" } };
  const json = '{"choices":[]}';
  const cases: [() => Response, string, string][] = [
    [() => Response.json({ choices: [] }), "content-type", json],
    [() => new Response(page, html), "content-type", page],
    [() => eventResponse(json), "malformed", json],
    [() => eventResponse(page), "malformed", page],
  ];
  for (const [response, code, body] of cases) {
    using api = answer(response);
    const error = await chatError();
    assertEquals([error.code, error.body], [code, body]);
    assertEquals(api.requests.length, 1);
  }
});

Deno.test("llm_chat: the error has the line that llama.cpp sends instead of an event", async () => {
  const line = 'error: {"code":500,"message":"Out of memory"}';
  {
    using api = answer(() => eventResponse(`${line}\n\n`));
    const { code, body, message } = await chatError();
    assertEquals([code, body], ["malformed", line]);
    assertStringIncludes(message, "Out of memory");
    assertEquals(api.requests.length, 1);
  }
  {
    using api = answer(() => eventResponse(`${line}\n\n${DONE}`));
    assertEquals((await chatError()).code, "malformed");
    assertEquals(api.requests.length, 1);
  }
  using _ = answer(() => eventResponse(`${half}${line}\n\n`));
  const { code, body, message } = await chatError();
  assertEquals([code, body], ["truncated", line]);
  assertStringIncludes(message, "Out of memory");
});

Deno.test("llm_chat: the client throws the message of an error in the stream", async () => {
  using api = answer(() => eventResponse(overloaded));
  assertIsError(await assertRejects(chat), Error, "Overloaded");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: an answer that reaches its maximum length is complete", async () => {
  const finish = { choices: [{ delta: {}, finish_reason: "length" }] };
  using api = answer(() => eventResponse(half + chunks(finish) + DONE));
  assertEquals(await chat(), [["Hel"]]);
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: the delays grow from half a second to a second, and Retry-After is kept", async () => {
  /** Returns the delays before the retries of a busy API, in ms. */
  async function delays(retryAfter: string): Promise<number[]> {
    const times: number[] = [];
    const headers = { "Retry-After": retryAfter };
    using _ = answer(() => {
      times.push(Date.now());
      return new Response(null, { status: 503, headers });
    });
    const program = () => runBlock("llm_chat", CHAT);
    await assertRejects(() => elapse(program, 100), SseError);
    return times.slice(1).map((it, index) => it - times[index]);
  }
  const growing = await delays("0");
  assertEquals(growing.length, 4);
  for (const [index, delay] of growing.entries()) {
    const longest = 1000 * 2 ** index;
    // The time of a request is that of the next step or a later one.
    assert(delay >= longest / 2 && delay <= longest + 700, `${growing}`);
  }
  const long = await delays("9");
  assertEquals(long.length, 4);
  for (const delay of long) assert(delay >= 9000, `${long}`);
});

type RestartUntil = ReconnectOptions["restartUntil"];

const firstToken = token("Hel");
/** Whether an event contains text of the answer. */
function hasToken(event: ServerSentEvent): boolean {
  return !!event.json<typeof firstToken>().choices[0].delta.content;
}

Deno.test("llm_chat: without restartUntil, an event without a token ends the retries", async () => {
  const cases: [RestartUntil, number][] = [[undefined, 1], [hasToken, 2]];
  for (const [restartUntil, expected] of cases) {
    const { fetch, requests } = inTurn(events(role), events(half));
    await using sse = await connectSse(
      url,
      {
        fetch,
        until: "[DONE]",
        reconnect: { resume: false, maxAttempts: 4, restartUntil },
      },
    );
    const error = await assertRejects(() => Array.fromAsync(sse), SseError);
    assertEquals(error.code, "truncated");
    assertEquals(requests.length, expected);
  }
});

Deno.test("llm_chat: the loop gets events that do not end the retries once from each answer", async () => {
  const call = { choices: [{ delta: { tool_calls: [{ index: 0 }] } }] };
  const { fetch } = inTurn(
    events(role + chunks(call)),
    events(role + chunks(call, token("Hello")) + DONE),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { resume: false, maxAttempts: 4, restartUntil: hasToken },
  });
  const received = await Array.fromAsync(sse, (event) => event.json());
  const first = JSON.parse(role.match(/data: (.*)/)![1]);
  assertEquals(received, [first, call, first, call, token("Hello")]);
});

Deno.test("llm_chat: the client handles each error by its code", async () => {
  const program = () => runBlock("llm_chat", "switch (error.code)");
  const cases: [Response, unknown[]][] = [
    [new Response("no such key", { status: 401 }), [401, "no such key"]],
    [eventResponse('{"error":1}'), [200, '{"error":1}']],
    [eventResponse(half), ["Incomplete after 3 characters:", "Hel"]],
    [await brokenResponse(half), ["Incomplete after 3 characters:", "Hel"]],
  ];
  for (const [response, expected] of cases) {
    using api = answer(() => response);
    using output = logged("error");
    await program();
    assertEquals(output.lines, [expected]);
    assertEquals(api.requests.length, 1);
  }
  {
    using _ = answer(() => new OpenResponse(half).response);
    using output = logged("error");
    await elapse(program);
    assertEquals(output.lines, [["Incomplete after 3 characters:", "Hel"]]);
  }
  {
    using _ = answer(() => eventResponse(whole));
    using output = logged("error");
    await program();
    assertEquals(output.lines, []);
  }
  {
    using _ = answer(() => Response.json({}));
    const error = await assertRejects(program, SseError);
    assertEquals(error.code, "content-type");
  }
  using _ = answer(() => eventResponse(chunks({ error: { message: "No" } })));
  assertIsError(await assertRejects(program), Error, "No");
});

/** Runs the program that retries errors in the stream. Returns the tokens. */
async function ask(prompt: string): Promise<string[]> {
  const { ask } = await runBlock(
    "llm_chat",
    "function* ask",
  );
  return await elapse(() => Array.fromAsync(ask(prompt)));
}

Deno.test("llm_chat: an error in the stream is retried until the first token", async () => {
  using api = answer((_, index) =>
    [
      eventResponse(overloaded),
      eventResponse(role),
      busy(),
      eventResponse(role + overloaded),
      eventResponse(whole),
    ][index]
  );
  assertEquals(await ask("Why?"), ["Hel", "lo"]);
  const bodies = await Promise.all(api.requests.map((it) => it.json()));
  assertEquals(
    bodies.map(({ messages }) => messages[0].content),
    Array(5).fill("Why?"),
  );
});

Deno.test("llm_chat: an error in the stream closes the connection, and the events after it are dropped", async () => {
  const failing = new OpenResponse(overloaded + chunks(token("late")) + DONE);
  using api = answer((_, index) =>
    index === 0 ? failing.response : eventResponse(whole)
  );
  assertEquals(await ask("Why?"), ["Hel", "lo"]);
  await failing.cancelled;
  assertEquals(api.requests.length, 2);
});

Deno.test("llm_chat: errors in the stream are retried with at most five requests, and not after the first token", async () => {
  using always = answer(() => eventResponse(role + overloaded));
  const rejected = lastError(await assertRejects(() => ask("Why?")));
  assertEquals(rejected.code, "rejected");
  assertIsError(rejected.cause, Error, "Overloaded");
  assertEquals(always.requests.length, 5);

  using mixed = answer((_, index) =>
    eventResponse(index % 2 === 0 ? role : overloaded)
  );
  const cutOff = lastError(await assertRejects(() => ask("Why?")));
  assertEquals(cutOff.code, "truncated");
  assertEquals(mixed.requests.length, 5);

  using late = answer(() => eventResponse(half + overloaded));
  const error = await assertRejects(() => ask("Why?"), SseError);
  assertEquals(error.code, "rejected");
  assertIsError(error.cause, Error, "Overloaded");
  assertEquals(late.requests.length, 1);

  using lateEnd = answer(() => eventResponse(half));
  const { code } = await assertRejects(() => ask("Why?"), SseError);
  assertEquals(code, "truncated");
  assertEquals(lateEnd.requests.length, 1);
});

Deno.test("llm_chat: without restartUntil, the event with the error ends the retries", async () => {
  const cases: [RestartUntil, number][] = [[undefined, 1], [() => false, 3]];
  for (const [restartUntil, expected] of cases) {
    const { fetch, requests } = inTurn(events(`retry: 1\n${overloaded}`));
    await using sse = await connectSse(
      url,
      {
        fetch,
        until: "[DONE]",
        reconnect: { resume: false, maxAttempts: 2, restartUntil },
      },
    );
    await assertRejects(async () => {
      for await (const _ of sse) sse.reconnect(new Error("Overloaded"));
    }, SseError);
    assertEquals(requests.length, expected);
  }
});

Deno.test("llm_chat: leaving the loop over the tokens closes the connection", async () => {
  const { ask } = await runBlock(
    "llm_chat",
    "function* ask",
  );
  const open = new OpenResponse(half);
  using _ = answer(() => open.response);
  for await (const token of ask("Why?")) if (token === "Hel") break;
  await open.cancelled;
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

Deno.test("llm_chat: an until that compares event.event does not find the end without event: lines", async () => {
  const complete = message + anthropic(stop);
  const read = async (stream: string) => {
    const sse = await connectSse(url, {
      fetch: events(stream),
      until: ({ event }) => event === "message_stop",
    });
    return await Array.fromAsync(sse);
  };
  assertEquals((await read(complete)).at(-1)?.event, "message_stop");
  const error = await assertRejects(() => read(withoutNames(complete)));
  assert(error instanceof SseError);
  assertEquals(error.code, "truncated");
});

Deno.test("llm_chat: the Anthropic client accepts a last event without its blank line, if it was not cut off", async () => {
  const { ask } = await runBlock("llm_chat", "api.anthropic.com");
  const end = anthropic(stop).trimEnd();
  for (const last of [end, withoutNames(end)]) {
    using _ = answer(() => eventResponse(message + last));
    assertEquals(await ask("Why?"), "Hello");
  }
  for (let length = 0; length < end.length; length++) {
    using _ = answer(() => eventResponse(message + end.slice(0, length)));
    const error = await assertRejects(() => ask("Why?"), SseError);
    assertEquals(error.code, "truncated", end.slice(0, length));
  }
});

Deno.test("llm_chat: the Anthropic client retries an overloaded API before the first text", async () => {
  const { ask } = await runBlock("llm_chat", "api.anthropic.com");
  const failure = (type: string) =>
    anthropic({ type: "error", error: { type, message: "Wait" } });
  using api = answer((_, index) =>
    [
      eventResponse("retry: 1\n" + anthropic(start)),
      busy(529),
      eventResponse(anthropic(start) + failure("overloaded_error")),
      eventResponse(message + anthropic(stop)),
    ][index]
  );
  assertEquals(await elapse(() => ask("Why?")), "Hello");
  assertEquals(api.requests.length, 4);

  using always = answer(() => eventResponse(failure("overloaded_error")));
  const last = lastError(await assertRejects(() => elapse(() => ask("Why?"))));
  assertIsError(last.cause, Error, "Wait");
  assertEquals(always.requests.length, 5);

  using late = answer(() =>
    eventResponse(message + failure("overloaded_error"))
  );
  const { code } = await assertRejects(() => ask("Why?"), SseError);
  assertEquals(code, "rejected");
  assertEquals(late.requests.length, 1);

  using other = answer(() => eventResponse(failure("api_error")));
  const error = await assertRejects(() => ask("Why?"));
  assertIsError(error, Error, "api_error: Wait");
  assertEquals(other.requests.length, 1);
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

Deno.test("llm_chat: a background answer of OpenAI that is cut anywhere is read once", async () => {
  const { ask } = await runBlock("llm_chat", "starting_after");
  const stream = [
    { type: "response.created", response: { id: "resp_1" } },
    { type: "response.output_text.delta", delta: "Of " },
    { type: "keepalive" },
    { type: "response.output_text.delta", delta: "scattering." },
    { type: "response.completed", response: { id: "resp_1" } },
  ].map((it, index) => openAi({ ...it, sequence_number: index }));
  const text = stream.join("");
  const cuts = stream.flatMap((event, index) => {
    const start = stream.slice(0, index).join("").length;
    return [0, event.length >> 1, event.length - 1].map((it) => start + it);
  });
  for (const cut of cuts) {
    using api = answer(({ url }, index) => {
      const after = new URL(url).searchParams.get("starting_after");
      const rest = stream.slice(after === null ? 0 : Number(after) + 1);
      return index === 0
        ? brokenResponse(`retry: 0\n\n${text.slice(0, cut)}`)
        : eventResponse(rest.join(""));
    });
    assertEquals(await ask("Why?"), "Of scattering.", text.slice(0, cut));
    assertEquals(
      api.requests.map(({ method }) => method),
      ["POST", cut < stream[0].length ? "POST" : "GET"],
    );
  }
});

Deno.test("llm_chat: a background answer gives up after ten attempts in a row without an event", async () => {
  const streams = {
    starting_after: "retry: 1\n" + openAi({
      type: "response.created",
      sequence_number: 0,
      response: { id: "resp_1" },
    }),
    last_event_id: "retry: 1\n" + gemini({
      event_type: "interaction.created",
      interaction: { id: "i-1" },
    }),
  };
  for (const [block, stream] of Object.entries(streams)) {
    const { ask } = await runBlock("llm_chat", block);
    // The second event starts the count again.
    using api = answer((_, index) =>
      index === 0 || index === 5 ? eventResponse(stream) : busy()
    );
    const program = () => elapse(() => ask("Why?"));
    assertEquals(lastError(await assertRejects(program)).code, "status");
    assertEquals(api.requests.length, 6 + 10);
  }
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

Deno.test("llm_chat: a background answer of Gemini is read again after an event without an id", async () => {
  const { ask } = await runBlock("llm_chat", "last_event_id");
  const created = {
    event_type: "interaction.created",
    interaction: { id: "i-1", status: "in_progress" },
  };
  const { event_id: _id, ...unidentified } = geminiText("", "scattering.");
  const whole = gemini(
    created,
    geminiText("e0", "Of "),
    unidentified,
    geminiEnd("completed"),
  );
  using api = answer((_, index) =>
    eventResponse(
      index === 0
        ? "retry: 1\n" + gemini(created, geminiText("e0", "Of "), unidentified)
        : whole,
    )
  );
  assertEquals(await ask("Why?"), "Of scattering.");
  const sent = await identitiesOf(api.requests, "x-goog-api-key");
  assertEquals(sent.map(({ query }) => query), [{}, { stream: "true" }]);
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

Deno.test("llm_chat: break, close() and an abort close the connection", async () => {
  async function open() {
    const stream = new OpenResponse(half);
    const controller = new AbortController();
    const sse = await connectSse(url, {
      fetch: () => stream.response,
      signal: controller.signal,
      until: "[DONE]",
    });
    return { stream, controller, sse };
  }
  {
    const { stream, sse } = await open();
    for await (const _ of sse) break;
    await stream.cancelled;
  }
  {
    const { stream, sse } = await open();
    await sse.next();
    await sse.close();
    await stream.cancelled;
  }
  const { stream, controller, sse } = await open();
  await sse.next();
  controller.abort();
  await stream.cancelled;
});

Deno.test("chat.ts retries a stream that ends after the role, at most five times", async () => {
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
  assertStringIncludes(failed.stderr, "Expected `until` to be met");
  assertEquals(cutOff.requests.length, 6);
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

Deno.test("generation.ts retries until the first token, also an error in the stream", async () => {
  await using upstream = new HttpServer(
    () => eventResponse(role),
    () => eventResponse(role + overloaded),
    () => eventResponse(whole),
    () => eventResponse(half + overloaded),
  );
  await using directory = await temporaryDirectory();
  await using server = await serve("generation.ts", [], {
    OPENAI_BASE_URL: upstream.url,
    OPENAI_API_KEY: "secret",
    SQLITE_PATH: `${directory.path}/answers.db`,
  });
  async function generate(): Promise<string[]> {
    const response = await fetch(server.url, { method: "POST", body: "?" });
    await response.body?.cancel();
    const location = response.headers.get("location")!;
    const sse = await connectSse(new URL(location, server.url), {
      until: ({ event }) => event !== "message",
    });
    return await Array.fromAsync(sse, ({ event, data }) => data || event);
  }
  assertEquals(await generate(), ['"Hel"', '"lo"', "done"]);
  assertEquals(upstream.requests.length, 3);
  assertEquals(await generate(), ['"Hel"', "failed"]);
  assertEquals(upstream.requests.length, 4);
});
