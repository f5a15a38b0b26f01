/** Asserts what `openai` does with `sseFetch`, and without it. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import OpenAI, { OpenAIError } from "npm:openai@7.57.0";
import { sseFetch, type SseFetchOptions } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { RawServer } from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import {
  chatCompletions,
  chatError,
  responses,
  responsesError,
  responsesFailure,
} from "./sse_fetch_apis.ts";
import {
  ask,
  askBoth,
  codeOf,
  complete,
  type Fetch,
  IDLE,
  type Sdk,
  testFaults,
  testSame,
  testTimeout,
} from "./sse_fetch_faults.ts";

const { isOpenAiEnd } = await runBlock("sdks", "isOpenAiEnd(");

const model = "a-model";
const messages = [{ role: "user" as const, content: "Greet." }];

function clientOf(
  baseURL: string,
  fetch?: Fetch,
  timeout?: number,
): OpenAI {
  return new OpenAI({
    apiKey: "key",
    baseURL,
    maxRetries: 1,
    logLevel: "off",
    fetch,
    timeout,
  });
}

const responsesApi: Sdk = {
  column: "`openai`",
  until: isOpenAiEnd,
  ...responses,
  async ask({ url, fetch, signal, timeout, onItem }) {
    const stream = await clientOf(url, fetch, timeout).responses.create(
      { model, input: "Greet.", stream: true },
      { signal },
    );
    for await (const event of stream) {
      const isText = event.type === "response.output_text.delta";
      onItem(isText ? event.delta : "", event);
    }
  },
  async askForJson(url, fetch) {
    const response = await clientOf(url, fetch).responses.create({
      model,
      input: "Greet.",
    });
    return response.output_text;
  },
};

const chatApi: Sdk = {
  column: "`openai`",
  // The SDK stops reading at "[DONE]".
  differences: { "A connection that stays open after the answer": "complete" },
  until: isOpenAiEnd,
  ...chatCompletions,
  async ask({ url, fetch, signal, onItem }) {
    const stream = await clientOf(url, fetch).chat.completions.create(
      { model, messages, stream: true },
      { signal },
    );
    for await (const chunk of stream) {
      onItem(chunk.choices[0].delta.content ?? "", chunk);
    }
  },
  async askForJson(url, fetch) {
    const { choices } = await clientOf(url, fetch).chat.completions.create({
      model,
      messages,
    });
    return choices[0].message.content!;
  },
};

testFaults("openai", responsesApi);
testSame("openai", responsesApi);
testTimeout("openai", responsesApi, OpenAI.APIConnectionTimeoutError);
testFaults("openai with Chat Completions", chatApi);
testSame("openai with Chat Completions", chatApi);

const errors: Record<string, [Sdk, string]> = {
  "Responses": [responsesApi, responsesError],
  "Chat Completions": [chatApi, chatError],
};
for (const [api, [sdk, error]] of Object.entries(errors)) {
  slowTest(
    `openai with sseFetch throws the same error if a stream of ${api} has one`,
    async () => {
      const result = await askBoth(sdk, complete(sdk.beginning + error));
      assertEquals(result.text, "Hel");
      assertInstanceOf(result.error, OpenAI.APIError);
    },
  );
}

slowTest(
  "openai with sseFetch yields response.failed, and does not throw it",
  async () => {
    const { items, error } = await askBoth(
      responsesApi,
      complete(responses.beginning + responsesFailure),
    );
    const last = items.at(-1) as { type: string };
    assertEquals([last.type, error], ["response.failed", undefined]);
  },
);

slowTest(
  'openai with sseFetch: complete streams of Responses are "truncated" if until is "[DONE]"',
  async () => {
    const { text, error } = await ask(
      responsesApi,
      [complete(responses.beginning + responses.rest)],
      { guard: { until: "[DONE]" } },
    );
    assertEquals([text, codeOf(error)], ["Hello", "truncated"]);
  },
);

/** Returns the result of a helper without and with `sseFetch`, after an end halfway. */
async function finals(
  beginning: string,
  final: (client: OpenAI) => Promise<unknown>,
): Promise<unknown[]> {
  const results: unknown[] = [];
  const guard: SseFetchOptions = { until: isOpenAiEnd, idleTimeout: IDLE };
  for (const fetch of [undefined, sseFetch(guard)]) {
    await using server = await RawServer.listen(complete(beginning));
    const result = final(clientOf(server.url, fetch)).catch((error) => error);
    results.push(await deadline(result, "the result"));
  }
  return results;
}

slowTest(
  "openai: finalResponse() returns half an answer, and throws an OpenAIError with sseFetch",
  async () => {
    const [own, error] = await finals(
      responses.beginning,
      (client) =>
        client.responses.stream({ model, input: "Greet." }).finalResponse(),
    );
    assert(!(own instanceof Error));
    assertInstanceOf(error, OpenAIError);
    assertEquals(codeOf(error), "truncated");
  },
);

slowTest(
  "openai: finalChatCompletion() throws an OpenAIError, which sseFetch causes",
  async () => {
    const [own, error] = await finals(
      chatCompletions.beginning,
      (client) =>
        client.chat.completions.stream({ model, messages })
          .finalChatCompletion(),
    );
    assertInstanceOf(own, OpenAIError);
    assertEquals(codeOf(own), undefined);
    assertInstanceOf(error, OpenAIError);
    assertEquals(codeOf(error), "truncated");
  },
);
