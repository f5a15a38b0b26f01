// Tests a handler in process, with no port and no network in between: it is
// given to `connectSse` in the place of `fetch`.
//
//   deno test -P examples/in_process_test.ts

import { assertEquals } from "@std/assert";
import { connectSse, sseResponse } from "@x/sse";

let listeners = 0;

/** The handler: what `Deno.serve` would be given. */
function handler(request: Request): Response {
  const from = Number(request.headers.get("Last-Event-ID") ?? 4) - 1;
  return sseResponse(countdown(from));
}

async function* countdown(from: number) {
  listeners++;
  try {
    for (let n = from; n > 0; n--) yield { id: `${n}`, data: `${n} to go` };
    yield { event: "liftoff" };
  } finally {
    listeners--;
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

Deno.test("the countdown goes on where a client lost it", async () => {
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
  assertEquals(listeners, 1);
  await sse.close();
  assertEquals(listeners, 0);
});
