/** An empty directory, until disposed of. Tests themselves may write nothing. */
export async function temporaryDirectory() {
  const run = async (command: string, ...args: string[]) => {
    const { stdout } = await new Deno.Command(command, { args }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  const path = await run("mktemp", "--directory");
  return {
    path,
    [Symbol.asyncDispose]: () => run("rm", "-r", path).then(() => {}),
  };
}
