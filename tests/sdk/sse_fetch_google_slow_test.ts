/** Asserts what `@google/genai` does with `sseFetch`, and without it. */
import { assertEquals, assertInstanceOf, assertIsError } from "@std/assert";
import {
  ApiError,
  type GenerateContentResponse,
  GoogleGenAI,
} from "npm:@google/genai@3.3.0";
import { type ServerSentEvent, sseFetch } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { RawServer, type Script } from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import { gemini, geminiChunk } from "./sse_fetch_apis.ts";
import {
  ask,
  askBoth,
  busy,
  codeOf,
  complete,
  dataOf,
  type Fetch,
  IDLE,
  open,
  type Sdk,
  sleep,
  slowStream,
  testFaults,
  testSame,
} from "./sse_fetch_faults.ts";

const model = "a-model";

function clientOf(
  baseUrl: string,
  fetch?: Fetch,
  { attempts, timeout }: {
    attempts?: number;
    timeout?: number | undefined;
  } = {},
): GoogleGenAI {
  return new GoogleGenAI({
    apiKey: "key",
    httpOptions: {
      baseUrl,
      fetch,
      timeout,
      retryOptions: attempts === undefined
        ? undefined
        : { attempts, initialDelay: 0.01 },
    },
  });
}

const textOf = ({ candidates }: GenerateContentResponse) =>
  candidates?.[0].content?.parts?.[0].text ?? "";

const sdk: Sdk = {
  column: "`@google/genai`",
  until: undefined,
  ...gemini,
  async ask({ url, fetch, signal, timeout, onItem }) {
    const stream = await clientOf(url, fetch, { timeout }).models
      .generateContentStream({
        model,
        contents: "Greet.",
        config: { abortSignal: signal },
      });
    for await (const chunk of stream) {
      const { sdkHttpResponse: _, ...item } = chunk;
      onItem(textOf(chunk), item);
    }
  },
  async askForJson(url, fetch) {
    return textOf(
      await clientOf(url, fetch).models.generateContent({
        model,
        contents: "Greet.",
      }),
    );
  },
};

testFaults("@google/genai", sdk);
testSame("@google/genai", sdk);

slowTest(
  "@google/genai throws an error in the stream, also with sseFetch",
  async () => {
    const error = dataOf({ error: { code: 503, message: "Overloaded" } });
    const result = await askBoth(sdk, complete(gemini.beginning + error));
    assertEquals(result.text, "Hel");
    assertInstanceOf(result.error, ApiError);
  },
);

/** The last event for an `until` that does not know what follows. */
function hasFinishReason(event: ServerSentEvent): boolean {
  const { candidates } = event.json<GenerateContentResponse>();
  return candidates?.some((it) => it.finishReason !== undefined) ?? false;
}

slowTest(
  "@google/genai with sseFetch loses what follows a finishReason, if until ends the stream there",
  async () => {
    const usage = { usageMetadata: { totalTokenCount: 3 } };
    const streams = [
      [geminiChunk("Hello", "STOP"), usage],
      [geminiChunk("Hel", "STOP"), geminiChunk("lo", "STOP")],
    ];
    for (const [first, second] of streams) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const script: Script = async (connection) => {
        await open(dataOf(first))(connection);
        await promise;
        await connection.chunk(dataOf(second)).catch(() => {});
        connection.end();
      };
      const { items } = await ask(sdk, [script], {
        guard: { until: hasFinishReason },
        onText: () => resolve(),
      });
      assertEquals(items, [first]);
    }
  },
);

slowTest("@google/genai retries only if it has retryOptions", async () => {
  for (const fetch of [undefined, sseFetch({ idleTimeout: IDLE })]) {
    await using server = await RawServer.listen(
      busy,
      complete(gemini.beginning + gemini.rest),
    );
    const stream = await clientOf(server.url, fetch, { attempts: 2 }).models
      .generateContentStream({ model, contents: "Greet." });
    const texts = await Array.fromAsync(stream, textOf);
    assertEquals(texts, ["Hel", "lo"]);
    assertEquals(server.connections.length, 2);
  }
});

slowTest(
  "@google/genai leaves the connection open if the loop is left, also with sseFetch",
  async () => {
    for (const fetch of [undefined, sseFetch({ idleTimeout: IDLE })]) {
      await using server = await RawServer.listen(open(gemini.beginning));
      const controller = new AbortController();
      const stream = await clientOf(server.url, fetch).models
        .generateContentStream({
          model,
          contents: "Greet.",
          config: { abortSignal: controller.signal },
        });
      for await (const chunk of stream) {
        assertEquals(textOf(chunk), "Hel");
        break;
      }
      let isOpen = true;
      const { disconnected } = server.connections[0];
      const closed = disconnected.then(() => isOpen = false);
      await sleep(2 * IDLE);
      assertEquals(isOpen, true);
      controller.abort();
      await closed;
    }
  },
);

slowTest(
  '@google/genai with sseFetch: streams of Interactions end at "[DONE]"',
  async () => {
    const delta = { event_type: "step.delta", delta: { text: "Hel" } };
    for (
      const [end, code] of [["data: [DONE]\n\n", undefined], ["", "truncated"]]
    ) {
      await using server = await RawServer.listen(
        complete(dataOf(delta) + end),
      );
      const client = clientOf(
        server.url.slice(0, -1),
        sseFetch({ until: "[DONE]", idleTimeout: IDLE }),
      );
      const read = async () => {
        const stream = await client.interactions.create({
          model,
          input: "Greet.",
          stream: true,
        });
        return await Array.fromAsync(stream);
      };
      const result = await deadline(read().catch((error) => error), "the end");
      if (code === undefined) assertEquals(result, [delta]);
      else assertEquals(codeOf(result), code);
    }
  },
);

slowTest("@google/genai: its timeout limits the whole stream", async () => {
  const script = slowStream(sdk);
  const { text, error } = await askBoth(sdk, script, {
    guard: { idleTimeout: 5000 },
    timeout: IDLE,
  });
  assertEquals(text, "Hel");
  assertIsError(error, Error);
  assertEquals(codeOf(error), undefined);
});
