import { assertEquals } from "@std/assert";

/**
 * Runs a script in a process of its own, for what would block this one, or take
 * all it has: it has half a minute, and at most so many files open at once. Fails
 * unless it ends well.
 */
export async function runScript(
  script: string,
  openFiles = 1000,
): Promise<void> {
  const { code, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `ulimit -n ${openFiles} && exec "$0" eval --no-config "$1"`,
      Deno.execPath(),
      script,
    ],
    signal: AbortSignal.timeout(30_000),
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(code, 0);
}
