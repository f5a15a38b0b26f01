import { assertEquals } from "@std/assert";

/**
 * Runs a script in a separate process, for code that would block this process or
 * use up its resources. The timeout is 30 seconds. `openFiles` limits the number
 * of open files, except on Windows, which has no such limit. Throws if the script
 * fails or writes to stderr.
 */
export async function runScript(
  script: string,
  openFiles = 1000,
): Promise<void> {
  let command = [Deno.execPath(), "eval", "--no-config", script];
  if (Deno.build.os !== "windows") {
    command = ["bash", "-c", `ulimit -n ${openFiles} && exec "$0" "$@"`]
      .concat(command);
  }
  const { code, stderr } = await new Deno.Command(command[0], {
    args: command.slice(1),
    signal: AbortSignal.timeout(30_000),
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(code, 0);
}
