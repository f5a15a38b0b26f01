/** Those that read events over HTTP, each in the way its README shows. */
import { EventSource as EventSourcePackage } from "npm:eventsource@5.1.5";
import { createEventSource } from "npm:eventsource-client@1.2.0";
import { connectSse } from "../../mod.ts";

/** Reads until `[DONE]` or the end; calls `seen` for each event. */
export type Client = (url: string, seen: () => void) => Promise<void>;

const DONE = "[DONE]";

export const clients: Record<string, Client> = {
  /** The body read to its end: `seen` is called for each chunk. */
  "raw body": async (url, seen) => {
    const reader = (await fetch(url)).body!.getReader();
    while (!(await reader.read()).done) seen();
  },

  connectSse: async (url, seen) => {
    for await (const _ of await connectSse(url, { until: DONE })) seen();
  },

  "eventsource-client": async (url, seen) => {
    const source = createEventSource(url);
    for await (const { data } of source) {
      if (data === DONE) break;
      seen();
    }
    source.close();
  },

  eventsource: (url, seen) => untilDone(new EventSourcePackage(url), seen),

  "Deno's EventSource": (url, seen) => untilDone(new EventSource(url), seen),
};

function untilDone(
  source: EventSource | EventSourcePackage,
  seen: () => void,
): Promise<void> {
  return new Promise((resolve) => {
    source.addEventListener("message", (event) => {
      if ((event as MessageEvent<string>).data !== DONE) return seen();
      source.close();
      resolve();
    });
  });
}
