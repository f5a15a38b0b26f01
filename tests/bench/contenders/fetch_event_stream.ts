import { events } from "fetch-event-stream";
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = ({ chunks }) => tally(events(respond(chunks)));
