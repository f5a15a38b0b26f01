// Checks that the README agrees with the code: its links, options and error
// codes.

import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const root = new URL("../", import.meta.url);
const repository = /^https:\/\/github\.com\/x\/sse\/(?:blob|tree)\/main\//;

const readme = await read("README.md");

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, root));
}

/** Returns the targets of all links, including fragments. */
function links(): string[] {
  return [...readme.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$/gm)]
    .map(([, inline, defined]) => inline ?? defined);
}

/**
 * Returns the names in the first column of the tables whose header starts with
 * `head`.
 */
function rows(head: string): string[] {
  const table = readme.split("\n\n").filter((it) =>
    it.startsWith(`| ${head} `)
  );
  return table.flatMap((it) => it.split("\n").slice(2)).flatMap((row) =>
    [...row.split("|")[1].matchAll(/`"?([^`"]+)"?`/g)].map(([, name]) => name)
  );
}

/** Returns the names of the properties that an interface declares. */
function properties(source: string, name: string): string[] {
  const [, body] = new RegExp(
    `^export interface ${name} [^]*?\\{\n([^]*?)^\\}`,
    "m",
  ).exec(source)!;
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)]
    .map(([, property]) => property);
}

Deno.test("README has relative links only to published files", () => {
  const relative = links().filter((it) => !/^(https?:|#)/.test(it));
  assert(relative.length > 0);
  const published = (path: string) =>
    config.publish.include.some((it) =>
      path === it || path.startsWith(`${it}/`)
    );
  assertEquals(relative.filter((it) => !published(it.split("#")[0])), []);
});

Deno.test("README links only to files of the repository that exist", async () => {
  const paths = links().filter((it) => !it.startsWith("#"))
    .map((it) => it.replace(repository, "").split("#")[0])
    .filter((it) => !it.includes("://"));
  assert(paths.length > 0);
  const missing: string[] = [];
  for (const path of paths) {
    await Deno.stat(new URL(path, root)).catch(() => missing.push(path));
  }
  assertEquals(missing, []);
});

Deno.test("README links to no other GitHub repository and only to existing headings", () => {
  const foreign = links().filter((it) =>
    it.includes("github.com") && !repository.test(it)
  );
  assertEquals(foreign, []);
  const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    `#${heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-")}`
  );
  const own = links().filter((it) => it.startsWith("#"));
  assertEquals(own.filter((it) => !headings.includes(it)), []);
});

Deno.test("README lists exactly the options of connectSse", async () => {
  const options = properties(
    await read("src/read/options.ts"),
    "ConnectSseOptions",
  );
  const reconnect = properties(
    await read("src/read/reconnect.ts"),
    "ReconnectOptions",
  );
  // The options of `fetch` that the README lists; a platform interface declares
  // them.
  const ofFetch = ["method", "headers", "body", "signal"];
  assertEquals(
    rows("option").toSorted(),
    [...options, ...reconnect, ...ofFetch].toSorted(),
  );
});

Deno.test("README lists exactly the codes of SseError", async () => {
  const source = await read("src/error.ts");
  const [, union] = /^export type SseErrorCode =\n([^;]*);/m.exec(source)!;
  const codes = [...union.matchAll(/"([^"]+)"/g)].map(([, code]) => code);
  assertEquals(rows("code").toSorted(), codes.toSorted());
});
