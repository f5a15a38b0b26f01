// The job whose events the demo streams: it writes a text, one word per event.

import type { SseMessage } from "@x/sse";

const TEXT = `\
This text is the output of a job on the server. Each word is an event with a
number, and the server sends one event after the other, as a language model
streams its answer. If the connection is cut in the middle of an event, the
reader discards the incomplete event, connects again, and sends the number of
the last complete event. The server then continues after that event. If the
connection is open but silent, the reader stops waiting after a timeout and
connects again. If the server is unavailable, the reader retries, each time
after a longer delay, until the server responds. In all three cases, each word
arrives exactly once and in the right order, and the text ends with its last
word: end.`;

/** The number of events from one progress event to the next. */
const PROGRESS_INTERVAL = 8;

/** A `token` event for each word, `progress` events, and `done` at the end. */
export const events = eventsOf(TEXT.split(/\s+/));

function eventsOf(words: string[]): SseMessage[] {
  const total = words.length + 1 +
    Math.ceil(words.length / (PROGRESS_INTERVAL - 1));
  const events: SseMessage[] = [];
  const add = (event: string, data: string) =>
    events.push({ id: String(events.length + 1), event, data });
  const addProgress = (event: string) =>
    add(event, JSON.stringify({ done: events.length + 1, total }));
  for (const word of words) {
    if (events.length % PROGRESS_INTERVAL === 0) addProgress("progress");
    add("token", word);
  }
  addProgress("done");
  return events;
}

/** Yields the events after this number, one every 150 ms at speed 1. */
export async function* job(
  after: number,
  speed: number,
): AsyncGenerator<SseMessage> {
  // The first event of each connection also has a comment and a retry time.
  const comment = after === 0 ? "new job" : `continuing after event ${after}`;
  let extra: SseMessage = { comment, retry: Math.round(1000 / speed) };
  for (const event of events.slice(after)) {
    yield { ...event, ...extra };
    extra = {};
    await new Promise((resolve) => setTimeout(resolve, 150 / speed));
  }
}
