// Serves the lines of a log file, and each line that is appended later. The id of
// an event is the number of its line, so that a client that reconnects misses no
// line and gets none twice. It is for a file that only grows: after a rotation,
// the lines of the new file are not served.
//
//   deno serve --allow-read examples/tail.ts /var/log/syslog
//
// Read it with `curl --no-buffer http://localhost:8000/`, or with
// examples/resume.ts. Outside of this repository, run
// `deno add jsr:@x/sse jsr:@std/streams` first.

import { TextLineStream } from "@std/streams/text-line-stream";
import { lastEventIdOf, type SseMessage, sseResponse } from "@x/sse";

const [path] = Deno.args;

export default {
  fetch(request: Request): Response {
    // The id comes from outside. If it is no number, start at the first line.
    const seen = Number(lastEventIdOf(request)) || 0;
    return sseResponse(messages(seen), { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** Returns the lines after the first `seen` lines as messages. */
function messages(seen: number): ReadableStream<SseMessage> {
  let number = 0;
  return ReadableStream.from(bytes())
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream())
    .pipeThrough(
      new TransformStream({
        transform(line, controller) {
          if (++number > seen) {
            controller.enqueue({ id: String(number), data: line });
          }
        },
      }),
    );
}

/** Reads the bytes of the file, and those that are appended later. */
async function* bytes() {
  using file = await Deno.open(path);
  while (true) {
    const chunk = new Uint8Array(64 * 1024);
    const length = await file.read(chunk) ?? 0;
    if (length === 0) await new Promise((resolve) => setTimeout(resolve, 200));
    // Also if it is empty: a generator can be closed only when it yields.
    yield chunk.subarray(0, length);
  }
}
