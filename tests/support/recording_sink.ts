import type { SseMessage } from "../../mod.ts";
import type { Sink } from "../../src/write/subscription.ts";

/** A sink that records the calls of its methods. */
export class RecordingSink implements Sink {
  readonly calls: string[] = [];
  /** What `write` returns. */
  wantsMore = true;
  readonly #written = Promise.withResolvers<void>();
  /** Resolves at the first message. */
  readonly written: Promise<void> = this.#written.promise;

  write({ data }: SseMessage): boolean {
    this.calls.push(`write ${data}`);
    this.#written.resolve();
    return this.wantsMore;
  }

  close(): void {
    this.calls.push("close");
  }

  error(reason: unknown): void {
    this.calls.push(`error ${reason}`);
  }
}
