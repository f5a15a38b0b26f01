import { createParser } from "eventsource-parser";
import { count, type Read } from "../contender.ts";

export const read: Read = ({ chunks }) => {
  const found = { events: 0, length: 0 };
  const parser = createParser({
    onEvent: (event) => count(found, event.data),
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }));
  }
  return found;
};
