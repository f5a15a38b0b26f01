import { assertEquals } from "@std/assert";
import { PulledSubscription } from "../../src/write/subscription.ts";
import { Source } from "../support/message_source.ts";
import { RecordingSink } from "../support/recording_sink.ts";
import { settled } from "../support/settled.ts";

function subscribe() {
  const source = new Source();
  const sink = new RecordingSink();
  return { source, sink, subscription: new PulledSubscription(source, sink) };
}

Deno.test("PulledSubscription calls next() once at a time, and only while its sink wants messages", async () => {
  const { source, sink, subscription } = subscribe();
  await settled();
  assertEquals(source.nextCalls, 0);
  subscription.pull();
  subscription.pull();
  await settled();
  assertEquals(source.nextCalls, 1);
  source.send({ data: "1" });
  await settled();
  assertEquals(source.nextCalls, 2);
  sink.wantsMore = false;
  source.send({ data: "2" });
  await settled();
  assertEquals(source.nextCalls, 2);
  subscription.pull();
  assertEquals(source.nextCalls, 3);
  assertEquals(sink.calls, ["write 1", "write 2"]);
});

for (
  const [what, settle] of [
    ["gives a message", (source) => source.send({ data: "late" })],
    ["ends", (source) => source.end()],
    ["fails", (source) => source.fail(new Error("late"))],
  ] satisfies [string, (source: Source) => void][]
) {
  Deno.test(`PulledSubscription calls no method of its sink if the source ${what} after cancel()`, async () => {
    const { source, sink, subscription } = subscribe();
    subscription.pull();
    await subscription.cancel();
    await subscription.cancel();
    settle(source);
    await settled();
    subscription.pull();
    assertEquals(sink.calls, []);
    assertEquals([source.nextCalls, source.returnCalls], [1, 1]);
  });
}

Deno.test("PulledSubscription stays canceled if its sink cancels it during write()", async () => {
  const { source, sink, subscription } = subscribe();
  sink.write = () => {
    subscription.cancel();
    return false;
  };
  subscription.pull();
  source.send({ data: "1" });
  await settled();
  subscription.pull();
  await subscription.cancel();
  assertEquals([source.nextCalls, source.returnCalls], [1, 1]);
});

Deno.test("PulledSubscription does not close a source that has ended", async () => {
  const { source, sink, subscription } = subscribe();
  subscription.pull();
  source.end();
  await settled();
  await subscription.cancel();
  subscription.pull();
  assertEquals(sink.calls, ["close"]);
  assertEquals([source.nextCalls, source.returnCalls], [1, 0]);
});

Deno.test("PulledSubscription closes its source once if it fails, or if its sink throws", async () => {
  for (const isSource of [true, false]) {
    const { source, sink, subscription } = subscribe();
    sink.write = () => {
      throw new Error("wrong");
    };
    subscription.pull();
    if (isSource) source.fail(new Error("wrong"));
    else source.send({ data: "1" });
    await settled();
    await subscription.cancel();
    assertEquals(sink.calls, ["error Error: wrong"]);
    assertEquals([source.nextCalls, source.returnCalls], [1, 1]);
  }
});

Deno.test("PulledSubscription.cancel() resolves if the source has no return()", async () => {
  const iterator = { next: () => new Promise<never>(() => {}) };
  const source = { [Symbol.asyncIterator]: () => iterator };
  await new PulledSubscription(source, new RecordingSink()).cancel();
});
