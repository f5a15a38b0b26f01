/**
 * A `fetch` in process: the nth request goes to the nth handler, and all that
 * follow to the last one.
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
  /** When they came, by `Date.now()`. */
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
