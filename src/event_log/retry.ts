/**
 * Retrying what has failed in a store.
 *
 * @module
 */

import { backoffDelay } from "../internal/backoff.ts";
import { textOf } from "../internal/check.ts";

/** The maximum delay in ms after failures in a row. */
const MAX_DELAY = 2000;

/** The maximum delay in ms if a hosted service has reached its limit. */
const MAX_LIMITED_DELAY = 30_000;

/** The error of a hosted service whose limit of requests is reached. */
const LIMITED = /limit exceeded|too many requests/i;

/**
 * Returns the delay in ms before a retry. It grows with the number of failures in
 * a row.
 */
export function retryDelay(failures: number, error?: unknown): number {
  const isLimited = LIMITED.test(messageOf(error));
  const max = isLimited ? MAX_LIMITED_DELAY : MAX_DELAY;
  return backoffDelay({ initial: 50, max, factor: 2, jitter: 0.5 }, failures);
}

/** Returns the message of an error, or any other thrown value as text. */
export function messageOf(error: unknown): string {
  return textOf((error as Error | undefined)?.message ?? error);
}

/**
 * The text of an error that only a change of the program can prevent: a check of
 * this package has failed, or a request to a Cloudflare Worker uses a connection of
 * another request. `JSON.parse` throws errors with a similar message as a check, but
 * they are `SyntaxError`s.
 */
const PROGRAM_ERROR =
  /^(Type|Range)Error: Expected |on behalf of a different request/;

/** Whether the program has to be changed, so that another try cannot succeed. */
export function isProgramError(error: unknown): boolean {
  return PROGRAM_ERROR.test(textOf(error));
}
