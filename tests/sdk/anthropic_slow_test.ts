/**
 * Asserts that `@anthropic-ai/sdk` on `readSse` works as with its own reader.
 */
import Anthropic from "npm:@anthropic-ai/sdk@1.12.0";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Handler, HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";
import { replaceReader } from "./anthropic_reader.ts";
import { collect, inChunks, runBoth, runSame, settled } from "./compare.ts";
import { slowTest } from "../support/slow_test.ts";

function clientOf(server: { url: string }): Anthropic {
  return new Anthropic({
    apiKey: "key",
    baseURL: server.url,
    maxRetries: 0,
    logLevel: "off",
  });
}

const question = {
  model: "a-model",
  max_tokens: 100,
  messages: [{ role: "user", content: "Why is the sky blue?" }],
} satisfies Anthropic.MessageCreateParams;

function ask(server: { url: string }, signal?: AbortSignal) {
  return clientOf(server).messages.create(
    { ...question, stream: true },
    { signal },
  );
}

interface Event {
  type: string;
  [field: string]: unknown;
}

/**
 * Returns the events of a message with these content blocks, each split into
 * deltas.
 */
function eventsOf(
  stop_reason: string,
  ...blocks: { content_block: unknown; deltas: unknown[] }[]
): Event[] {
  return [
    {
      type: "message_start",
      message: {
        id: "msg_1",
        type: "message",
        role: "assistant",
        model: "a-model",
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: 5, output_tokens: 1 },
      },
    },
    ...blocks.flatMap(({ content_block, deltas }, index) => [
      { type: "content_block_start", index, content_block },
      ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
      { type: "content_block_stop", index },
    ]),
    {
      type: "message_delta",
      delta: { stop_reason, stop_sequence: null },
      usage: { output_tokens: 9 },
    },
    { type: "message_stop" },
  ];
}

const answerEvents = eventsOf("end_turn", {
  content_block: { type: "text", text: "" },
  deltas: ["Of ", "scattering.\r\n☃"].map((text) => ({
    type: "text_delta",
    text,
  })),
});

const toolUseEvents = eventsOf(
  "tool_use",
  {
    content_block: { type: "text", text: "" },
    deltas: [{ type: "text_delta", text: "Let me add." }],
  },
  ...["toolu_1", "toolu_2"].map((id) => ({
    content_block: { type: "tool_use", id, name: "add", input: {} },
    deltas: ["", '{"a": 1', ', "b": 2}'].map((partial_json) => ({
      type: "input_json_delta",
      partial_json,
    })),
  })),
);

function streamOf(events: Event[]): string {
  return events
    .map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`)
    .join("");
}

const answer = streamOf(answerEvents);
/** The answer up to its first words. */
const beginning = streamOf(answerEvents.slice(0, 3));

const replies: Record<string, Handler> = {
  "in one chunk": () => eventResponse(answer),
  "with a byte order mark": () => eventResponse(`\ufeff${answer}`),
  "in chunks of one byte": () => inChunks(answer, 1),
  "in chunks of seven bytes": () => inChunks(answer, 7),
  "with CRLF": () => eventResponse(answer.replaceAll("\n", "\r\n")),
  "with CR": () => eventResponse(answer.replaceAll("\n", "\r")),
  "with comments": () =>
    eventResponse(`: a\n\n${answer.replaceAll("data", ": b\ndata")}`),
  "with id and retry fields": () =>
    eventResponse(answer.replaceAll("data", "id: 7\nretry: 9\ndata")),
  "with pings": () =>
    eventResponse(
      answer.replaceAll(
        "event:",
        'event: ping\ndata: {"type":"ping"}\n\nevent:',
      ),
    ),
  "with event names without data": () =>
    eventResponse(answer.replaceAll("event:", "event: other\n\nevent:")),
  "with data without event names": () =>
    eventResponse(answer.replaceAll("event:", "data: {}\n\nevent:")),
  "with another content type": () =>
    eventResponse(answer, { headers: { "content-type": "text/plain" } }),
};
for (const [form, reply] of Object.entries(replies)) {
  slowTest(
    `anthropic on readSse yields the same events for an answer ${form}`,
    async () => {
      const read = await runSame(async () => {
        await using server = new HttpServer(reply);
        return await collect(await ask(server));
      }, replaceReader);
      assertEquals<unknown>(read, { items: answerEvents, failure: undefined });
    },
  );
}

slowTest("anthropic on readSse accumulates the same message", async () => {
  const { received, message } = await runSame(async () => {
    await using server = new HttpServer(() => eventResponse(answer));
    const received: unknown[] = [];
    const stream = clientOf(server).messages.stream(question)
      .on("text", (...text) => received.push(text));
    return { message: await stream.finalMessage(), received };
  }, replaceReader);
  assertEquals(received, [
    ["Of ", "Of "],
    ["scattering.\r\n☃", "Of scattering.\r\n☃"],
  ]);
  const [block] = message.content;
  assertEquals(block.type === "text" && block.text, "Of scattering.\r\n☃");
  assertEquals(message.usage.output_tokens, 9);
});

slowTest(
  "anthropic on readSse supports tee() and toReadableStream()",
  async () => {
    const { left, right } = await runSame(async () => {
      await using server = new HttpServer(() => eventResponse(answer));
      const [left, right] = (await ask(server)).tee();
      return {
        left: await collect(left),
        right: await new Response(right.toReadableStream()).text(),
      };
    }, replaceReader);
    assertEquals<unknown>(left.items, answerEvents);
    assertEquals(
      right,
      answerEvents.map((it) => JSON.stringify(it) + "\n").join(""),
    );
  },
);

slowTest(
  "anthropic on readSse calls the same tools and sends their results",
  async () => {
    const { calls, messages, requests } = await runSame(async () => {
      await using server = new HttpServer(
        () => eventResponse(streamOf(toolUseEvents)),
        () => eventResponse(answer),
      );
      const calls: unknown[] = [];
      const runner = clientOf(server).beta.messages.toolRunner({
        ...question,
        stream: true,
        tools: [{
          name: "add",
          description: "Adds two numbers",
          input_schema: { type: "object" },
          parse: (input) => input as { a: number; b: number },
          run({ a, b }: { a: number; b: number }) {
            calls.push([a, b]);
            return String(a + b);
          },
        }],
      });
      const messages: unknown[] = [];
      for await (const stream of runner) {
        messages.push((await stream.finalMessage()).content);
      }
      return {
        messages,
        calls,
        requests: server.requests.map(({ body }) => JSON.parse(body)),
      };
    }, replaceReader);
    assertEquals(calls, [[1, 2], [1, 2]]);
    assertEquals(messages.length, 2);
    assertEquals(
      requests[1].messages.at(-1).content,
      ["toolu_1", "toolu_2"].map((tool_use_id) => ({
        type: "tool_result",
        tool_use_id,
        content: "3",
      })),
    );
  },
);

const overloaded = {
  type: "error",
  error: { type: "overloaded_error", message: "Overloaded" },
};
const errors: Record<string, [text: string, name: string]> = {
  "an error event": [streamOf([overloaded]), "APIError"],
  "an error event that is not JSON": [
    "event: error\ndata: Overloaded\n\n",
    "APIError",
  ],
  "data that is not JSON": [
    'event: message_stop\ndata: {"type":\n\n',
    "SyntaxError",
  ],
};
for (const [what, [error, name]] of Object.entries(errors)) {
  slowTest(
    `anthropic on readSse throws the same error after ${what}`,
    async () => {
      const { read, message } = await runSame(async () => {
        const open = new OpenResponse(beginning + error);
        await using server = new HttpServer(
          () => open.response,
          () => eventResponse(beginning + error),
        );
        const read = await collect(await ask(server));
        await open.cancelled;
        const stream = clientOf(server).messages.stream(question);
        return { read, message: await settled(stream.finalMessage()) };
      }, replaceReader);
      assertEquals<unknown>(read.items, answerEvents.slice(0, 3));
      assertEquals(read.failure?.class, name);
      assert("failure" in message);
      assertStringIncludes(message.failure.message, read.failure!.message);
    },
  );
}

// The SDK throws the error of the runtime, which differs between runtimes.
// `readSse` throws an error with the code "network" and that error as its
// cause.
for (const fault of ["reset", "end"] as const) {
  slowTest(
    `anthropic on readSse yields all complete events, then throws, if the connection is cut by TCP ${fault}`,
    async () => {
      const { own, replaced } = await runBoth(async () => {
        await using server = await RawServer.listen(async (connection) => {
          await connection.send(eventStreamHead);
          await connection.chunk(beginning + "event: content_block_de");
        });
        const cut = ({ type }: { type: string }) => {
          if (type === "content_block_delta") server.connections[0][fault]();
        };
        return await collect(await ask(server), cut);
      }, replaceReader);
      assertEquals<unknown>(own.items, answerEvents.slice(0, 3));
      assertEquals(own.failure?.class, "TypeError");
      assertEquals(replaced.items, own.items);
      assertEquals(replaced.failure?.class, "SseError");
      assertEquals(replaced.failure?.fields.code, "network");
      assertEquals(replaced.failure?.cause, own.failure);
    },
  );
}

slowTest(
  "anthropic yields a truncated answer without an error, also on readSse unless until is set",
  async () => {
    const program = async () => {
      await using server = new HttpServer(() => eventResponse(beginning));
      return {
        read: await collect(await ask(server)),
        message: await settled(
          clientOf(server).messages.stream(question).finalMessage(),
        ),
      };
    };
    const whole = await runSame(program, replaceReader);
    assertEquals<unknown>(whole.read, {
      items: answerEvents.slice(0, 3),
      failure: undefined,
    });
    assert("failure" in whole.message);
    assertEquals(
      whole.message.failure.message,
      "stream ended without producing a Message with role=assistant",
    );

    const { replaced } = await runBoth(
      program,
      () => replaceReader({ until: ({ event }) => event === "message_stop" }),
    );
    assertEquals<unknown>(replaced.read.items, answerEvents.slice(0, 3));
    assertEquals(replaced.read.failure?.fields.code, "truncated");
  },
);

slowTest(
  "anthropic drops an event without a final blank line, also on readSse",
  async () => {
    for (const missing of [1, 2]) {
      const read = await runSame(async () => {
        await using server = new HttpServer(() =>
          eventResponse(answer.slice(0, -missing))
        );
        return await collect(await ask(server));
      }, replaceReader);
      assertEquals<unknown>(read.items, answerEvents.slice(0, -1));
    }
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
    `anthropic on readSse ends and closes the connection when ${what} aborts`,
    async () => {
      const read = await runSame(async () => {
        const open = new OpenResponse(beginning);
        await using server = new HttpServer(() => open.response);
        const caller = new AbortController();
        const stream = await ask(server, caller.signal);
        const read = await collect(stream, ({ type }) => {
          // Aborts later, while the next event is pending.
          if (type === "content_block_delta") {
            setTimeout(() => abort(stream, caller));
          }
        });
        await open.cancelled;
        return read;
      }, replaceReader);
      assertEquals<unknown>(read, {
        items: answerEvents.slice(0, 3),
        failure: undefined,
      });
    },
  );
}

slowTest(
  "anthropic on readSse closes the connection if the loop is left",
  async () => {
    const seen = await runSame(async () => {
      const open = new OpenResponse(beginning);
      await using server = new HttpServer(() => open.response);
      const stream = await ask(server);
      let first: unknown;
      for await (first of stream) break;
      await open.cancelled;
      return [first, stream.controller.signal.aborted];
    }, replaceReader);
    assertEquals<unknown>(seen, [answerEvents[0], true]);
  },
);

slowTest(
  "anthropic on readSse rejects with the same error if the user aborts the answer",
  async () => {
    const message = await runSame(async () => {
      const open = new OpenResponse(beginning);
      await using server = new HttpServer(() => open.response);
      const stream = clientOf(server).messages.stream(question);
      stream.on("text", () => setTimeout(() => stream.abort()));
      const message = await settled(stream.finalMessage());
      await open.cancelled;
      return message;
    }, replaceReader);
    assertEquals(
      "failure" in message && message.failure.class,
      "APIUserAbortError",
    );
  },
);
