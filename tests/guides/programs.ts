/** Programs of a guide that consist of several files. */
import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

let programs = 0;

/** The handlers that replace the guide's `news.ts`. */
const handlers: Record<string, unknown> = {};
Object.assign(globalThis, { handlersOfGuides: handlers });

/** Returns all TypeScript blocks of a guide, also those that `--doc` ignores. */
export async function blocksOf(guide: string): Promise<string[]> {
  const file = new URL(`../../examples/guides/${guide}.md`, import.meta.url);
  return [...(await Deno.readTextFile(file)).matchAll(
    /^```tsx?(?: ignore)?\n(.*?)^```$/gms,
  )].map(([, code]) => code);
}

/** Returns the only block of a guide that contains `text`. */
export async function blockOf(guide: string, text: string): Promise<string> {
  const blocks = (await blocksOf(guide)).filter((it) => it.includes(text));
  assertEquals(blocks.length, 1, `blocks of ${guide} with ${text}`);
  return blocks[0];
}

/** Replaces the imports of this package by the URLs of its files. */
export function withPackage(code: string): string {
  return code.replace(/"@x\/sse(.*?)"/g, (_, path) => {
    const entry = config.exports[`.${path}` as keyof typeof config.exports];
    return JSON.stringify(import.meta.resolve(`../../${entry}`));
  });
}

/**
 * Returns the URL of the program with `text`. It listens on port 0, and has
 * modules of its own: `to_node.ts`, and `news.ts`, unless `news` replaces it.
 */
export async function program(
  guide: string,
  text: string,
  { news, exportServer = false }: { news?: unknown; exportServer?: boolean } =
    {},
): Promise<string> {
  const number = programs++;
  const url = (code: string) =>
    `data:text/typescript,${
      encodeURIComponent(`// ${number}\n${withPackage(code)}`)
    }`;
  handlers[number] = news;
  const newsCode = news === undefined
    ? await blockOf(guide, "export async function news")
    : `export const news = handlersOfGuides[${number}];
export function stop() {}`;
  const files: Record<string, string> = {
    "./news.ts": url(newsCode),
    "./to_node.ts": url(await blockOf(guide, "export function toNode")),
  };
  let code = (await blockOf(guide, text)).replaceAll("8000", "0");
  if (exportServer) code = code.replace(/^const server/m, "export $&");
  for (const [file, url] of Object.entries(files)) {
    code = code.replace(JSON.stringify(file), JSON.stringify(url));
  }
  return url(code);
}
