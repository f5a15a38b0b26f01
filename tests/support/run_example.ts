import { assert } from "@std/assert";
import { deadline } from "./deadline.ts";

/** Returns the arguments of the `deno` command in the heading of an example. */
export async function commandOf(example: string): Promise<string[]> {
  const url = new URL(`../../examples/${example}`, import.meta.url);
  const heading = (await Deno.readTextFile(url)).split("\n\n", 1)[0];
  const command = heading.match(/^\/\/ {3}deno (.*)$/m)?.[1];
  assert(command, `Expected the heading of ${example} to contain its command`);
  return command.split(" ");
}

/** Starts the example with the flags of its heading and with these arguments. */
export async function start(
  example: string,
  args: string[] = [],
  { env = {}, serve = [] }: {
    env?: Record<string, string>;
    serve?: string[];
  } = {},
): Promise<Deno.ChildProcess> {
  const command = await commandOf(example);
  const flags = command.slice(0, command.indexOf(`examples/${example}`));
  // Uses the stand-ins for @std if the tests use them.
  if (import.meta.resolve("@std/assert").startsWith("file:")) {
    flags.push(
      `--import-map=${import.meta.dirname}/../offline/import_map.json`,
    );
  }
  return new Deno.Command(Deno.execPath(), {
    args: [...flags, ...serve, `examples/${example}`, ...args],
    cwd: new URL("../..", import.meta.url),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs an example until it exits. */
export async function run(
  example: string,
  args: string[],
  env?: Record<string, string>,
) {
  const child = await start(example, args, { env });
  const output = child.output();
  try {
    const { code, stdout, stderr } = await deadline(
      output,
      `${example} to end`,
    );
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  } catch (error) {
    child.kill();
    await output;
    throw error;
  }
}

/** Runs an example that is a server, until disposed. */
export async function serve(
  example: string,
  args: string[] = [],
  env: Record<string, string> = {},
  port = 0,
) {
  const child = await start(example, args, {
    env,
    serve: ["--host=127.0.0.1", `--port=${port}`],
  });
  return await serverOf(child, example);
}

/** Runs a program with `deno serve`, outside this project, until disposed. */
export async function serveFile(path: string, env: Record<string, string>) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["serve", "--no-config", "--unstable-kv", "--allow-all"],
      ...["--host=127.0.0.1", "--port=0", path],
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return await serverOf(child, path);
}

/** Waits until a process listens. Disposing it kills it without warning. */
async function serverOf(child: Deno.ChildProcess, name: string) {
  await child.stdout.cancel();
  const stderr = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  let url: string | undefined;
  while (url === undefined) {
    const { done, value } = await deadline(stderr.read(), `${name} to listen`);
    assert(!done, `${name} ended: ${printed}`);
    printed += value;
    url = printed.match(/Listening on (http:\S+)/)?.[1];
  }
  let isKilled = false;
  return {
    url,
    async [Symbol.asyncDispose]() {
      if (isKilled) return;
      isKilled = true;
      // Threads of `deno serve --parallel` may ignore SIGTERM.
      child.kill("SIGKILL");
      await stderr.cancel();
      await child.status;
    },
  };
}
