/**
 * Fixtures of tests without a network, in which the option `fetch` is a handler
 * in the same process.
 */
import { eventResponse } from "./open_response.ts";

/** The URL that a handler in process is reached at. */
export const url = "http://in.process/";

/** What `next()` resolves to at the end. */
export const done = { done: true, value: undefined } as const;

/** Returns a handler that responds with an event stream of this text. */
export const events = (text: string) => (): Response => eventResponse(text);

/** Responds with status 204, which ends an event stream for good. */
export const empty = (): Response => new Response(null, { status: 204 });

/** Fails as `fetch` does if the network fails. */
export const failing = (): Promise<never> =>
  Promise.reject(new Error("cable cut"));
