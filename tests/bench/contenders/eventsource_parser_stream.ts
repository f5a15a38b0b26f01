import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Stream } from "../contender.ts";
import { respond } from "../source.ts";

/** As its README has it. */
export const stream: Stream = ({ chunks }) =>
  respond(chunks).body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
