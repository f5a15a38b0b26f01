/** Asserts what `ai` does with `sseFetch`, and without it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createAnthropic } from "npm:@ai-sdk/anthropic@4.0.105";
import { createGoogle } from "npm:@ai-sdk/google@4.0.121";
import { createOpenAI } from "npm:@ai-sdk/openai@4.0.118";
import {
  generateText,
  type LanguageModel,
  NoOutputGeneratedError,
  streamText,
} from "npm:ai@7.0.173";
import { sseFetch } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { RawServer } from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import {
  chatCompletions,
  chatError,
  gemini,
  messages,
  messagesError,
  responses,
  responsesError,
  withoutNames,
} from "./sse_fetch_apis.ts";
import {
  ask,
  askBoth,
  codeOf,
  complete,
  type Fetch,
  IDLE,
  open,
  type Sdk,
  testFaults,
  testSame,
} from "./sse_fetch_faults.ts";

const { isOpenAiEnd } = await runBlock("sdks", "isOpenAiEnd(");
const { isAnthropicEnd } = await runBlock(
  "sdks",
  "event.json<{ type: string }>()",
);

const model = "a-model";

/** Returns the AI SDK with a provider. */
function withModel(
  modelOf: (options: {
    apiKey: string;
    baseURL: string;
    fetch: Fetch | undefined;
  }) => LanguageModel,
): Pick<Sdk, "column" | "ask" | "askForJson"> {
  const options = { prompt: "Greet.", maxRetries: 1, maxOutputTokens: 9 };
  return {
    column: "`ai`",
    async ask({ url: baseURL, fetch, signal, onItem }) {
      let failure: unknown;
      const result = streamText({
        model: modelOf({ apiKey: "key", baseURL, fetch }),
        ...options,
        abortSignal: signal,
        onError({ error }) {
          failure = error;
        },
      });
      for await (const text of result.textStream) onItem(text);
      // The stream of texts ends without an error if one came before any text.
      if (failure !== undefined) throw failure;
      onItem("", await result.finishReason);
    },
    async askForJson(baseURL, fetch) {
      const model = modelOf({ apiKey: "key", baseURL, fetch });
      return (await generateText({ model, ...options })).text;
    },
  };
}

const openai: Sdk = {
  until: isOpenAiEnd,
  ...responses,
  ...withModel((options) => createOpenAI(options)(model)),
};

const openaiChat: Sdk = {
  until: isOpenAiEnd,
  ...chatCompletions,
  ...withModel((options) => createOpenAI(options).chat(model)),
};

const anthropic: Sdk = {
  until: isAnthropicEnd,
  ...messages,
  ...withModel((options) => createAnthropic(options)(model)),
};

const google: Sdk = {
  until: undefined,
  ...gemini,
  ...withModel((options) => createGoogle(options)(model)),
};

testFaults("ai", openai);
testSame("ai", openai);
testSame("ai with Chat Completions", openaiChat);
testSame("ai with Anthropic", anthropic);
testSame("ai with Google", google);

slowTest(
  "ai with sseFetch passes on an error in the stream, but only if until knows it",
  async () => {
    const cases: [Sdk, string][] = [
      [openai, responsesError],
      [openaiChat, chatError],
      [anthropic, messagesError],
    ];
    for (const [sdk, error] of cases) {
      const script = complete(sdk.beginning + error);
      const result = await askBoth(sdk, script);
      assertEquals([result.text, String(result.error)], [
        "Hel",
        "AI_StreamProviderError: Overloaded",
      ]);
      // The SDK reads ahead. The end overtakes the error that came before it.
      const until = ({ data }: { data: string }) =>
        /\[DONE\]|response.completed|message_stop/.test(data);
      const hidden = await ask(sdk, [script], { guard: { until } });
      assertEquals([hidden.text, codeOf(hidden.error)], ["Hel", "truncated"]);
    }
  },
);

slowTest(
  'ai: finishReason of half an answer is "interrupted", with sseFetch only for Google',
  async () => {
    for (const sdk of [openai, openaiChat, anthropic, google]) {
      const script = complete(sdk.beginning);
      const own = await ask(sdk, [script]);
      assertEquals(own.items, ["Hel", "interrupted"]);
      const { items, error } = await ask(sdk, [script], { guard: {} });
      if (sdk === google) assertEquals(items, ["Hel", "interrupted"]);
      else assertEquals([items, codeOf(error)], [["Hel"], "truncated"]);
    }
  },
);

slowTest(
  "ai with sseFetch reads events without names of Anthropic's API",
  async () => {
    const { beginning, rest } = messages;
    const { text, error } = await askBoth(
      anthropic,
      complete(withoutNames(beginning + rest)),
    );
    assertEquals([text, error], ["Hello", undefined]);
  },
);

slowTest(
  "ai with sseFetch: text rejects with the error, and before any text with another one",
  async () => {
    const errors: unknown[] = [];
    for (const script of [open(responses.beginning), open("")]) {
      await using server = await RawServer.listen(script);
      const fetch = sseFetch({ until: isOpenAiEnd, idleTimeout: IDLE });
      const { text } = streamText({
        model: createOpenAI({ apiKey: "key", baseURL: server.url, fetch })(
          model,
        ),
        prompt: "Greet.",
        onError: ({ error }) => void errors.push(error),
      });
      errors.push(await deadline(assertRejects(() => text), "the error"));
    }
    const [halfway, reported, first] = errors;
    assertEquals(codeOf(halfway), "idle-timeout");
    assertEquals(codeOf(reported), "idle-timeout");
    assert(NoOutputGeneratedError.isInstance(first));
  },
);

slowTest(
  "ai: its own chunkMs ends the stream of texts without an error",
  async () => {
    await using server = await RawServer.listen(open(responses.beginning));
    const result = streamText({
      model: createOpenAI({ apiKey: "key", baseURL: server.url })(model),
      prompt: "Greet.",
      timeout: { chunkMs: IDLE },
      onError: ({ error }) => assert(false, String(error)),
    });
    const texts = Array.fromAsync(result.textStream);
    assertEquals(await deadline(texts, "the end"), ["Hel"]);
    await assertRejects(() => Promise.resolve(result.text));
  },
);
