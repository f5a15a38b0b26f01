// Tests a handler without a port and without a network: `connectSse` calls the
// handler instead of `fetch`.
//
//   deno test -A examples/in_process_test.ts
//
// Outside of this repository, run `deno add jsr:@x/sse jsr:@std/assert` first.

import { assertEquals } from "@std/assert";
import { connectSse, sseResponse } from "@x/sse";

let running = 0;

/** The handler under test, as `Deno.serve` takes it. */
function handler(request: Request): Response {
  const from = Number(request.headers.get("Last-Event-ID") ?? 4) - 1;
  return sseResponse(countdown(from));
}

async function* countdown(from: number) {
  running++;
  try {
    for (let n = from; n > 0; n--) yield { id: `${n}`, data: `${n} to go` };
    yield { event: "liftoff" };
  } finally {
    running--;
  }
}

Deno.test("the countdown ends with liftoff", async () => {
  const sse = await connectSse("http://localhost/", { fetch: handler });
  const events = await Array.fromAsync(sse);
  assertEquals(
    events.map(({ event, data }) => data || event),
    ["3 to go", "2 to go", "1 to go", "liftoff"],
  );
});

Deno.test("the countdown continues after the last event that a client has got", async () => {
  await using sse = await connectSse("http://localhost/", {
    fetch: handler,
    lastEventId: "2",
  });
  const { value } = await sse.next();
  assertEquals(value?.data, "1 to go");
});

Deno.test("the countdown stops when its client leaves", async () => {
  const sse = await connectSse("http://localhost/", { fetch: handler });
  await sse.next();
  assertEquals(running, 1);
  await sse.close();
  assertEquals(running, 0);
});
