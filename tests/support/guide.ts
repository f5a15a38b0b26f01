import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

let runs = 0;

/**
 * Runs the one block of code in a guide that contains `text`, as a program of
 * its own.
 *
 * @returns What it exports.
 */
// deno-lint-ignore no-explicit-any
export async function runBlock(guide: string, text: string): Promise<any> {
  const file = new URL(`../../.github/guides/${guide}.md`, import.meta.url);
  const blocks = [...(await Deno.readTextFile(file)).matchAll(
    /^```tsx?\n(.*?)^```$/gms,
  )].map(([, code]) => code).filter((code) => code.includes(text));
  assertEquals(blocks.length, 1, `blocks of ${guide} with ${text}`);

  // Where it is run, the names of this package mean nothing.
  const code = blocks[0].replace(
    /"@x\/sse(.*?)"/g,
    (_, path) => {
      const entry = config.exports[`.${path}` as keyof typeof config.exports];
      return JSON.stringify(import.meta.resolve(`../../${entry}`));
    },
  );
  // Deno takes a module for stuck that waits where nothing else does.
  const timer = setInterval(() => {}, 1000);
  try {
    return await import(
      `data:text/typescript,${encodeURIComponent(`// ${runs++}\n${code}`)}`
    );
  } finally {
    clearInterval(timer);
  }
}

/** Answers the requests of a block in the network's place, until disposed of. */
export function answer(
  handler: (request: Request, index: number) => Response | Promise<Response>,
) {
  const { fetch } = globalThis;
  const requests: Request[] = [];
  globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    requests.push(request.clone());
    return await handler(request, requests.length - 1);
  };
  return {
    requests,
    [Symbol.dispose]() {
      globalThis.fetch = fetch;
    },
  };
}

/** Keeps what is logged, until disposed of. */
export function logged() {
  const { log } = console;
  const lines: unknown[][] = [];
  console.log = (...values) => void lines.push(values);
  return {
    lines,
    [Symbol.dispose]() {
      console.log = log;
    },
  };
}
