/**
 * Tests that two copies of the module in one program understand each other: that
 * of JSR and that of npm, or that in the bundle of a library.
 */
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertFalse } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import * as module from "../mod.ts";
import * as logs from "../src/event_log/mod.ts";
import * as stored from "../src/event_log/stored.ts";
import { ArrayStore } from "./event_log/array_store.ts";
import { Reader } from "./event_log/contract.ts";
import { script, temporaryDirectory } from "./support/temporary_directory.ts";

interface Copy {
  module: Pick<typeof module, "connectSse" | "SseError">;
  logs: typeof logs;
  stored: typeof stored;
}

/** Copies `src/`, since a query in a URL would not reach the files it imports. */
async function loadCopy(): Promise<Copy> {
  await using directory = await temporaryDirectory();
  // Not to a folder named `src`: the copy does not count in the coverage.
  const copy = pathToFileURL(`${directory.path}/copy`).href;
  await script(
    'import { cpSync } from "node:fs";' +
      "const [from, to] = Deno.args.map((it) => new URL(it));" +
      "cpSync(from, to, { recursive: true });",
    new URL("../src", import.meta.url).href,
    copy,
  );
  const load = (file: string) => import(`${copy}/${file}`);
  return {
    module: {
      ...await load("read/connect.ts"),
      ...await load("error.ts"),
    },
    logs: await load("event_log/mod.ts"),
    stored: await load("event_log/stored.ts"),
  };
}

const original: Copy = { module, logs, stored };
const copy = await loadCopy();
const directions = [[original, copy], [copy, original]];

Deno.test("the copy is another one", () => {
  assertFalse(
    new copy.module.SseError("network", "") instanceof module.SseError,
  );
});

Deno.test("connectSse() reconnects after an SseError of another copy", async () => {
  for (const [one, other] of directions) {
    let calls = 0;
    const sse = await one.module.connectSse(() => {
      if (calls++ === 0) throw new other.module.SseError("network", "No token");
      return "http://in.process/";
    }, {
      fetch: () => new Response(null, { status: 204 }),
      reconnect: { initialDelay: 0 },
    });
    assertEquals((await sse.next()).done, true);
    assertEquals(calls, 2);
  }
});

Deno.test("resume() continues after a gap in a log of another copy", async () => {
  for (const [one, other] of directions) {
    const log = new other.logs.MemoryEventLog();
    await log.append({ data: "1" });
    const request = new Request("http://x/?lastEventId=unknown");
    const reader = new Reader(one.logs.resume(log, request));
    const [{ event }] = await reader.take(1);
    assertEquals(event, "gap");
    assertEquals(await reader.data(1), ["1"]);
    await reader.return();
  }
});

Deno.test("resume() notices that a log of another copy is idle", async () => {
  for (const [one, other] of directions) {
    using time = new FakeTime();
    const log = new other.logs.MemoryEventLog();
    const request = new Request("http://x/");
    const reader = new Reader(
      one.logs.resume(log, request, { idleTimeout: 5 }),
    );
    const messages = reader.take(1);
    await time.tickAsync(5);
    await time.tickAsync(5);
    const [{ event }] = await messages;
    assertEquals(event, "abandoned");
    await reader.assertEnd();
  }
});

Deno.test("record() stops if a log of another copy has ended", async () => {
  for (const [one, other] of directions) {
    const log = new other.logs.MemoryEventLog();
    await log.end();
    assertEquals(await one.logs.record(log, [{ data: "1" }]), "stopped");
  }
});

Deno.test("record() with keepAlive renews a log of another copy", async () => {
  for (const [one, other] of directions) {
    using time = new FakeTime();
    const log = new other.logs.MemoryEventLog();
    await log.append({ data: "1" });
    const stop = new AbortController();
    const silent = new ReadableStream<never>();
    const options = { keepAlive: 10, signal: stop.signal };
    const outcome = one.logs.record(log, silent, options);
    for (let i = 0; i < 5; i++) await time.tickAsync(10);
    const { idle } = await log.status();
    assert(idle <= 10, `${idle}`);
    stop.abort();
    assertEquals(await outcome, "stopped");
  }
});

Deno.test("a stored log passes on the gap that its store throws, also one of another copy", async () => {
  for (const [one, other] of directions) {
    const store = new ArrayStore();
    store.failures.push(new other.logs.EventLogGapError("1", "2"));
    const reader = new Reader(new one.stored.StoredLog(store).read("1"));
    const error = await reader.next().catch((error) => error);
    assertEquals([error.name, store.errors], ["EventLogGapError", []]);
  }
});
