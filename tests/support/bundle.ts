/** Bundles a file and all that it imports into a module for other runtimes. */
export async function bundle(path: string, output: string): Promise<void> {
  const map = new URL("../offline/import_map.json", import.meta.url).pathname;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--quiet", `--import-map=${map}`, `--output=${output}`],
      path,
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
