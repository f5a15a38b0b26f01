/**
 * Tests the programs of sdks.md. tests/sdk/sse_fetch_*_slow_test.ts tests its
 * tables, and the functions for `until` with the SDKs.
 */
import {
  assertEquals,
  assertIsError,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { createGoogle } from "npm:@ai-sdk/google@4.0.121";
import { createOpenAI } from "npm:@ai-sdk/openai@4.0.118";
import Anthropic from "npm:@anthropic-ai/sdk@1.12.0";
import { GoogleGenAI } from "npm:@google/genai@3.3.0";
import OpenAI from "npm:openai@7.57.0";
import { ServerSentEvent, SseError } from "../../mod.ts";
import { McpServer } from "../sdk/mcp_sdk.ts";
import { registerInterruptedAdd, serve } from "../sdk/mcp_server.ts";
import {
  chatCompletions,
  chatError,
  gemini,
  messages,
  messagesError,
  responses,
  responsesError,
  responsesFailure,
  withoutNames,
} from "../sdk/sse_fetch_apis.ts";
import { dataOf } from "../sdk/sse_fetch_faults.ts";
import { deadline } from "../support/deadline.ts";
import { answer, runBlock } from "../support/guide.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { blockOf, withPackage } from "./programs.ts";

const CHAT = "isOpenAiEnd(";
const ANTHROPIC = "npm:@anthropic-ai";
const GEMINI = "npm:@google/genai";
const MCP = "isMcpEnd(";

/** Runs a program with the permissions that the guide gives it. */
async function run(
  text: string,
  args: string[] = [],
  env: Record<string, string> = {},
) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-net", "--allow-env", "-", ...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const code = withPackage(await blockOf("sdks", text));
  await stdin.write(new TextEncoder().encode(code));
  await stdin.close();
  const output = await deadline(child.output(), "the program to end", 20);
  const decoder = new TextDecoder();
  return {
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

function urlOf(code: string): string {
  return `data:text/typescript,${encodeURIComponent(withPackage(code))}`;
}

/** Imports the program for the AI SDK, which uses the first one. */
async function importAi() {
  const chat = urlOf(await blockOf("sdks", CHAT));
  const code = await blockOf("sdks", "streamText({");
  return await import(
    urlOf(code.replace('"./chat.ts"', JSON.stringify(chat)))
  );
}

/** Returns an event with this data. */
function event(data: unknown, type?: string): ServerSentEvent {
  return new ServerSentEvent({
    event: type,
    data: typeof data === "string" ? data : JSON.stringify(data),
  });
}

/** Returns the data of all events of a stream, in chronological order. */
function eventsIn(stream: string): ServerSentEvent[] {
  return stream.trim().split("\n\n").map((block) =>
    event(
      block.match(/^data: (.*)$/m)![1],
      block.match(/^event: (.*)$/m)?.[1],
    )
  );
}

Deno.test("sdks: the functions find the last event of each stream, and no other", async () => {
  const { isOpenAiEnd } = await runBlock("sdks", CHAT);
  const { isAnthropicEnd } = await runBlock("sdks", ANTHROPIC);
  const { isAnthropicEnd: byType } = await runBlock(
    "sdks",
    "event.json<{ type: string }>()",
  );
  const streams: [(event: ServerSentEvent) => boolean, string][] = [
    [isOpenAiEnd, responses.beginning + responses.rest],
    [isOpenAiEnd, responses.beginning + responsesError],
    [isOpenAiEnd, responses.beginning + responsesFailure],
    [isOpenAiEnd, chatCompletions.beginning + chatCompletions.rest],
    [isOpenAiEnd, chatCompletions.beginning + chatError],
    [isAnthropicEnd, messages.beginning + messages.rest],
    [isAnthropicEnd, messages.beginning + messagesError],
    [byType, messages.beginning + messages.rest],
    [byType, messages.beginning + messagesError],
  ];
  for (const [isEnd, stream] of streams) {
    const ends = eventsIn(stream).map(isEnd);
    assertEquals(ends, ends.map((_, i) => i === ends.length - 1), stream);
  }
  assertEquals(isOpenAiEnd(event({ type: "response.incomplete" })), true);
  assertEquals(isOpenAiEnd(event({ choices: [], error: null })), false);
});

Deno.test("sdks: isMcpEnd finds the response to a request", async () => {
  const { isMcpEnd } = await runBlock("sdks", MCP);
  const request = { jsonrpc: "2.0", id: 1, method: "ping" };
  const cases: [unknown, boolean][] = [
    [{ jsonrpc: "2.0", id: 1, result: {} }, true],
    [{ jsonrpc: "2.0", id: 1, error: { code: 1, message: "No" } }, true],
    [request, false],
    [{ ...request, id: undefined, params: { result: 1 } }, false],
    ["", false],
  ];
  for (const [data, expected] of cases) {
    assertEquals(isMcpEnd(event(data)), expected);
  }
});

Deno.test("sdks: the program for OpenAI returns the answer when its last event arrives", async () => {
  const { ask, guardedFetch } = await runBlock("sdks", CHAT);
  const open = new OpenResponse(responses.beginning + responses.rest);
  using api = answer(() => open.response);
  const client = new OpenAI({ apiKey: "key", fetch: guardedFetch });
  assertEquals(await deadline(ask(client, "Why?"), "the answer"), "Hello");
  await open.cancelled;
  assertEquals((await api.requests[0].json()).input, "Why?");
});

Deno.test("sdks: the program for OpenAI throws if the answer is not complete", async () => {
  const { ask, guardedFetch } = await runBlock("sdks", CHAT);
  const client = new OpenAI({ apiKey: "key", fetch: guardedFetch });
  for (
    const response of [
      () => Response.json({ error: "busy" }),
      () => eventResponse(withoutNames(responses.beginning + responsesError)),
    ]
  ) {
    using _ = answer(response);
    await assertRejects(() => ask(client, "Why?"), Error, "The answer ends");
  }
  const cases: [string, ErrorConstructor | typeof SseError, string][] = [
    ["", SseError, "Expected `until` to be met"],
    [responsesFailure, Error, "Overloaded"],
    [responsesError, OpenAI.APIError as unknown as ErrorConstructor, ""],
  ];
  for (const [end, type, message] of cases) {
    using _ = answer(() => eventResponse(responses.beginning + end));
    const error = await assertRejects(() => ask(client, "Why?"));
    assertIsError(error, type as ErrorConstructor, message);
  }
});

Deno.test("sdks: the program for OpenAI runs as the guide says", async () => {
  const { beginning, rest } = responses;
  await using server = new HttpServer(
    () => eventResponse(beginning + rest),
    () => eventResponse(beginning),
  );
  const env = { OPENAI_API_KEY: "key", OPENAI_BASE_URL: server.url };
  assertEquals(await run(CHAT, [], env), { stdout: "Hello\n", stderr: "" });
  const { stdout, stderr } = await run(CHAT, [], env);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, "The answer is not complete: Expected `until`");
  assertEquals(server.requests.length, 2);
});

Deno.test("sdks: the program for Anthropic returns only complete answers", async () => {
  const { ask, guardedFetch } = await runBlock("sdks", ANTHROPIC);
  const client = new Anthropic({ apiKey: "key", fetch: guardedFetch });
  {
    const open = new OpenResponse(messages.beginning + messages.rest);
    using _ = answer(() => open.response);
    assertEquals(await deadline(ask(client, "Why?"), "the answer"), "Hello");
    await open.cancelled;
  }
  {
    using _ = answer(() => Response.json({ error: "busy" }));
    await assertRejects(() => ask(client, "Why?"), Error, "is not complete");
  }
  using _ = answer(() => eventResponse(messages.beginning));
  const error = await assertRejects(() => ask(client, "Why?"), SseError);
  assertEquals(error.code, "truncated");
});

Deno.test("sdks: the program for the AI SDK returns only complete answers", async () => {
  const { ask } = await importAi();
  const { guardedFetch } = await import(urlOf(await blockOf("sdks", CHAT)));
  const { sseErrorOf } = await runBlock("sdks", "sseErrorOf(");
  const model = createOpenAI({ apiKey: "key", fetch: guardedFetch })("a-model");
  {
    const open = new OpenResponse(responses.beginning + responses.rest);
    using _ = answer(() => open.response);
    assertEquals(await deadline(ask(model, "Why?"), "the answer"), "Hello");
    await open.cancelled;
  }
  for (const beginning of [responses.beginning, ""]) {
    using _ = answer(() => eventResponse(beginning));
    const error = await assertRejects(() => ask(model, "Why?"));
    assertEquals(sseErrorOf(error).code, "truncated");
  }
  const google = createGoogle({ apiKey: "key" })("a-model");
  using _ = answer(() => eventResponse(gemini.beginning));
  const error = await assertRejects(() => ask(google, "Why?"));
  assertIsError(error, Error, "The answer is not complete");
});

Deno.test("sdks: the program for Gemini returns only complete answers", async () => {
  const { ask, guardedFetch } = await runBlock("sdks", GEMINI);
  const client = new GoogleGenAI({
    apiKey: "key",
    httpOptions: { fetch: guardedFetch },
  });
  const usage = { usageMetadata: { totalTokenCount: 3 } };
  const blocked = { promptFeedback: { blockReason: "SAFETY" } };
  const answers: [string, string][] = [
    [gemini.beginning + gemini.rest, "Hello"],
    [gemini.beginning + gemini.rest + dataOf(usage), "Hello"],
    [dataOf(blocked), ""],
  ];
  for (const [stream, expected] of answers) {
    using _ = answer(() => eventResponse(stream));
    assertEquals(await ask(client, "Why?"), expected);
  }
  using _ = answer(() => eventResponse(gemini.beginning + dataOf(usage)));
  const error = await assertRejects(() => ask(client, "Why?"));
  assertIsError(error, Error, "The answer is not complete");
});

Deno.test("sdks: the program for MCP resumes the answer of a server of the SDK", async () => {
  const mcp = new McpServer({ name: "test", version: "1.0.0" });
  const add = registerInterruptedAdd(mcp);
  await using server = await serve(mcp);
  const args = [server.url, "add", '{"a": 1, "b": 2}'];
  const { stdout, stderr } = await run(MCP, args);
  assertEquals(stdout, '[ { type: "text", text: "3" } ]\n');
  assertStringIncludes(
    stderr,
    "{ progress: 1 }\n" +
      "SSE stream disconnected: SseError: " +
      "Expected `until` to be met, but the stream ended\n" +
      "{ progress: 2 }\n",
  );
  assertEquals(add.calls, 1);
});

Deno.test("sdks: sseErrorOf finds the error among the causes", async () => {
  const { sseErrorOf } = await runBlock("sdks", "sseErrorOf(");
  const error = new SseError("truncated", "Expected more");
  const wrapped = new Error("Failed", {
    cause: new Error("", { cause: error }),
  });
  for (const it of [error, wrapped]) assertEquals(sseErrorOf(it), error);
  for (const it of [new Error("Failed", { cause: "no" }), undefined, "no"]) {
    assertEquals(sseErrorOf(it), undefined);
  }
});
