import { type EventLog, MemoryEventLog } from "../../src/event_log/mod.ts";

/** Returns a log with these methods, and with the others of a log in memory. */
export function customLog(methods: Partial<EventLog>): EventLog {
  const log = new MemoryEventLog();
  return {
    append: (...messages) => log.append(...messages),
    end: () => log.end(),
    status: () => log.status(),
    read: (after, options) => log.read(after, options),
    ...methods,
  };
}
