type Handler = (request: Request) => Response | Promise<Response>;

/**
 * Starts a server that collects the errors that `Deno.serve` would print. The nth
 * request goes to the nth handler, and all later ones to the last.
 */
export function collectErrors(...handlers: [Handler, ...Handler[]]) {
  const errors: unknown[] = [];
  const stop = new AbortController();
  let count = 0;
  const server = Deno.serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      signal: stop.signal,
      onListen() {},
      onError(error) {
        errors.push(error);
        return new Response(null, { status: 500 });
      },
    },
    (request) => handlers[Math.min(count++, handlers.length - 1)](request),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    errors,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await server.finished;
    },
  };
}
