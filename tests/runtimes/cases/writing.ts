import {
  connectSse,
  encodeSse,
  SseDecoder,
  SseEncoderStream,
  SseEventStream,
  type SseMessage,
  sseResponse,
} from "../../../mod.ts";
import { vectors } from "../../vectors.ts";
import { assert, assertEquals, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, read, streamOf } from "../read.ts";
import { Stream } from "../stream.ts";

export const writing: Case[] = [
  {
    name: "encodeSse writes what SseDecoder reads",
    run() {
      const text = encodeSse({
        comment: "é\r\n☃",
        event: "e",
        id: "🎉",
        retry: 7,
        data: "a\rb\r\nc\nd\n",
      });
      assertEquals(
        text,
        ": é\n: ☃\nevent: e\nid: 🎉\nretry: 7\n" +
          "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n",
      );
      const [event] = new SseDecoder().decode(text);
      assertEquals(event, {
        event: "e",
        data: "a\nb\nc\nd\n",
        id: "🎉",
        retry: 7,
      });
    },
  },
  {
    name: "encodeSse throws where a field would forge another",
    run() {
      const forged: SseMessage[] = [
        { event: "a\ndata: b" },
        { id: "a\rdata: b" },
        { id: "a\0b" },
        { retry: 1.5 },
        { data: "\ud800" },
      ];
      for (const message of forged) {
        try {
          encodeSse(message);
        } catch (error) {
          if (error instanceof TypeError) continue;
        }
        throw new Error(`Expected a TypeError for ${JSON.stringify(message)}`);
      }
    },
  },
  {
    name: "the events of every vector are written on as they came",
    async run() {
      for (const { name, chunks } of vectors) {
        const events = await drain(
          streamOf(chunks).pipeThrough(new SseEventStream()),
        );
        const again = await drain(
          streamOf(events).pipeThrough(new SseEncoderStream())
            .pipeThrough(new SseEventStream()),
        );
        assertEquals(again, events, `"${name}"`);
      }
    },
  },
  {
    name: "sseResponse answers with an event stream that nothing holds back",
    async run() {
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse([{ data: "a" }, { id: "☃", data: "b" }]),
      });
      const { headers } = sse.response;
      assertEquals(headers.get("content-type"), "text/event-stream");
      assertEquals(headers.get("cache-control"), "no-cache, no-transform");
      assertEquals(headers.get("x-accel-buffering"), "no");
      assertEquals(await read(sse), ["message", "a", ""]);
      assertEquals(await read(sse), ["message", "b", "☃"]);
      assertEquals((await sse.next()).done, true);
    },
  },
  {
    name: "sseResponse pulls as the client reads, and returns when it goes",
    async run() {
      let pulled = 0;
      const returned = Promise.withResolvers<void>();
      async function* numbers() {
        try {
          while (true) yield { data: String(++pulled) };
        } finally {
          returned.resolve();
        }
      }
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse(numbers()),
      });
      for await (const { data } of sse) {
        assertEquals(data, String(pulled), "the newest event pulled");
        if (pulled === 3) break;
      }
      await returned.promise;
    },
  },
  {
    name: "an error in the source of sseResponse is an error for the client",
    async run() {
      const broken = new Error("broken");
      async function* source() {
        yield { data: "a" };
        throw broken;
      }
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse(source()),
      });
      await read(sse);
      const { cause } = await sseError(sse.next(), "network");
      assert(cause === broken, `Expected ${broken}, got ${cause}`);
    },
  },
  {
    name: "a heartbeat is a comment",
    async run() {
      const heard = Promise.withResolvers<string>();
      const silence = new ReadableStream<SseMessage>();
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse(silence, { heartbeat: 20 }),
        onComment: heard.resolve,
      });
      const pending = sse.next();
      assertEquals(await heard.promise, "");
      await sse.close();
      assertEquals(await pending, { done: true, value: undefined });
    },
  },
  {
    name: "a proxy changes events, and closes upstream with the client",
    async run(context) {
      const upstream = new Stream(context, [{
        body: "id: 1\ndata: a\n\nevent: ping\ndata\n\nid: 2\ndata: b\n\n",
        then: "hang",
      }]);
      const proxy = async ({ signal }: Request) => {
        const sse = await connectSse(upstream.url, { signal });
        async function* changed() {
          for await (const event of sse) {
            if (event.event === "ping") continue;
            yield { ...event, data: event.data.toUpperCase() };
          }
        }
        return sseResponse(changed());
      };
      const sse = await connectSse("http://localhost/", { fetch: proxy });
      assertEquals(await read(sse), ["message", "A", "1"]);
      assertEquals(await read(sse), ["message", "B", "2"]);
      await sse.close();
      await upstream.log({ disconnects: 1 });
    },
  },
];
