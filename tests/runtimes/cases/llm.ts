/** Streams of large language models, as their APIs send them. */
import { connectSse, type ConnectSseOptions } from "../../../mod.ts";
import { assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import type { Reply } from "../protocol.ts";
import { readAll } from "../read.ts";
import { Stream } from "../stream.ts";

/** Options for such an API: retry until the first event arrives, and not later. */
const options: ConnectSseOptions = {
  method: "POST",
  body: "{}",
  until: "[DONE]",
  reconnect: {
    resume: false,
    initialDelay: 1,
    maxDelay: 1,
    // Anthropic's status for an overloaded API.
    shouldReconnect: ({ response }) => response?.status === 529 || undefined,
  },
};

interface Chunk {
  choices: { delta: { content?: string } }[];
  error?: { message: string };
}

const chunk = (content: string) =>
  `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

/** Reads an LLM stream as a typical program does. */
async function answer(
  url: string,
  onText: (text: string) => void,
): Promise<void> {
  const sse = await connectSse(url, options);
  for await (const event of sse) {
    const { choices, error } = event.json<Partial<Chunk>>();
    if (error) throw new Error(error.message);
    onText(choices?.[0]?.delta.content ?? "");
  }
}

export const llm: Case[] = [
  {
    name: "connectSse reads an LLM stream that has chunks without choices",
    async run(context) {
      const server = new Stream(context, [{
        body: `data: {"choices":[]}\n\n${chunk("Hel")}${chunk("lo")}` +
          `data: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n`,
      }]);
      let text = "";
      await answer(server.url, (part) => text += part);
      assertEquals(text, "Hello");
    },
  },
  {
    name:
      "connectSse yields an LLM's error in a stream with status 200 as an event",
    async run(context) {
      const server = new Stream(context, [{
        body: `${chunk("Hel")}data: {"error":{"message":"overloaded"}}\n\n`,
      }]);
      let text = "";
      const error = await rejection(answer(server.url, (it) => text += it));
      assertEquals([text, (error as Error).message], ["Hel", "overloaded"]);
      const { requests } = await server.log();
      assertEquals(requests.length, 1);
    },
  },
  {
    name: "connectSse retries a busy LLM API until the first event arrives",
    async run(context) {
      const busy = (status: number): Reply => ({
        status,
        headers: { "retry-after": "0" },
        body: "busy",
      });
      const server = new Stream(context, [
        busy(429),
        busy(503),
        busy(529),
        { body: "", then: "end" },
        { body: `${chunk("Hello")}data: [DONE]\n\n` },
      ]);
      let text = "";
      await answer(server.url, (part) => text += part);
      assertEquals(text, "Hello");
      const { requests } = await server.log();
      assertEquals(
        requests.map(({ method, body }) => `${method} ${body}`),
        Array(5).fill("POST {}"),
      );
    },
  },
  {
    name: "connectSse does not retry an LLM stream that is cut off",
    async run(context) {
      for (const then of ["cut", "reset", "end"] as const) {
        const server = new Stream(context, [{ body: chunk("Hel"), then }]);
        let text = "";
        const cut = answer(server.url, (part) => {
          text += part;
          server.breakConnections();
        });
        await sseError(cut, then === "end" ? "truncated" : "network");
        assertEquals(text, "Hel");
        const { requests } = await server.log();
        assertEquals(requests.length, 1);
      }
    },
  },
  {
    name: "connectSse accepts [DONE] without a blank line in an LLM stream",
    async run(context) {
      const server = new Stream(context, [
        { body: `${chunk("Hello")}data: [DONE]` },
      ]);
      let text = "";
      await answer(server.url, (part) => text += part);
      assertEquals(text, "Hello");
    },
  },
  {
    name:
      "connectSse reads an LLM stream of another type only with anyContentType",
    async run(context) {
      for (const type of ["", "application/octet-stream"]) {
        const server = new Stream(context, [{
          headers: { "content-type": type },
          body: "data: a\n\ndata: [DONE]\n\n",
        }]);
        const plain = await connectSse(server.url, { until: "[DONE]" });
        await sseError(plain.next(), "content-type");
        const sse = await connectSse(server.url, {
          until: "[DONE]",
          anyContentType: true,
        });
        assertEquals(await readAll(sse), ["a"]);
      }
    },
  },
  {
    name:
      "connectSse with eventTimeout closes an LLM stream of heartbeats only",
    async run(context) {
      const server = new Stream(context, [
        { body: `: alive\n\n${chunk("Hel")}: alive\n\n`, then: "hang" },
      ]);
      const sse = await connectSse(server.url, {
        ...options,
        idleTimeout: 60_000,
        eventTimeout: 300,
      });
      await sse.next();
      await sseError(sse.next(), "event-timeout");
      const { requests } = await server.log({ disconnects: 1 });
      assertEquals(requests.length, 1);
    },
  },
];
