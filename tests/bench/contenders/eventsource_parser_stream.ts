import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";

/** As its README has it. */
export const read: Read = ({ chunks }) =>
  tally(
    respond(chunks).body!
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream()),
  );
