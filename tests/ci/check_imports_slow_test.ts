import { assert, assertEquals } from "@std/assert";
import { checkModule } from "../../.ci/check_imports.ts";
import { slowTest } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

const root = new URL("../..", import.meta.url).pathname;

/** A part of the message about a rule, and code of a file that breaks it. */
const violations: [rule: string, file: string, code: string][] = [
  [
    "an import points down",
    "src/last_event_id_up.ts",
    'import "./read/decoder.ts";',
  ],
  ["no circles", "src/read/limits.ts", 'import "./decoder.ts";'],
  [
    "folders of the same level do not import each other",
    "src/read/write.ts",
    'import "../write/encoder.ts";',
  ],
  [
    "read/ and write/ do not import event_log/",
    "src/write/log.ts",
    'import "../event_log/memory.ts";',
  ],
  [
    "event_log/ does not import read/",
    "src/event_log/read.ts",
    'import "../read/limits.ts";',
  ],
  [
    "nothing imports the file of an entry point",
    "src/event_log/entry.ts",
    'import "../../mod.ts"; import "../typed_events.ts";',
  ],
  [
    "internal/ imports only itself",
    "src/internal/up.ts",
    'import "../last_event_id.ts";',
  ],
  [
    "the module has no dependencies",
    "src/read/dependency.ts",
    'import "node:util";',
  ],
  [
    "src/ uses web-platform globals only",
    "src/read/globals.ts",
    "export const env = Deno.env;",
  ],
  [
    "src/ uses web-platform globals only",
    "src/cli.ts",
    "export const args = Deno.args;",
  ],
];

slowTest(
  "`check_imports.ts` reports each broken rule and nothing else",
  async () => {
    assertEquals(await checkModule(root), []);

    await using directory = await temporaryDirectory();
    const { success } = await new Deno.Command("cp", {
      args: ["-r", "mod.ts", "deno.json", "src", directory.path],
      cwd: root,
    }).output();
    assert(success);
    for (const [, file, code] of violations) {
      await Deno.writeTextFile(`${directory.path}/${file}`, `${code}\n`, {
        append: true,
      });
    }
    const messages = await checkModule(directory.path);
    for (const [rule, file] of violations) {
      const found = messages.filter((message) => message.includes(rule));
      assert(found.some((message) => message.includes(file)), rule);
    }
  },
);
