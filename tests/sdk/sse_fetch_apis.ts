/** Event streams of APIs, whose answer is "Hello". */
import { dataOf, eventsOf } from "./sse_fetch_faults.ts";

/** A stream in two parts, with the texts "Hel" and "lo", and the answer as JSON. */
interface Answer {
  beginning: string;
  rest: string;
  json: unknown;
}

function chatChunk(delta: unknown, finish_reason: string | null = null) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1_800_000_000,
    model: "a-model",
    choices: [{ index: 0, delta, finish_reason }],
  };
}

/** OpenAI's Chat Completions API. */
export const chatCompletions: Answer = {
  beginning: dataOf(
    chatChunk({ role: "assistant", content: "" }),
    chatChunk({ content: "Hel" }),
  ),
  rest: dataOf(chatChunk({ content: "lo" }), chatChunk({}, "stop")) +
    "data: [DONE]\n\n",
  json: {
    ...chatChunk({}),
    object: "chat.completion",
    choices: [{
      index: 0,
      message: { role: "assistant", content: "Hello" },
      finish_reason: "stop",
    }],
  },
};

/** An error in a stream of Chat Completions. */
export const chatError = dataOf({
  error: { message: "Overloaded", type: "server_error", code: "busy" },
});

const response = {
  id: "resp_1",
  object: "response",
  created_at: 1_800_000_000,
  model: "a-model",
  status: "in_progress",
  output: [],
};
const item = { id: "msg_1", type: "message", role: "assistant" };
const part = { type: "output_text", text: "Hello", annotations: [] };
const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
const completed = {
  ...response,
  status: "completed",
  output: [{ ...item, status: "completed", content: [part] }],
  usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
};

/** OpenAI's Responses API. */
export const responses: Answer = {
  beginning: eventsOf(
    { type: "response.created", sequence_number: 0, response },
    {
      type: "response.output_item.added",
      sequence_number: 1,
      output_index: 0,
      item: { ...item, status: "in_progress", content: [] },
    },
    {
      type: "response.content_part.added",
      sequence_number: 2,
      ...at,
      part: { ...part, text: "" },
    },
    {
      type: "response.output_text.delta",
      sequence_number: 3,
      ...at,
      delta: "Hel",
    },
  ),
  rest: eventsOf(
    {
      type: "response.output_text.delta",
      sequence_number: 4,
      ...at,
      delta: "lo",
    },
    {
      type: "response.output_item.done",
      sequence_number: 5,
      output_index: 0,
      item: completed.output[0],
    },
    { type: "response.completed", sequence_number: 6, response: completed },
  ),
  json: completed,
};

/** An error in a stream of the Responses API. */
export const responsesError = eventsOf({
  type: "error",
  sequence_number: 4,
  code: "server_error",
  message: "Overloaded",
  param: null,
});

/** The end of an answer that has failed. */
export const responsesFailure = eventsOf({
  type: "response.failed",
  sequence_number: 4,
  response: {
    ...response,
    status: "failed",
    error: { code: "server_error", message: "Overloaded" },
  },
});

const message = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "a-model",
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 },
};

function textDelta(text: string) {
  return {
    type: "content_block_delta",
    index: 0,
    delta: { type: "text_delta", text },
  };
}

/** Anthropic's Messages API. */
export const messages: Answer = {
  beginning: eventsOf(
    { type: "message_start", message },
    {
      type: "content_block_start",
      index: 0,
      content_block: { type: "text", text: "" },
    },
    { type: "ping" },
    textDelta("Hel"),
  ),
  rest: eventsOf(
    textDelta("lo"),
    { type: "content_block_stop", index: 0 },
    {
      type: "message_delta",
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { output_tokens: 2 },
    },
    { type: "message_stop" },
  ),
  json: {
    ...message,
    content: [{ type: "text", text: "Hello" }],
    stop_reason: "end_turn",
  },
};

/** An error in a stream of Anthropic's API. */
export const messagesError = eventsOf({
  type: "error",
  error: { type: "overloaded_error", message: "Overloaded" },
});

/** Returns a stream as proxies pass it on that drop the names of events. */
export function withoutNames(stream: string): string {
  return stream.replace(/^event:.*\n/gm, "");
}

/** Returns a chunk of Gemini's API. */
export function geminiChunk(text: string, finishReason?: string) {
  return {
    candidates: [{
      index: 0,
      content: { role: "model", parts: [{ text }] },
      finishReason,
    }],
    usageMetadata: { totalTokenCount: 2 },
  };
}

/** Gemini's API. */
export const gemini: Answer = {
  beginning: dataOf(geminiChunk("Hel")),
  rest: dataOf(geminiChunk("lo", "STOP")),
  json: geminiChunk("Hello", "STOP"),
};
