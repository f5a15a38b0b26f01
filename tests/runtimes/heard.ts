import {
  EventSource,
  type EventSourceErrorEvent,
  type EventSourceInit,
  SseError,
} from "../../src/event_source.ts";

/** Options to reconnect without delay, unless the server sets a retry time. */
export const fastReconnect: EventSourceInit = {
  reconnect: { initialDelay: 1 },
};

/**
 * Records the events of a source in order, each as a line: `open`,
 * `NAME: DATA #ID`, or for a failure `error: CODE, STATE`.
 */
export class EventRecorder {
  #lines: string[] = [];
  #added = Promise.withResolvers<void>();

  /** Listens for these names in addition to the standard ones. */
  constructor(source: EventSource, names: string[] = []) {
    for (const name of ["open", "message", "error", ...names]) {
      source.addEventListener(name, (event) => {
        this.#lines.push(lineOf(event, source));
        this.#added.resolve();
      });
    }
  }

  /** Returns the next line. Waits until there is one. */
  async next(): Promise<string> {
    while (this.#lines.length === 0) {
      this.#added = Promise.withResolvers();
      await this.#added.promise;
    }
    return this.#lines.shift()!;
  }

  /** Returns the next lines. Waits until there are this many. */
  async nextLines(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.next());
    return lines;
  }

  /** Returns and removes the recorded lines that have not been read. */
  get unread(): string[] {
    return this.#lines.splice(0);
  }
}

/**
 * Opens a source, calls `use`, and closes the source. Also records events of the
 * given names.
 */
export async function withSource(
  url: string,
  init: EventSourceInit | undefined,
  use: (source: EventSource, recorder: EventRecorder) => void | Promise<void>,
  names?: string[],
): Promise<void> {
  const source = new EventSource(url, init);
  try {
    await use(source, new EventRecorder(source, names));
  } finally {
    source.close();
  }
}

/** Resolves with the next event of this name. */
export function once(source: EventTarget, name: string): Promise<MessageEvent> {
  return new Promise((resolve) =>
    source.addEventListener(name, (event) => resolve(event as MessageEvent), {
      once: true,
    })
  );
}

function lineOf(event: Event, source: EventSource): string {
  if (event instanceof MessageEvent) {
    const id = event.lastEventId && ` #${event.lastEventId}`;
    return `${event.type}: ${event.data}${id}`;
  }
  if (event.type !== "error") return event.type;
  const { error } = event as EventSourceErrorEvent;
  const code = error instanceof SseError ? error.code : String(error);
  const state = ["connecting", "open", "closed"][source.readyState];
  return `error: ${code}, ${state}`;
}
