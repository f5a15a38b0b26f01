/**
 * `retry` fields outside any event.
 *
 * @module
 */

/**
 * A block of `retry` without data is no event, so that whoever writes events on
 * would drop it: it is noted here with the event that comes next.
 */
const retries = /* @__PURE__ */ new WeakMap<object, number>();

/** Notes the time in ms that was set since the event before. */
export function noteRetry(event: object, retry: number): void {
  retries.set(event, retry);
}

/** The time in ms that was set before the event, where it says none itself. */
export function notedRetry(event: object): number | undefined {
  return retries.get(event);
}
