/**
 * `retry` fields outside any event.
 *
 * @module
 */

/**
 * A block with `retry` and no data is no event. Whoever passes events on would
 * lose it, so it is noted here with the next event.
 */
const retries = /* @__PURE__ */ new WeakMap<object, number>();

/** Notes the time in ms that was set since the event before. */
export function noteRetry(event: object, retry: number): void {
  retries.set(event, retry);
}

/** The time in ms that was noted with the event, if any. */
export function notedRetry(event: object): number | undefined {
  return retries.get(event);
}
