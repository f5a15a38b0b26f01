import { assert, assertEquals } from "@std/assert";
import { LogWindow } from "../../src/event_log/window.ts";
import { heldBytes } from "../support/garbage.ts";

Deno.test("LogWindow frees the memory of dropped entries and keeps the others", () => {
  const log = new LogWindow();
  const entry = (id: number) => ({
    id: String(id),
    message: {},
    size: 1,
    time: 0,
  });
  const kept = 700;
  for (let id = 1; id <= kept; id++) log.push(entry(id));
  const before = heldBytes();
  for (let id = kept + 1; id <= 1_000_000; id++) {
    log.push(entry(id));
    assert(log.dropFirst().id === String(id - kept));
    assert(log.entry(log.first)!.id === String(id - kept + 1));
    assert(log.entry(id)!.id === String(id));
  }
  // Slots for a million entries would take 8 MB.
  assert(heldBytes() - before < 2_000_000);
  assertEquals([log.length, log.size, log.next], [kept, kept, 1_000_001]);
  assertEquals(log.entry(log.first - 1), undefined);
  assertEquals(log.entry(log.next), undefined);
});
