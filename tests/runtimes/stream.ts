import type { Context, Log, Reply } from "./protocol.ts";

let count = 0;

/** A URL of the fixture server for one case, with the replies that it sends. */
export class Stream {
  readonly url: string;
  #context: Context;
  #name: string;

  constructor(
    context: Context,
    replies: [Reply, ...Reply[]],
    origin: string = context.origin,
  ) {
    this.#context = context;
    this.#name = encodeURIComponent(`${context.runtime} ${++count}`);
    const query = new URLSearchParams({ replies: JSON.stringify(replies) });
    this.url = `${origin}/stream/${this.#name}?${query}`;
  }

  /** Returns the server's log. Waits until it has this many entries. */
  async log({ requests = 0, disconnects = 0 } = {}): Promise<Log> {
    const { origin } = this.#context;
    const query = `requests=${requests}&disconnects=${disconnects}`;
    try {
      const response = await fetch(`${origin}/log/${this.#name}?${query}`, {
        signal: AbortSignal.timeout(3000),
      });
      return await response.json();
    } catch (cause) {
      throw new Error(`The server did not see ${query}: ${cause}`, { cause });
    }
  }

  /** Closes or resets the connections whose replies have `"cut"` or `"reset"`. */
  async breakConnections(): Promise<void> {
    const { origin } = this.#context;
    const response = await fetch(`${origin}/break/${this.#name}`);
    await response.body?.cancel();
  }
}
