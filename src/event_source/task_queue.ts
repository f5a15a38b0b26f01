/**
 * Tasks of the event loop, as the standard queues them.
 *
 * @module
 */

/**
 * Starts a task for each event, so that the microtasks which listeners queued
 * for the event before have run by then.
 */
export class TaskQueue {
  // A timer takes ms, up to a second in a hidden tab. But in workerd it takes
  // none, and channels deliver within the task.
  readonly #channel = typeof MessageChannel === "function" &&
      globalThis.navigator?.userAgent !== "Cloudflare-Workers"
    ? new MessageChannel()
    : undefined;
  #waiting: (() => void)[] = [];
  #closed = false;

  constructor() {
    if (this.#channel === undefined) return;
    const { port1, port2 } = this.#channel;
    port1.onmessage = () => this.#waiting.shift()?.();
    // There and back, as Deno starts no new task for a message that was sent to
    // a port while an earlier one of the same port was handled.
    port2.onmessage = () => port2.postMessage(null);
  }

  /** Resolves in a task of its own; once the queue is closed, at once. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve();
      } else if (this.#channel === undefined) {
        setTimeout(resolve);
      } else {
        this.#waiting.push(resolve);
        this.#channel.port1.postMessage(null);
      }
    });
  }

  close(): void {
    this.#closed = true;
    this.#channel?.port1.close();
    this.#channel?.port2.close();
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
  }
}
