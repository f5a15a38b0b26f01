/** `@std/http`'s reader, from the npm copy of the standard library. */
// @ts-types="./std_parse_stream_types.d.ts"
import { ServerSentEventParseStream } from "deno-std/parse-stream";
import type { Stream } from "../contender.ts";
import { respond } from "../source.ts";

export const stream: Stream = ({ chunks }) =>
  respond(chunks).body!
    .pipeThrough(new ServerSentEventParseStream({ ignoreComments: true }));
