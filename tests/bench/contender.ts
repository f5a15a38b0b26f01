import type { Workload } from "./workloads.ts";

/** What a contender found; compared with what the workload holds. */
export class Tally {
  events = 0;
  length = 0;
  /** The sum of the first characters. */
  codes = 0;
}

/**
 * Counts an event, and looks at a character of its data, as any use does: a
 * string that an engine has yet to put together must not look ready. The sum is
 * kept, as an optimizer drops what nobody needs.
 */
export function count(tally: Tally, data: string): void {
  tally.events++;
  tally.length += data.length;
  tally.codes += data.charCodeAt(0);
}

/** Reads the workload to its end. */
export type Read = (workload: Workload) => Tally | Promise<Tally>;

/** Counts what an async iterable gives. */
export async function tally(
  events: AsyncIterable<{ data?: string }>,
): Promise<Tally> {
  const found = new Tally();
  for await (const event of events) count(found, event.data!);
  return found;
}

/** Makes a stream of the workload's events. */
export type Stream = (
  workload: Workload,
) => ReadableStream<{ data?: string }>;

/** The ways to read a stream. */
export const ways: Record<
  string,
  (stream: ReadableStream<{ data?: string }>) => Promise<Tally>
> = {
  "for await": tally,

  async "getReader()"(stream) {
    const found = new Tally();
    const reader = stream.getReader();
    while (true) {
      const { done, value } = await reader.read();
      if (done) return found;
      count(found, value.data!);
    }
  },

  async "pipeTo()"(stream) {
    const found = new Tally();
    await stream.pipeTo(
      new WritableStream({ write: ({ data }) => count(found, data!) }),
    );
    return found;
  },
};

export type Kind =
  | "floor"
  | "ours"
  | "stream"
  | "iterator"
  | "callback"
  | "push";

/**
 * The contenders, each the name of a file in `contenders/`.
 *
 * - `ours` are this module's;
 * - a `stream` peer turns a stream of bytes into one of events, an `iterator`
 *   peer into what a loop iterates over;
 * - a `callback` peer reads the stream and calls back;
 * - a `push` peer is handed the chunks, no stream around it.
 */
export const contenders: Record<
  string,
  { title: string; kind: Kind }
> = {
  floor: { title: "floor", kind: "floor" },
  connect_sse: { title: "connectSse", kind: "ours" },
  sse_event_stream: { title: "SseEventStream", kind: "ours" },
  sse_decoder: { title: "SseDecoder", kind: "ours" },
  eventsource_parser_stream: {
    title: "EventSourceParserStream",
    kind: "stream",
  },
  std_parse_stream: { title: "ServerSentEventParseStream", kind: "stream" },
  fetch_event_stream: { title: "fetch-event-stream", kind: "iterator" },
  fetch_event_source: { title: "fetch-event-source", kind: "callback" },
  eventsource_parser_feed: { title: "eventsource-parser feed", kind: "push" },
};
