/** `@std/http`'s reader, from the npm copy of the standard library. */
// @ts-types="./std_parse_stream_types.d.ts"
import { ServerSentEventParseStream } from "deno-std/parse-stream";
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = ({ chunks }) =>
  tally(
    respond(chunks).body!
      .pipeThrough(new ServerSentEventParseStream({ ignoreComments: true })),
  );
