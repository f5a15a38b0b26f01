// Follows a stream through lost connections and restarts of this program. It
// stores the id of the last event that was handled in a file, and continues after
// this event when it is started again. To try it, start examples/tail.ts as the
// server first.
//
//   deno run --allow-net --allow-read --allow-write examples/resume.ts http://localhost:8000/ last_event_id.txt
//
// Outside of this repository, run `deno add jsr:@x/sse` first.

import { connectSse } from "@x/sse";

const [url, file] = Deno.args;

const sse = await connectSse(url, {
  lastEventId: await load(),
  idleTimeout: 30_000, // A connection can die silently. Twice the heartbeat.
  reconnect: {
    onReconnect({ delay, error }) {
      console.error(`Connecting again in ${delay} ms: ${error.message}`);
    },
  },
});

for await (const event of sse) {
  console.log(event.id, event.data);
  // After the event is handled, so that it arrives again if this program stops
  // before.
  await save(sse.lastEventId);
}

async function load(): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

async function save(lastEventId: string): Promise<void> {
  // After a crash, the file contains the old id or the new one, and no part.
  await Deno.writeTextFile(`${file}.new`, lastEventId);
  await Deno.rename(`${file}.new`, file);
}
