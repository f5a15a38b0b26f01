import { createParser } from "eventsource-parser";
import type { Read } from "../contender.ts";

export const read: Read = ({ chunks }) => {
  let events = 0;
  let length = 0;
  const parser = createParser({
    onEvent(event) {
      events++;
      length += event.data.length;
    },
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }));
  }
  return { events, length };
};
