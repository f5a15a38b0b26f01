/** Runs a file of this folder in a process of its own. */

/** V8's garbage collector, which child processes can call. */
export function collectGarbage(): void {
  (globalThis as unknown as { gc(): void }).gc();
}

function command(file: string, args: (string | number)[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--allow-all",
      "--unstable-kv",
      "--no-check",
      "--v8-flags=--expose-gc",
      new URL(file, import.meta.url).pathname,
      ...args.map(String),
    ],
    stdout: "piped",
    stderr: "inherit",
  });
}

/** Starts a file. */
export function spawnChild(
  file: string,
  ...args: (string | number)[]
): Deno.ChildProcess {
  return command(file, args).spawn();
}

/** Runs a file to its end. Returns the JSON that it printed. */
export async function runChild<T>(
  file: string,
  ...args: (string | number)[]
): Promise<T> {
  const { success, stdout } = await command(file, args).output();
  if (!success) throw new Error(`${file} ${args.join(" ")} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Runs `http_server.ts` while `use` is pending. */
export async function withServer(
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = spawnChild("http_server.ts");
  const reader = server.stdout.getReader();
  try {
    const { value } = await reader.read();
    await use(Number(new TextDecoder().decode(value)));
  } finally {
    await reader.cancel();
    server.kill();
    await server.status;
  }
}
