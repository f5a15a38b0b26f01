/** A server in a process of its own. */
export interface ListeningProcess extends AsyncDisposable {
  readonly url: string;
}

/**
 * Starts a server that prints `"port": N` on its standard output, as workerd does
 * with `--control-fd=1`. Resolves when it has printed that. The server is killed
 * when it is disposed.
 */
export async function startListeningProcess(
  binary: string | URL,
  args: string[],
  stderr: "inherit" | "null" = "inherit",
): Promise<ListeningProcess> {
  const process = new Deno.Command(binary, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr,
  }).spawn();
  const stdout = process.stdout.pipeThrough(new TextDecoderStream())
    .getReader();
  let printed = "";
  let port: string | undefined;
  while (port === undefined) {
    const { done, value } = await stdout.read();
    if (done) {
      throw new Error(`Expected ${binary} to listen, but it ended: ${printed}`);
    }
    printed += value;
    port = printed.match(/"port":\s*(\d+)/)?.[1];
  }
  return {
    url: `http://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      process.kill();
      await stdout.cancel();
      await process.status;
    },
  };
}
