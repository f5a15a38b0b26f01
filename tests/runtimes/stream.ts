import type { Context, Log, Reply } from "./protocol.ts";

let count = 0;

/** A URL of the fixture server for one case, which replies as the case says. */
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

  /** What the server saw, once it saw so many. */
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

  /** Has the server cut or reset the connections of which it was told to. */
  async go(): Promise<void> {
    const response = await fetch(`${this.#context.origin}/go/${this.#name}`);
    await response.body?.cancel();
  }
}
