import { SseDecoder } from "../../../mod.ts";
import type { Read } from "../contender.ts";

export const read: Read = ({ chunks }) => {
  const decoder = new SseDecoder();
  let events = 0;
  let length = 0;
  for (const chunk of chunks) {
    for (const event of decoder.decode(chunk)) {
      events++;
      length += event.data.length;
    }
  }
  return { events, length };
};
