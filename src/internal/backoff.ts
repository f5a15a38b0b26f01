/**
 * Delays between attempts.
 *
 * @module
 */

/** How the delays between attempts in a row grow. */
export interface Backoff {
  /** The delay before the first attempt, in milliseconds. */
  initial: number;
  /** The longest delay, in milliseconds. */
  max: number;
  /** The factor by which the delay grows with each attempt. */
  factor: number;
  /** The share of the delay that is random, from 0 to 1. */
  jitter: number;
}

/** Returns the delay in milliseconds before an attempt, counted from 1. */
export function backoffDelay(
  { initial, max, factor, jitter }: Backoff,
  attempt: number,
): number {
  const longest = Math.min(initial * factor ** (attempt - 1), max);
  return longest * (1 - jitter * Math.random());
}
