import {
  connectSse,
  encodeSse,
  lastEventIdOf,
  ServerSentEvent,
  SseDecoder,
  SseEncoderStream,
  SseEventStream,
  type SseMessage,
  sseResponse,
} from "../../../mod.ts";
import {
  EventLogGapError,
  MemoryEventLog,
  resume,
} from "../../../src/event_log/mod.ts";
import { vectors } from "../../vectors.ts";
import { assert, assertEquals, rejection, sseError } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, read, readAll, streamOf } from "../read.ts";
import { Stream } from "../stream.ts";

export const writing: Case[] = [
  {
    name:
      "encodeSse writes a message that SseDecoder decodes to the same event",
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
    name: "encodeSse throws a TypeError if a field has an invalid value",
    run() {
      const invalid: SseMessage[] = [
        { event: "a\ndata: b" },
        { id: "a\rdata: b" },
        { id: "a\0b" },
        { retry: 1.5 },
        { data: "\ud800" },
      ];
      for (const message of invalid) {
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
    name: "SseEncoderStream writes the events of every test vector unchanged",
    async run() {
      for (const { name, chunks } of vectors) {
        const read = await drain(
          streamOf(chunks).pipeThrough(new SseEventStream()),
        );
        // Copies, as a program constructs them.
        const events = read.map((event) => new ServerSentEvent(event));
        const again = await drain(
          streamOf(events).pipeThrough(new SseEncoderStream())
            .pipeThrough(new SseEventStream()),
        );
        assertEquals(again, events, `"${name}"`);
      }
    },
  },
  {
    name: "sseResponse sends an event stream with headers against buffering",
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
    name: "sseResponse pulls on demand and ends its source after a disconnect",
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
        assertEquals(data, String(pulled), "the last event pulled");
        if (pulled === 3) break;
      }
      await returned.promise;
    },
  },
  {
    name: "sseResponse fails the client's stream if its source throws",
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
    name: "sseResponse sends a heartbeat as a comment",
    async run() {
      const comment = Promise.withResolvers<string>();
      const silence = new ReadableStream<SseMessage>();
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse(silence, { heartbeat: 20 }),
        onComment: comment.resolve,
      });
      const pending = sse.next();
      assertEquals(await comment.promise, "");
      await sse.close();
      assertEquals(await pending, { done: true, value: undefined });
    },
  },
  {
    name:
      "sseResponse in a proxy closes the upstream connection with the client",
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
  {
    name:
      "sseResponse of a function closes a silent upstream with the client, and sends a first heartbeat at once",
    async run(context) {
      const upstream = new Stream(context, [{
        body: "data: a\n\n",
        then: "hang",
      }]);
      let isOpen = false;
      const ended = Promise.withResolvers<void>();
      async function* changed(signal: AbortSignal) {
        isOpen = true;
        try {
          for await (
            const { data } of await connectSse(upstream.url, { signal })
          ) {
            yield { data: data.toUpperCase() };
          }
        } finally {
          ended.resolve();
        }
      }
      const response = sseResponse(changed, {
        heartbeat: 60_000,
        sendTimeout: 60_000,
      });
      const reader = response.body!.getReader();
      const readText = async () =>
        new TextDecoder().decode((await reader.read()).value);
      assertEquals(await readText(), ":\n");
      assertEquals(isOpen, false);
      assertEquals(await readText(), "data: A\n\n");
      const pending = reader.read();
      await reader.cancel();
      assertEquals((await pending).done, true);
      await ended.promise;
      await upstream.log({ disconnects: 1 });
    },
  },
  {
    name: "encodeSse writes json as data and a comment without a blank line",
    run() {
      assertEquals(
        encodeSse({ json: { a: "\ud800" } }),
        'data: {"a":"\\ud800"}\n\n',
      );
      assertEquals(encodeSse({ comment: "a\nb" }), ": a\n: b\n");
    },
  },
  {
    name:
      "sseResponse throws a RangeError and ends its source for a wrong status",
    async run() {
      for (const status of [101, 204, 205, 304, 600]) {
        let returned = false;
        const source = {
          next: () =>
            Promise.resolve({ done: true as const, value: undefined }),
          return() {
            returned = true;
            return this.next();
          },
          [Symbol.asyncIterator]() {
            return this;
          },
        };
        const error = await rejection(
          Promise.resolve().then(() => sseResponse(source, { status })),
        );
        assert(error instanceof RangeError, `${status}: ${error}`);
        assert(returned, `Expected status ${status} to end the source`);
      }
    },
  },
  {
    name: "sseResponse ends and cancels its source if the signal aborts",
    async run() {
      const cancelled = Promise.withResolvers<void>();
      const source = new ReadableStream<SseMessage>({
        start: (controller) => controller.enqueue({ data: "a" }),
        cancel: () => cancelled.resolve(),
      });
      const stop = new AbortController();
      const sse = await connectSse("http://localhost/", {
        fetch: () => sseResponse(source, { signal: stop.signal }),
      });
      assertEquals(await read(sse), ["message", "a", ""]);
      const end = sse.next();
      stop.abort();
      assertEquals((await end).done, true);
      await cancelled.promise;
    },
  },
  {
    name: "lastEventIdOf returns the ID of connectSse's header or of the query",
    async run() {
      const ids: string[] = [];
      for (const lastEventId of ["7", "é☃🎉"]) {
        const sse = await connectSse("http://localhost/", {
          lastEventId,
          fetch(request) {
            ids.push(lastEventIdOf(request));
            return sseResponse([]);
          },
        });
        await sse.close();
      }
      const request = new Request("http://localhost/?lastEventId=%E2%98%83");
      ids.push(lastEventIdOf(request));
      assertEquals(ids, ["7", "é☃🎉", "☃"]);
    },
  },
  {
    name:
      "MemoryEventLog replays and follows events for clients that reconnect",
    async run() {
      const log = new MemoryEventLog({ maxMessages: 3 });
      let connections = 0;
      const connect = (lastEventId = "") =>
        connectSse("http://localhost/", {
          lastEventId,
          reconnect: { initialDelay: 0 },
          async fetch(request) {
            connections++;
            const { lastId, ended } = await log.status();
            return ended && lastEventIdOf(request) === lastId
              ? new Response(null, { status: 204 })
              : sseResponse(resume(log, request), { heartbeat: 1000 });
          },
        });
      const first = await log.append({ data: "1" });
      const clients = [await connect(), await connect()];
      for (const sse of clients) {
        assertEquals(await read(sse), ["message", "1", first]);
      }
      const waiting = clients.map((sse) => read(sse));
      const second = await log.append({ json: 2 });
      for (const event of waiting) {
        assertEquals(await event, ["message", "2", second]);
      }
      clients[0].reconnect();
      const again = read(clients[0]);
      const third = await log.append({ data: "3" });
      assertEquals(await again, ["message", "3", third]);
      await log.append({ data: "4" });
      await log.append({ data: "5" });
      await log.append({ data: "6" });
      await log.end();
      assertEquals(await readAll(clients[0]), ["4", "5", "6"]);
      assertEquals(await readAll(await connect(first)), ["", "4", "5", "6"]);
      assertEquals(await readAll(await connect("unknown")), [
        "",
        "4",
        "5",
        "6",
      ]);
      assert(connections > 5, `${connections} connections`);
      await clients[1].close();
    },
  },
  {
    name: "MemoryEventLog.read() rejects after an abort or for an unknown ID",
    async run() {
      const log = new MemoryEventLog();
      const stop = new AbortController();
      const reader = log.read("", { signal: stop.signal })
        [Symbol.asyncIterator]();
      const waiting = rejection(reader.next());
      const reason = new Error("enough");
      stop.abort(reason);
      assert(await waiting === reason, "the signal's reason");
      const gap = await rejection(
        log.read("unknown")[Symbol.asyncIterator]().next(),
      );
      assert(gap instanceof EventLogGapError, `${gap}`);
      assertEquals(gap.name, "EventLogGapError");
    },
  },
];
