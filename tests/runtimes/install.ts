/** Gets the runtimes from the npm registry and from Debian's packages. */

const CHROMIUM = "chromium-headless-shell";

/** Installs what `deno.json` beside this file names; no script of theirs runs. */
export async function installFromNpm(): Promise<void> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new Error("The packages are for Linux on x86-64");
  }
  await output(Deno.execPath(), ["install", "--quiet"], {
    cwd: import.meta.dirname,
  });
}

/** Installs Chromium where it is not there; gives the path of its binary. */
export async function installChromium(): Promise<string> {
  const install = () => apt("install", "--no-install-recommends", CHROMIUM);
  let binary = await findChromium();
  if (binary === undefined) {
    await install().catch(async () => {
      // The lists of packages may be missing, or too old.
      await apt("update");
      await install();
    });
    binary = await findChromium();
  }
  if (binary === undefined) throw new Error(`No binary in ${CHROMIUM}`);
  return binary;
}

/** The path of Chromium's binary, where it is there. */
export async function findChromium(): Promise<string | undefined> {
  const files = await output("dpkg", ["-L", CHROMIUM]).catch(() => "");
  // Not the script in /usr/bin, whose process is not the browser's.
  return files.split("\n").find((file) =>
    file.startsWith("/usr/lib/") && file.endsWith(`/${CHROMIUM}`)
  );
}

async function apt(...args: string[]): Promise<void> {
  // Another apt may be at work.
  const patience = "--option=DPkg::Lock::Timeout=60";
  const command = ["apt-get", "--quiet", "--yes", patience, ...args];
  if (Deno.uid() !== 0) command.unshift("sudo", "--non-interactive");
  await output(command[0], command.slice(1), {
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
}

/** What a command prints; throws with all of it where the command fails. */
export async function output(
  command: string | URL,
  args: string[],
  options: Deno.CommandOptions = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    stdin: "null",
    ...options,
    args,
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout);
  if (success) return text;
  throw new Error(
    [`${command} ${args.join(" ")} failed`, text, decoder.decode(stderr)]
      .join("\n").trim(),
  );
}
