import { SseDecoder } from "../../../mod.ts";
import { count, type Read, Tally } from "../contender.ts";

export const read: Read = ({ chunks }) => {
  const decoder = new SseDecoder();
  const found = new Tally();
  for (const chunk of chunks) {
    for (const event of decoder.decode(chunk)) count(found, event.data);
  }
  return found;
};
