/** The parser inside `@microsoft/fetch-event-source`, composed as there. */
import {
  getBytes,
  getLines,
  getMessages,
} from "@microsoft/fetch-event-source/parse";
import { count, type Read, Tally } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = async ({ chunks }) => {
  const found = new Tally();
  const onMessage = (message: { data: string }) => {
    if (message.data === "") return; // it gives a message for every comment
    count(found, message.data);
  };
  await getBytes(
    respond(chunks).body!,
    getLines(getMessages(() => {}, () => {}, onMessage)),
  );
  return found;
};
