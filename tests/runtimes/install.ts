/** Installs the runtimes from the npm registry. Finds the system's Chromium. */

const CHROMIUM = "chromium-headless-shell";

/** Installs the packages of `deno.json` beside this file, without their scripts. */
export async function installFromNpm(): Promise<void> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new Error("The packages are for Linux on x86-64");
  }
  await output(Deno.execPath(), ["install", "--quiet"], {
    cwd: import.meta.dirname,
  });
}

/** Returns the path of Chromium's binary. */
export async function chromium(): Promise<string> {
  const binary = await findChromium();
  if (binary !== undefined) return binary;
  throw new Error(`${CHROMIUM} is not installed: apt-get install ${CHROMIUM}`);
}

/** Returns the path of Chromium's binary, if Debian's package is installed. */
export async function findChromium(): Promise<string | undefined> {
  const files = await output("dpkg", ["-L", CHROMIUM]).catch(() => "");
  // Not the script in /usr/bin: its process is not the process of the browser.
  return files.split("\n").find((file) =>
    file.startsWith("/usr/lib/") && file.endsWith(`/${CHROMIUM}`)
  );
}

/** Returns what a command prints. If it fails, throws with its whole output. */
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
