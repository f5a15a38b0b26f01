/**
 * The floor of reading one large event: every chunk is read, decoded and kept,
 * and the texts joined once.
 */
import type { Read } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = async ({ chunks }) => {
  const reader = respond(chunks).body!.getReader();
  const decoder = new TextDecoder();
  const texts: string[] = [];
  while (true) {
    const { done, value } = await reader.read();
    if (done) return { events: 1, length: texts.join("").length };
    texts.push(decoder.decode(value));
  }
};
