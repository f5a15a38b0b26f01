import { createParser, type EventSourceMessage } from "eventsource-parser";
import { count, type Read, Tally } from "../contender.ts";

/** Collects the events of a chunk, as `decode` gives them. */
export const read: Read = ({ chunks }) => {
  const found = new Tally();
  let events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => void events.push(event) });
  const decoder = new TextDecoder();
  for (const chunk of chunks) {
    events = [];
    parser.feed(decoder.decode(chunk, { stream: true }));
    for (const event of events) count(found, event.data);
  }
  return found;
};
