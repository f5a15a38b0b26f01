/**
 * Returns why tests cannot run, and prints it: no test is skipped silently. In
 * CI on Linux, where everything is installed, it throws instead.
 *
 * @param tests The tests, as "Tests of KvEventLog".
 * @param lacking What they lack: undefined if they can run.
 */
export function notRunFor(
  tests: string,
  lacking: string | undefined,
): string | undefined {
  if (lacking === undefined) return undefined;
  const why = `not run: ${lacking}`;
  if (Deno.env.get("CI") === "true" && Deno.build.os === "linux") {
    throw new Error(`${tests} ${why}`);
  }
  console.warn(`${tests} ${why}`);
  return why;
}

/** Whether a command can be run: those that print a version, with `--version`. */
export function isInstalled(command: string): boolean {
  try {
    return new Deno.Command(command, {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}
