const config = new URL("./deno.json", import.meta.url).pathname;

/** The arguments that run a file of this folder in a process of its own. */
export function childArgs(file: string, args: (string | number)[]): string[] {
  return [
    "run",
    "--quiet",
    "--allow-all",
    `--config=${config}`,
    "--v8-flags=--expose-gc",
    new URL(file, import.meta.url).pathname,
    ...args.map(String),
  ];
}

/** Runs a file of this folder to its end; the JSON it printed. */
export async function runChild<T>(
  file: string,
  ...args: (string | number)[]
): Promise<T> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: childArgs(file, args),
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${file} ${args.join(" ")} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Runs `http_server.ts` for as long as `use` works. */
export async function withServer(use: (port: number) => Promise<void>) {
  const server = new Deno.Command(Deno.execPath(), {
    args: childArgs("http_server.ts", []),
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
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
