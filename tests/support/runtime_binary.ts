/** The binaries that `tests/runtimes` installs. */
const binaries = {
  "Node 20": "node20/bin/node",
  "Node 22": "node22/bin/node",
  "Node 24": "node24/bin/node",
  "Bun": "bun/bin/bun",
  "workerd": "workerd/bin/workerd",
};

export type InstalledRuntime = keyof typeof binaries;

/** Returns the path of a runtime's binary. */
export async function binaryOf(name: InstalledRuntime): Promise<string> {
  const { imports } = JSON.parse(
    await Deno.readTextFile(new URL("../runtimes/deno.json", import.meta.url)),
  );
  const [alias, ...path] = binaries[name].split("/");
  const [, folder, version] = imports[alias].match(/^npm:(.*)@(.*)$/);
  const directory = `${folder.replace("/", "+")}@${version}`;
  return new URL(
    `../runtimes/node_modules/.deno/${directory}/node_modules/${folder}/` +
      path.join("/"),
    import.meta.url,
  ).pathname;
}
