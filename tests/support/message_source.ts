import type { SseMessage } from "../../mod.ts";
import { deadline } from "./deadline.ts";

/** A source that yields the given messages, and then waits for calls of the test. */
export class Source implements AsyncIterableIterator<SseMessage> {
  /** The number of calls of `next`. */
  nextCalls = 0;
  /** The number of calls of `return`. */
  returnCalls = 0;
  #messages: SseMessage[];
  #pendingNext: PromiseWithResolvers<IteratorResult<SseMessage>> | undefined;
  #pending = Promise.withResolvers<void>();
  #returned = Promise.withResolvers<void>();

  constructor(...messages: SseMessage[]) {
    this.#messages = messages;
  }

  /** Resolves when `next` is called and no message is left. */
  get pending(): Promise<void> {
    return deadline(this.#pending.promise, "a pending call of next()");
  }

  /** Resolves when `return` is called. */
  get returned(): Promise<void> {
    return deadline(this.#returned.promise, "the source's return()");
  }

  send(message: SseMessage): void {
    if (this.#pendingNext) {
      this.#pendingNext.resolve({ done: false, value: message });
    } else this.#messages.push(message);
    this.#pendingNext = undefined;
  }

  end(): void {
    this.#pendingNext!.resolve({ done: true, value: undefined });
  }

  fail(error: unknown): void {
    this.#pendingNext!.reject(error);
  }

  next(): Promise<IteratorResult<SseMessage>> {
    this.nextCalls++;
    const value = this.#messages.shift();
    if (value) return Promise.resolve({ done: false, value });
    this.#pendingNext = Promise.withResolvers();
    this.#pending.resolve();
    return this.#pendingNext.promise;
  }

  return(): Promise<IteratorResult<SseMessage>> {
    this.returnCalls++;
    this.#returned.resolve();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
