/**
 * Fixtures for tests without a network. They set the option `fetch` to a handler
 * in the same process.
 */
import { eventResponse } from "./open_response.ts";

/** The URL of an in-process handler. */
export const url = "http://in.process/";

/** The result of `next()` at the end of the stream. */
export const done = { done: true, value: undefined } as const;

/** Returns a handler that responds with an event stream of this text. */
export const events = (text: string) => (): Response => eventResponse(text);

/** Responds with status 204, which ends an event stream for good. */
export const empty = (): Response => new Response(null, { status: 204 });

/** Fails as `fetch` does if the network fails. */
export const failing = (): Promise<never> =>
  Promise.reject(new Error("cable cut"));
