/** Asserts that `openai` on `readSse` works as with its own reader. */
import { assert, assertEquals } from "@std/assert";
import OpenAI from "npm:openai@7.57.0";
import type { ChatCompletionChunk } from "npm:openai@7.57.0/resources/chat/completions";
import { type Handler, HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";
import { collect, inChunks, runBoth, runSame, settled } from "./compare.ts";
import { replaceReader } from "./openai_reader.ts";
import { slowTest } from "../support/slow_test.ts";

function clientOf(server: { url: string }): OpenAI {
  return new OpenAI({
    apiKey: "key",
    baseURL: server.url,
    maxRetries: 0,
    logLevel: "off",
  });
}

const question = {
  model: "a-model",
  messages: [{ role: "user", content: "Why is the sky blue?" }],
} satisfies OpenAI.Chat.ChatCompletionCreateParams;

function ask(server: { url: string }, signal?: AbortSignal) {
  return clientOf(server).chat.completions.create(
    { ...question, stream: true },
    { signal },
  );
}

function chunk(
  delta: ChatCompletionChunk.Choice.Delta,
  finish_reason: "stop" | "tool_calls" | null = null,
): ChatCompletionChunk {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1_800_000_000,
    model: "a-model",
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
  };
}

const answerChunks: ChatCompletionChunk[] = [
  chunk({ role: "assistant", content: "" }),
  chunk({ content: "Of " }),
  chunk({ content: "scattering.\r\n☃" }),
  chunk({}, "stop"),
  {
    ...chunk({}),
    choices: [],
    usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
  },
];

function dataOf(...chunks: unknown[]): string {
  return chunks.map((it) => `data: ${JSON.stringify(it)}\n\n`).join("");
}

const answer = dataOf(...answerChunks) + "data: [DONE]\n\n";

function callChunk(
  call: ChatCompletionChunk.Choice.Delta.ToolCall,
): ChatCompletionChunk {
  return chunk({ tool_calls: [call] });
}

/** An answer that calls the tool twice, in fragments. */
const toolCalls = dataOf(
  chunk({ role: "assistant", content: null }),
  callChunk({
    index: 0,
    id: "call_1",
    type: "function",
    function: { name: "add", arguments: "" },
  }),
  callChunk({ index: 0, function: { arguments: '{"a":1' } }),
  callChunk({ index: 0, function: { arguments: ',"b":2}' } }),
  callChunk({
    index: 1,
    id: "call_2",
    type: "function",
    function: { name: "add", arguments: '{"a":3,"b":4}' },
  }),
  chunk({}, "tool_calls"),
) + "data: [DONE]\n\n";

const replies: Record<string, Handler> = {
  "in one chunk": () => eventResponse(answer),
  "with a byte order mark": () => eventResponse(`\ufeff${answer}`),
  "in chunks of one byte": () => inChunks(answer, 1),
  "in chunks of seven bytes": () => inChunks(answer, 7),
  "with CRLF": () => eventResponse(answer.replaceAll("\n", "\r\n")),
  "with CR": () => eventResponse(answer.replaceAll("\n", "\r")),
  "with comments": () =>
    eventResponse(`: PROCESSING\n\n${answer.replaceAll("data", ": .\ndata")}`),
  "with id and retry fields": () =>
    eventResponse(answer.replaceAll("data", "id: 7\nretry: 9\ndata")),
  "without a final line break": () => eventResponse(answer.slice(0, -2)),
  "without a final blank line": () => eventResponse(answer.slice(0, -1)),
  "with data after [DONE]": () => eventResponse(answer + dataOf(chunk({}))),
  "with another content type": () =>
    eventResponse(answer, { headers: { "content-type": "text/plain" } }),
};
for (const [form, reply] of Object.entries(replies)) {
  slowTest(
    `openai on readSse yields the same chunks for an answer ${form}`,
    async () => {
      const read = await runSame(async () => {
        await using server = new HttpServer(reply);
        return await collect(await ask(server));
      }, replaceReader);
      assertEquals(read, { items: answerChunks, failure: undefined });
    },
  );
}

slowTest("openai on readSse accumulates the same answer", async () => {
  const { received, completion } = await runSame(async () => {
    await using server = new HttpServer(() => eventResponse(answer));
    const received: unknown[] = [];
    const stream = clientOf(server).chat.completions.stream(question)
      .on("content", (...content) => received.push(content));
    return { completion: await stream.finalChatCompletion(), received };
  }, replaceReader);
  assertEquals(received, [
    ["Of ", "Of "],
    ["scattering.\r\n☃", "Of scattering.\r\n☃"],
  ]);
  assertEquals(completion.choices[0].message.content, "Of scattering.\r\n☃");
  assertEquals(completion.usage?.total_tokens, 8);
});

slowTest(
  "openai on readSse supports tee() and toReadableStream()",
  async () => {
    const { left, right } = await runSame(async () => {
      await using server = new HttpServer(() => eventResponse(answer));
      const [left, right] = (await ask(server)).tee();
      return {
        left: await collect(left),
        right: await new Response(right.toReadableStream()).text(),
      };
    }, replaceReader);
    assertEquals(left.items, answerChunks);
    assertEquals(
      right,
      answerChunks.map((it) => JSON.stringify(it) + "\n").join(""),
    );
  },
);

slowTest(
  "openai on readSse calls the same tools and sends their results",
  async () => {
    const { calls, text, requests } = await runSame(async () => {
      await using server = new HttpServer(
        () => eventResponse(toolCalls),
        () => eventResponse(answer),
      );
      const calls: unknown[] = [];
      const runner = clientOf(server).chat.completions.runTools({
        ...question,
        stream: true,
        tools: [{
          type: "function",
          function: {
            name: "add",
            description: "Adds two numbers",
            parameters: { type: "object" },
            parse: JSON.parse,
            function({ a, b }: { a: number; b: number }) {
              calls.push([a, b]);
              return String(a + b);
            },
          },
        }],
      });
      return {
        text: await runner.finalContent(),
        calls,
        requests: server.requests.map(({ body }) => JSON.parse(body)),
      };
    }, replaceReader);
    assertEquals(calls, [[1, 2], [3, 4]]);
    assertEquals(text, "Of scattering.\r\n☃");
    assertEquals(
      requests[1].messages.slice(-2),
      [["call_1", "3"], ["call_2", "7"]].map(([tool_call_id, content]) => ({
        role: "tool",
        tool_call_id,
        content,
      })),
    );
  },
);

/** Returns events of the Responses API, which have names, without "[DONE]". */
function responseEvents(): { type: string; [key: string]: unknown }[] {
  const response = {
    id: "resp_1",
    object: "response",
    created_at: 1_800_000_000,
    model: "a-model",
    status: "in_progress",
    output: [],
  };
  const item = { id: "msg_1", type: "message", role: "assistant" };
  const part = { type: "output_text", text: "Of scattering.", annotations: [] };
  const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const output = [{ ...item, status: "completed", content: [part] }];
  return [
    { type: "response.created", response },
    {
      type: "response.output_item.added",
      output_index: 0,
      item: { ...item, status: "in_progress", content: [] },
    },
    {
      type: "response.content_part.added",
      ...at,
      part: { ...part, text: "" },
    },
    { type: "response.output_text.delta", ...at, delta: "Of " },
    { type: "response.output_text.delta", ...at, delta: "scattering." },
    { type: "response.output_text.done", ...at, text: part.text },
    {
      type: "response.completed",
      response: { ...response, status: "completed", output },
    },
  ].map((event, sequence_number) => ({ ...event, sequence_number }));
}

function namedData(events: { type: string }[]): string {
  return events
    .map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`)
    .join("");
}

slowTest(
  "openai on readSse yields the same events and response of the Responses API",
  async () => {
    const { items, final } = await runSame(async () => {
      await using server = new HttpServer(() =>
        eventResponse(namedData(responseEvents()))
      );
      const { responses } = clientOf(server);
      const params = { model: "a-model", input: "Why is the sky blue?" };
      return {
        ...await collect(await responses.create({ ...params, stream: true })),
        final: await responses.stream(params).finalResponse(),
      };
    }, replaceReader);
    assertEquals<unknown>(items, responseEvents());
    assertEquals(final.output_text, "Of scattering.");
  },
);

const overloaded = {
  message: "Overloaded",
  type: "server_error",
  code: "busy",
};
const errors: Record<string, [text: string, message: string]> = {
  "an error object": [
    dataOf({ error: overloaded }),
    "APIError: Overloaded",
  ],
  "an event with the name error": [
    `event: error\n${dataOf(overloaded)}`,
    "APIError: Overloaded",
  ],
  "data that is not JSON": [
    'data: {"choices":\n\n',
    "SyntaxError: Error reading response: malformed server-sent event JSON.",
  ],
  "empty data": [
    "data:\n\n",
    "SyntaxError: Error reading response: malformed server-sent event JSON.",
  ],
};
for (const [what, [error, message]] of Object.entries(errors)) {
  slowTest(
    `openai on readSse throws the same error after ${what}`,
    async () => {
      const { read, completion } = await runSame(async () => {
        const text = dataOf(answerChunks[1]) + error;
        const open = new OpenResponse(text);
        await using server = new HttpServer(
          () => open.response,
          () => eventResponse(text),
        );
        const read = await collect(await ask(server));
        await open.cancelled;
        const stream = clientOf(server).chat.completions.stream(question);
        return {
          read,
          completion: await settled(stream.finalChatCompletion()),
        };
      }, replaceReader);
      assertEquals(read.items, [answerChunks[1]]);
      assertEquals(`${read.failure?.class}: ${read.failure?.message}`, message);
      assert("failure" in completion);
      assertEquals(completion.failure.message, read.failure?.message);
    },
  );
}

// The SDK throws the error of the runtime, which differs between runtimes.
// `readSse` throws an error with the code "network" and that error as its
// cause.
for (const fault of ["reset", "end"] as const) {
  slowTest(
    `openai on readSse yields all complete chunks, then throws, if the connection is cut by TCP ${fault}`,
    async () => {
      const { own, replaced } = await runBoth(async () => {
        await using server = await RawServer.listen(async (connection) => {
          await connection.send(eventStreamHead);
          await connection.chunk(dataOf(answerChunks[1]) + 'data: {"cho');
        });
        const cut = () => server.connections[0][fault]();
        return await collect(await ask(server), cut);
      }, replaceReader);
      assertEquals(own.items, [answerChunks[1]]);
      assertEquals(own.failure?.class, "TypeError");
      assertEquals(replaced.items, own.items);
      assertEquals(replaced.failure?.class, "SseError");
      assertEquals(replaced.failure?.fields.code, "network");
      assertEquals(replaced.failure?.cause, own.failure);
    },
  );
}

slowTest(
  "openai yields a truncated answer without an error, also on readSse unless until is set",
  async () => {
    const program = async () => {
      await using server = new HttpServer(() =>
        eventResponse(dataOf(answerChunks[1]))
      );
      return await collect(await ask(server));
    };
    const whole = await runSame(program, replaceReader);
    assertEquals(whole, { items: [answerChunks[1]], failure: undefined });

    const { replaced } = await runBoth(
      program,
      () => replaceReader({ until: "[DONE]" }),
    );
    assertEquals(replaced.items, [answerChunks[1]]);
    assertEquals(replaced.failure?.fields.code, "truncated");
  },
);

// It cannot be distinguished from a truncated event, so the HTML standard drops
// it.
slowTest(
  "openai yields an event without a final blank line, which readSse drops",
  async () => {
    const { own, replaced } = await runBoth(async () => {
      await using server = new HttpServer(() =>
        eventResponse(dataOf(answerChunks[1], answerChunks[2]).slice(0, -2))
      );
      return await collect(await ask(server));
    }, replaceReader);
    assertEquals(own.items, [answerChunks[1], answerChunks[2]]);
    assertEquals(replaced.items, [answerChunks[1]]);
  },
);

// The HTML standard does not dispatch events without data.
slowTest(
  "openai throws at an event name without data, which readSse ignores",
  async () => {
    const { own, replaced } = await runBoth(async () => {
      await using server = new HttpServer(() =>
        eventResponse(`event: ping\n\n${answer}`)
      );
      return await collect(await ask(server));
    }, replaceReader);
    assertEquals(own.items, []);
    assertEquals(own.failure?.class, "SyntaxError");
    assertEquals(replaced, { items: answerChunks, failure: undefined });
  },
);

const aborts: Record<
  string,
  (stream: { controller: AbortController }, caller: AbortController) => void
> = {
  "its own controller": ({ controller }) => controller.abort(),
  "the caller's signal": (_, caller) => caller.abort(),
};
for (const [what, abort] of Object.entries(aborts)) {
  slowTest(
    `openai on readSse ends and closes the connection when ${what} aborts`,
    async () => {
      const read = await runSame(async () => {
        const open = new OpenResponse(dataOf(answerChunks[1]));
        await using server = new HttpServer(() => open.response);
        const caller = new AbortController();
        const stream = await ask(server, caller.signal);
        // Aborts later, while the next chunk is pending.
        const onItem = () => void setTimeout(() => abort(stream, caller));
        const read = await collect(stream, onItem);
        await open.cancelled;
        return read;
      }, replaceReader);
      assertEquals(read, { items: [answerChunks[1]], failure: undefined });
    },
  );
}

slowTest(
  "openai on readSse closes the connection if the loop is left",
  async () => {
    const first = await runSame(async () => {
      const open = new OpenResponse(dataOf(answerChunks[1]));
      await using server = new HttpServer(() => open.response);
      const stream = await ask(server);
      let first: unknown;
      for await (first of stream) break;
      await open.cancelled;
      return [first, stream.controller.signal.aborted];
    }, replaceReader);
    assertEquals(first, [answerChunks[1], true]);
  },
);

slowTest(
  "openai on readSse rejects with the same error if the user aborts the answer",
  async () => {
    const completion = await runSame(async () => {
      const open = new OpenResponse(dataOf(...answerChunks.slice(0, 2)));
      await using server = new HttpServer(() => open.response);
      const stream = clientOf(server).chat.completions.stream(question);
      stream.on("content", () => setTimeout(() => stream.abort()));
      const completion = await settled(stream.finalChatCompletion());
      await open.cancelled;
      return completion;
    }, replaceReader);
    assertEquals(
      "failure" in completion && completion.failure.class,
      "APIUserAbortError",
    );
  },
);
