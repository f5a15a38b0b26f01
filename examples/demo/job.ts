// What the demo streams: a job that writes a text, as numbered events.

import type { SseMessage } from "@x/sse";

const TEXT = `\
Every word of this text is an event of its own, with a number. The server sends
them one by one, and a loop over fetch reads them as they come. When the
connection is cut in the middle of an event, the reader drops the half it has,
waits a moment, connects again, and asks for what follows the last number it
saw. When the connection stalls, open but silent, the reader does not wait for
ever: it takes the silence for a loss. When the server is gone, the reader waits
longer from one attempt to the next, until it is back. Whatever happens, each
word comes once and in its place, and the text ends where it should: here.`;

/** How many events apart the job says how far it is. */
const STEP = 8;

/** A `token` for each word, `progress` at each step, and `done`. */
export const events = eventsOf(TEXT.split(/\s+/));

function eventsOf(words: string[]): SseMessage[] {
  const total = words.length + Math.ceil(words.length / (STEP - 1)) + 1;
  const events: SseMessage[] = [];
  const add = (event: string, data: string) =>
    events.push({ id: String(events.length + 1), event, data });
  const addProgress = (event: string) =>
    add(event, JSON.stringify({ done: events.length + 1, total }));
  for (const word of words) {
    if (events.length % STEP === 0) addProgress("progress");
    add("token", word);
  }
  addProgress("done");
  return events;
}

/** The events after the one with that number, at the pace of a language model. */
export async function* job(
  after: number,
  speed: number,
): AsyncGenerator<SseMessage> {
  // What is new to the reader of this connection goes with its first event.
  const comment = after === 0 ? "a new job" : `going on after ${after}`;
  let about: SseMessage = { comment, retry: Math.round(1000 / speed) };
  for (const event of events.slice(after)) {
    yield { ...event, ...about };
    about = {};
    await new Promise((resolve) => setTimeout(resolve, 150 / speed));
  }
}
