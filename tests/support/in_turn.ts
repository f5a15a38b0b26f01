/**
 * Returns an in-process `fetch`. It passes the nth request to the nth handler, and
 * all later requests to the last handler.
 */
export function inTurn(
  ...handlers: [
    (request: Request) => Response | Promise<Response>,
    ...((request: Request) => Response | Promise<Response>)[],
  ]
): {
  fetch: (request: Request) => Promise<Response>;
  /** All requests so far, in order. */
  requests: Request[];
  /** The times of the requests, by `Date.now()`. */
  times: number[];
} {
  const requests: Request[] = [];
  const times: number[] = [];
  return {
    requests,
    times,
    // deno-lint-ignore require-await
    async fetch(request) {
      times.push(Date.now());
      const index = requests.push(request) - 1;
      return handlers[Math.min(index, handlers.length - 1)](request);
    },
  };
}
