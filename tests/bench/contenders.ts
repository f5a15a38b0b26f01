/** Everything that turns bytes into events: this module, its peers, the floor. */
import {
  getBytes,
  getLines,
  getMessages,
} from "npm:@microsoft/fetch-event-source@2.0.1/lib/cjs/parse.js";
import { ServerSentEventParseStream } from "npm:deno-std@1.4.0/http/server_sent_event_parse_stream.js";
import {
  createParser,
  type EventSourceMessage,
} from "npm:eventsource-parser@4.1.3";
import { EventSourceParserStream } from "npm:eventsource-parser@4.1.3/stream";
import { events as fetchEventStream } from "npm:fetch-event-stream@0.1.6";
import { connectSse, SseDecoder, SseEventStream } from "../../mod.ts";
import { count, Tally, type Workload } from "./workloads.ts";

/**
 * Reads a workload to its end, in one of these ways:
 *
 * - `ours` and `floor` as the name says;
 * - a `stream` peer turns a stream of bytes into a stream of events;
 * - a `callback` peer reads the stream of bytes and calls a function;
 * - a `push` peer is passed the chunks, without a stream around it.
 */
export interface Contender {
  kind: "floor" | "ours" | "stream" | "callback" | "push";
  read: (workload: Workload) => Tally | Promise<Tally>;
}

type Events = AsyncIterable<{ data?: string }>;

/** Reads what a `for await` loop can read. */
function loop(
  kind: Contender["kind"],
  open: (workload: Workload) => Events | Promise<Events>,
): Contender {
  return {
    kind,
    async read(workload) {
      const found = new Tally();
      for await (const { data } of await open(workload)) count(found, data!);
      return found;
    },
  };
}

/** The chunks as the body of a response, without a network in between. */
function respond({ chunks }: Workload): Response {
  const iterator = chunks[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { "Content-Type": "text/event-stream" },
  });
}

/** The ways to read a stream of events, beside a `for await` loop. */
const waysToRead = {
  async "getReader()"(stream: ReadableStream<{ data?: string }>) {
    const found = new Tally();
    const reader = stream.getReader();
    while (true) {
      const { done, value } = await reader.read();
      if (done) return found;
      count(found, value.data!);
    }
  },

  async "pipeTo()"(stream: ReadableStream<{ data?: string }>) {
    const found = new Tally();
    await stream.pipeTo(
      new WritableStream({ write: ({ data }) => count(found, data!) }),
    );
    return found;
  },
};

/** A stream of events, read in each way. */
function stream(
  name: string,
  kind: Contender["kind"],
  open: (workload: Workload) => ReadableStream<{ data?: string }>,
): Record<string, Contender> {
  const contenders = { [name]: loop(kind, open) };
  for (const [way, read] of Object.entries(waysToRead)) {
    contenders[`${name} ${way}`] = {
      kind,
      read: (workload) => read(open(workload)),
    };
  }
  return contenders;
}

export const contenders: Record<string, Contender> = {
  floor: loop("floor", (workload) => new Floor(workload)),

  connectSse: loop(
    "ours",
    (workload) =>
      connectSse("http://localhost/", { fetch: () => respond(workload) }),
  ),

  ...stream(
    "SseEventStream",
    "ours",
    (workload) => respond(workload).body!.pipeThrough(new SseEventStream()),
  ),

  SseDecoder: {
    kind: "ours",
    read({ chunks }) {
      const found = new Tally();
      const decoder = new SseDecoder();
      for (const chunk of chunks) {
        for (const event of decoder.decode(chunk)) count(found, event.data);
      }
      return found;
    },
  },

  ...stream(
    "EventSourceParserStream",
    "stream",
    (workload) =>
      respond(workload).body!
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream()),
  ),

  // `@std/http`'s reader, from the npm copy of the standard library.
  ...stream(
    "ServerSentEventParseStream",
    "stream",
    (workload) =>
      respond(workload).body!
        .pipeThrough(new ServerSentEventParseStream({ ignoreComments: true })),
  ),

  "fetch-event-stream": loop(
    "stream",
    (workload) => fetchEventStream(respond(workload)),
  ),

  // The parser inside `@microsoft/fetch-event-source`, composed as there.
  "fetch-event-source": {
    kind: "callback",
    async read(workload) {
      const found = new Tally();
      const onMessage = (message: { data: string }) => {
        if (message.data === "") return; // It gives a message for each comment.
        count(found, message.data);
      };
      await getBytes(
        respond(workload).body!,
        getLines(getMessages(() => {}, () => {}, onMessage)),
      );
      return found;
    },
  },

  // Collects the events of a chunk, as `SseDecoder.decode` does.
  "eventsource-parser feed": {
    kind: "push",
    read({ chunks }) {
      const found = new Tally();
      let events: EventSourceMessage[] = [];
      const parser = createParser({
        onEvent: (event) => void events.push(event),
      });
      const decoder = new TextDecoder();
      for (const chunk of chunks) {
        events = [];
        parser.feed(decoder.decode(chunk, { stream: true }));
        for (const event of events) count(found, event.data);
      }
      return found;
    },
  },
};

/**
 * A bound that no reader can beat: reads and decodes every chunk, and returns
 * ready-made events from the cheapest async iterator there is.
 */
class Floor implements AsyncIterableIterator<{ data: string }> {
  readonly #workload: Workload;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #decoder = new TextDecoder();
  #chunk = 0;
  #next = 0;
  #ready = 0;

  constructor(workload: Workload) {
    this.#workload = workload;
    this.#reader = respond(workload).body!.getReader();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next(): Promise<IteratorResult<{ data: string }>> {
    if (this.#next === this.#ready) return this.#read();
    return Promise.resolve(this.#event());
  }

  #event(): IteratorResult<{ data: string }> {
    return { done: false, value: this.#workload.events[this.#next++] };
  }

  async #read(): Promise<IteratorResult<{ data: string }>> {
    while (true) {
      const { done, value } = await this.#reader.read();
      if (done) return { done, value: undefined };
      this.#decoder.decode(value); // Cheaper than with `stream: true`.
      this.#ready += this.#workload.completes[this.#chunk++];
      if (this.#next < this.#ready) return this.#event();
    }
  }
}
