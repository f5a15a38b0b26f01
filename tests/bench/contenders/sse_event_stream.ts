import { SseEventStream } from "../../../mod.ts";
import type { Stream } from "../contender.ts";
import { respond } from "../source.ts";

export const stream: Stream = ({ chunks }) =>
  respond(chunks).body!.pipeThrough(new SseEventStream());
