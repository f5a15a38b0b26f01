import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { EventLogGapError, KvEventLog } from "../../src/event_logs.ts";
import { deadline } from "../deadline.ts";
import { appendAll, Reader, rest, testContract } from "./contract.ts";

const notRun = "openKv" in Deno ? undefined : "Deno KV is not there";

testContract({
  name: "KvEventLog",
  notRun,
  steps: 3000,
  async open() {
    const kv = await Deno.openKv(":memory:");
    return {
      shared: true,
      slack: 11,
      log: (name = "log", maxMessages) =>
        new KvEventLog(kv, ["logs", name], { maxMessages, pollInterval: 20 }),
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        kv.close();
      },
    };
  },
});
