import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { EventLogGapError, MemoryEventLog } from "../../src/event_logs.ts";
import { appendAll, Reader, rest, testContract } from "./contract.ts";

testContract({
  name: "MemoryEventLog",
  steps: 20_000,
  open() {
    const logs = new Map<string, MemoryEventLog>();
    return {
      shared: false,
      slack: 0,
      log(name = "log", maxMessages) {
        const log = logs.get(name) ?? new MemoryEventLog({ maxMessages });
        logs.set(name, log);
        return log;
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});
