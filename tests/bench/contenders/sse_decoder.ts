import { SseDecoder } from "../../../mod.ts";
import { count, type Read } from "../contender.ts";

export const read: Read = ({ chunks }) => {
  const decoder = new SseDecoder();
  const found = { events: 0, length: 0 };
  for (const chunk of chunks) {
    for (const event of decoder.decode(chunk)) count(found, event.data);
  }
  return found;
};
