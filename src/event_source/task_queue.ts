/**
 * Tasks of the event loop, as the standard queues them.
 *
 * @module
 */

/**
 * Starts a task for each event, so that the microtasks that listeners of the
 * previous event have queued run before it.
 */
export class TaskQueue {
  // A timer takes milliseconds, up to a second in a hidden tab. In workerd it
  // takes none, and a channel delivers its messages within the task.
  readonly #channel = typeof MessageChannel === "function" &&
      globalThis.navigator?.userAgent !== "Cloudflare-Workers"
    ? new MessageChannel()
    : undefined;
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor() {
    if (this.#channel === undefined) return;
    const { port1, port2 } = this.#channel;
    port1.onmessage = () => this.#waiting.shift()?.();
    // There and back: Deno starts no new task for a message that is sent to a port
    // while an earlier message of that port is handled.
    port2.onmessage = () => port2.postMessage(null);
  }

  /** Resolves in a new task, or at once if the queue is closed. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve();
      } else if (this.#channel === undefined) {
        try {
          setTimeout(resolve);
        } catch {
          resolve(); // Workers refuse timers while a module loads.
        }
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
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
