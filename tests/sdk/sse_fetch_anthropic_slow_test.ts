/** Asserts what `@anthropic-ai/sdk` does with `sseFetch`, and without it. */
import { assertEquals, assertInstanceOf } from "@std/assert";
import Anthropic, { AnthropicError } from "npm:@anthropic-ai/sdk@1.12.0";
import { sseFetch, type SseFetchOptions } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";
import { RawServer } from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import {
  messages as answer,
  messagesError,
  withoutNames,
} from "./sse_fetch_apis.ts";
import {
  ask,
  askBoth,
  codeOf,
  complete,
  type Fetch,
  type Sdk,
  testFaults,
  testSame,
  testTimeout,
} from "./sse_fetch_faults.ts";

const { isAnthropicEnd } = await runBlock("sdks", "npm:@anthropic-ai");
const { isAnthropicEnd: isEndByType } = await runBlock(
  "sdks",
  "event.json<{ type: string }>()",
);

const model = "a-model";
const messages = [{ role: "user" as const, content: "Greet." }];

function clientOf(
  baseURL: string,
  fetch?: Fetch,
  timeout?: number,
): Anthropic {
  return new Anthropic({
    apiKey: "key",
    baseURL,
    maxRetries: 1,
    logLevel: "off",
    fetch,
    timeout,
  });
}

const sdk: Sdk = {
  column: "`@anthropic-ai/sdk`",
  until: isAnthropicEnd,
  ...answer,
  async ask({ url, fetch, signal, timeout, onItem }) {
    const stream = await clientOf(url, fetch, timeout).messages.create(
      { model, max_tokens: 9, messages, stream: true },
      { signal },
    );
    for await (const event of stream) {
      const delta = event.type === "content_block_delta" && event.delta;
      onItem(delta && delta.type === "text_delta" ? delta.text : "", event);
    }
  },
  async askForJson(url, fetch) {
    const { content: [block] } = await clientOf(url, fetch).messages
      .create({ model, max_tokens: 9, messages });
    return block.type === "text" ? block.text : "";
  },
};

testFaults("@anthropic-ai/sdk", sdk);
testSame("@anthropic-ai/sdk", sdk);
testTimeout("@anthropic-ai/sdk", sdk, Anthropic.APIConnectionTimeoutError);

slowTest(
  "@anthropic-ai/sdk with sseFetch throws the same error if the stream has one",
  async () => {
    const { text, error } = await askBoth(
      sdk,
      complete(answer.beginning + messagesError),
    );
    assertEquals(text, "Hel");
    assertInstanceOf(error, Anthropic.APIError);
  },
);

slowTest(
  '@anthropic-ai/sdk ignores events without names, which are "truncated" with the function of the guide',
  async () => {
    const script = complete(withoutNames(answer.beginning + answer.rest));
    const own = await ask(sdk, [script]);
    assertEquals([own.items, own.error], [[], undefined]);
    const byName = await ask(sdk, [script], { guard: {} });
    assertEquals([byName.items, codeOf(byName.error)], [[], "truncated"]);
    const byType = await ask(sdk, [script], { guard: { until: isEndByType } });
    assertEquals([byType.items, byType.error], [[], undefined]);
  },
);

slowTest(
  "@anthropic-ai/sdk: finalMessage() throws an AnthropicError, which sseFetch causes",
  async () => {
    const guard: SseFetchOptions = { until: isAnthropicEnd };
    const codes: unknown[] = [];
    for (const fetch of [undefined, sseFetch(guard)]) {
      await using server = await RawServer.listen(complete(answer.beginning));
      const final = clientOf(server.url, fetch).messages
        .stream({ model, max_tokens: 9, messages }).finalMessage();
      const error = await deadline(final.catch((error) => error), "the error");
      assertInstanceOf(error, AnthropicError);
      codes.push(codeOf(error));
    }
    assertEquals(codes, [undefined, "truncated"]);
  },
);
