// Serves a log file line by line, and follows it as it grows. The id of an event
// is the number of its line, so that a client that lost its connection misses no
// line and sees none twice.
//
//   deno serve --allow-read examples/tail.ts /var/log/syslog

import { TextLineStream } from "@std/streams/text-line-stream";
import { lastEventIdOf, type SseMessage, sseResponse } from "@x/sse";

const [path] = Deno.args;

export default {
  fetch(request: Request): Response {
    // Of a client that comes from elsewhere, it may be no number.
    const seen = Number(lastEventIdOf(request)) || 0;
    return sseResponse(messages(seen), { heartbeat: 15_000 });
  },
} satisfies Deno.ServeDefaultExport;

/** The lines after the first `seen`. */
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

/** The bytes of the file, and those that are appended to it. */
async function* bytes() {
  using file = await Deno.open(path);
  while (true) {
    const chunk = new Uint8Array(64 * 1024);
    const length = await file.read(chunk) ?? 0;
    if (length === 0) await new Promise((resolve) => setTimeout(resolve, 200));
    // Also where nothing came: only where it yields can a generator be ended.
    yield chunk.subarray(0, length);
  }
}
