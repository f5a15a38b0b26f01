/** Runs a script with permission to write files, which tests do not have. */
export async function script(code: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", code, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** Creates an empty directory, which is removed when disposed. */
export async function temporaryDirectory() {
  const path = await script("console.log(Deno.makeTempDirSync())");
  return {
    path,
    async [Symbol.asyncDispose]() {
      await script("Deno.removeSync(Deno.args[0], { recursive: true })", path);
    },
  };
}
