/** The chunks as the body of a response, with no network in between. */
export function respond(chunks: Iterable<Uint8Array<ArrayBuffer>>): Response {
  const iterator = chunks[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { "content-type": "text/event-stream" },
  });
}
