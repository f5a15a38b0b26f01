/** Helpers for servers that keep their port when they are started again. */
// Without @std, as benchmarks use it, too.
import { deadline } from "./deadline.ts";

/**
 * Starts a server on a random port below the range that systems use for port 0, so
 * that no other test gets the port while the server is down.
 */
export async function startOnRandomPort<T extends { start(): Promise<void> }>(
  create: (port: number) => T,
): Promise<T> {
  for (let attempt = 0;; attempt++) {
    const server = create(20_000 + Math.floor(Math.random() * 10_000));
    try {
      await server.start();
      return server;
    } catch (error) {
      // The port may be in use.
      if (attempt === 3) throw error;
    }
  }
}

/**
 * Resolves when a process has printed a text, and throws if it ends before that.
 * Reads the output to its end in any case, so that the process does not block.
 */
export async function waitUntilPrinted(
  name: string,
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
  text: string,
  seconds?: number,
): Promise<void> {
  let printed = "";
  const ready = Promise.withResolvers<void>();
  (async () => {
    for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
      printed += chunk;
      if (printed.includes(text)) ready.resolve();
    }
    ready.reject(new Error(`${name} ended: ${printed}`));
  })();
  await deadline(ready.promise, `${name} to be ready`, seconds);
}
