import { SseEventStream } from "../../../mod.ts";
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = ({ chunks }) =>
  tally(respond(chunks).body!.pipeThrough(new SseEventStream()));
