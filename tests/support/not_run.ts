/**
 * Returns and prints the reason why tests cannot run, so that no test is skipped
 * silently. In CI on Linux, where everything is installed, it throws instead.
 *
 * @param tests The name of the tests, for example "Tests of KvEventLog".
 * @param lacking The missing requirement, or undefined if the tests can run.
 */
export function notRunFor(
  tests: string,
  lacking: string | undefined,
): string | undefined {
  if (lacking === undefined) return undefined;
  const reason = `not run: ${lacking}`;
  if (Deno.env.get("CI") === "true" && Deno.build.os === "linux") {
    throw new Error(`${tests} ${reason}`);
  }
  console.warn(`${tests} ${reason}`);
  return reason;
}

/** Returns the reason why tests with Deno KV cannot run, or undefined. */
export function whyNoKv(tests: string): string | undefined {
  const lacking = "deno runs without --unstable-kv";
  return notRunFor(tests, "openKv" in Deno ? undefined : lacking);
}

/** Returns whether the command exists. It has to support `--version`. */
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
