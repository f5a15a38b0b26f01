import {
  EventSource,
  type EventSourceErrorEvent,
  type EventSourceInit,
  SseError,
} from "../../src/event_source.ts";

/** Has a source connect again at once where the server says nothing else. */
export const soon: EventSourceInit = { reconnect: { initialDelay: 1 } };

/**
 * What a source dispatches, a line for each event, in order: `open`,
 * `NAME: DATA #ID`, and for a failure `error: CODE, STATE`.
 */
export class Heard {
  #lines: string[] = [];
  #came = Promise.withResolvers<void>();

  /** Listens for these names beside the usual ones. */
  constructor(source: EventSource, names: string[] = []) {
    for (const name of ["open", "message", "error", ...names]) {
      source.addEventListener(name, (event) => {
        this.#lines.push(lineOf(event, source));
        this.#came.resolve();
      });
    }
  }

  /** The next line, once it is there. */
  async next(): Promise<string> {
    while (this.#lines.length === 0) {
      this.#came = Promise.withResolvers();
      await this.#came.promise;
    }
    return this.#lines.shift()!;
  }

  /** The next lines, once there are so many. */
  async take(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) lines.push(await this.next());
    return lines;
  }

  /** What is there and was not taken. */
  get rest(): string[] {
    return this.#lines.splice(0);
  }
}

/** Opens a source for as long as `use` takes, and listens for those names too. */
export async function withSource(
  url: string,
  init: EventSourceInit | undefined,
  use: (source: EventSource, heard: Heard) => void | Promise<void>,
  names?: string[],
): Promise<void> {
  const source = new EventSource(url, init);
  try {
    await use(source, new Heard(source, names));
  } finally {
    source.close();
  }
}

/** The next event of that name. */
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
