/** Starts `deno task start` with these arguments. */
export function start(
  args: string[],
  options?: Deno.CommandOptions,
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "start", ...args],
    cwd: new URL("../../", import.meta.url),
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...options,
  }).spawn();
}

/** Runs `deno task start` with these arguments until it ends. */
export async function run(...args: string[]) {
  const signal = AbortSignal.timeout(60_000);
  const { code, stdout, stderr } = await start(args, { signal }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

/** A process that serves the demo's page until it is disposed. */
export class Page implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly url: string;

  static async servedBy(child: Deno.ChildProcess): Promise<Page> {
    const stdout = child.stdout.pipeThrough(new TextDecoderStream());
    const reader = stdout.getReader();
    // The first run takes longer: it downloads esbuild to bundle the module.
    const timer = setTimeout(() => child.kill(), 60_000);
    const { value = "" } = await reader.read();
    clearTimeout(timer);
    await reader.cancel();
    const url = value.match(/http:\S+/)?.[0];
    if (url !== undefined) return new Page(child, url);
    throw new Error(value + await new Response(child.stderr).text());
  }

  private constructor(child: Deno.ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  async [Symbol.asyncDispose]() {
    // The task forwards SIGTERM to the server. It could not forward SIGKILL.
    this.#child.kill("SIGTERM");
    await this.#child.stderr.cancel();
    await this.#child.status;
  }
}
