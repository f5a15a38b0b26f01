import { connectSse } from "../../../mod.ts";
import type { Read } from "../contender.ts";
import { tally } from "../contender.ts";
import { respond } from "../source.ts";

export const read: Read = async ({ chunks }) =>
  tally(
    await connectSse("http://localhost/", { fetch: () => respond(chunks) }),
  );
