// Follows a stream through lost connections and its own restarts: the id of the
// last event that was handled is kept in a file, and the server is asked to go
// on from there. Start it again as often as you like; examples/tail.ts is a
// server to try it with.
//
//   deno run --allow-net --allow-read --allow-write examples/resume.ts http://localhost:8000/ last_event_id.txt

import { connectSse } from "@x/sse";

const [url, file] = Deno.args;

const sse = await connectSse(url, {
  lastEventId: await load(),
  idleTimeout: 60_000, // A connection can die without a word.
  reconnect: {
    onReconnect({ delay, error }) {
      console.error(`Connecting again in ${delay} ms: ${error.message}`);
    },
  },
});

for await (const event of sse) {
  console.log(event.id, event.data);
  // Kept once the event is handled: one that is not must come again.
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
  // Renamed into place, so that the file holds the old id or the new one,
  // whatever happens in between.
  await Deno.writeTextFile(`${file}.new`, lastEventId);
  await Deno.rename(`${file}.new`, file);
}
