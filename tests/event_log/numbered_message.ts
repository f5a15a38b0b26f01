/** Messages that a reader can recognize, whatever is lost, repeated or changed. */
import { Random } from "../support/random.ts";

/** What a process appends. */
export interface Appends {
  appender: number;
  count: number;
  /** The maximum number of messages in one call of `append`. */
  mostAtOnce: number;
  /** The maximum length of a text. Most texts are much shorter. */
  maxLength: number;
}

export interface NumberedMessage {
  appender: number;
  n: number;
  text: string;
}

const TEXT = [..."abc: ", "é", "☃", "🎉", "\n", "\u2028", "data: ", "id: 7"];

/** Returns the nth message of an appender. It is the same in all processes. */
export function numberedMessage(
  appender: number,
  n: number,
  maxLength: number,
): NumberedMessage {
  const random = new Random(appender * 1_000_000 + n);
  const length = random.below(maxLength * (random.chance(0.02) ? 1 : 0.02));
  const part = random.join(TEXT, 20) || "x";
  return { appender, n, text: part.repeat(length).slice(0, length) };
}
