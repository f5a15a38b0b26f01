import type { LogStore } from "../../src/event_log/stored.ts";

/**
 * A store of the messages 1 to `last`. Each read throws the next of `failures`.
 */
export class ArrayStore implements LogStore {
  readonly start = "start";
  readonly failures: unknown[] = [];
  readonly errors: unknown[] = [];
  /** The positions of which a page was asked for. */
  readonly looks: string[] = [];
  readonly tags: string[] = [];
  readonly jsons: string[] = [];
  last = 0;
  waits = 0;
  wake = () => {};

  async pageAfter(position: string) {
    this.looks.push(position);
    await this.#fail();
    const entries = [];
    for (let n = (Number(position) || 0) + 1; n <= this.last; n++) {
      if (entries.length === 100) break;
      entries.push({ id: `${n}`, json: `{"data":"${n}"}` });
    }
    return { entries, ended: false };
  }

  async oldest() {
    await this.#fail();
    return "0";
  }

  async status() {
    await this.#fail();
    return { lastId: `${this.last}`, ended: false, idle: 0 };
  }

  async append(jsons: string[], tag: string) {
    await this.#fail();
    for (const json of jsons) {
      this.tags.push(tag);
      this.jsons.push(json);
    }
    this.last += jsons.length;
    return `${this.last}`;
  }

  async has(tag: string) {
    await this.#fail();
    return this.tags.includes(tag);
  }

  async end() {}
  async touch() {}

  async wait(_position: string, signal: AbortSignal) {
    this.waits++;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve());
    });
  }

  isPermanent(_error: unknown) {
    return false;
  }

  onError(error: unknown) {
    this.errors.push(error);
  }

  async #fail() {
    await Promise.resolve();
    if (this.failures.length > 0) throw this.failures.shift();
  }
}
