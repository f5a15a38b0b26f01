import { assertEquals } from "@std/assert";

/**
 * Runs a script in a process of its own, for what would block this one, or take
 * all it has: it has half a minute, and at most so many files open at once, but
 * on Windows, which knows no such limit. Fails unless it ends well.
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
