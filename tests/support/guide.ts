import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

let runs = 0;

/**
 * Runs the code block of a guide that contains `text` as a separate program.
 * Exactly one block must contain it.
 *
 * @returns The exports of the program.
 */
// deno-lint-ignore no-explicit-any
export async function runBlock(guide: string, text: string): Promise<any> {
  const file = new URL(`../../examples/guides/${guide}.md`, import.meta.url);
  const blocks = [...(await Deno.readTextFile(file)).matchAll(
    /^```tsx?\n(.*?)^```$/gms,
  )].map(([, code]) => code).filter((code) => code.includes(text));
  assertEquals(blocks.length, 1, `blocks of ${guide} with ${text}`);

  // A data: URL cannot import this package by its name.
  const code = blocks[0].replace(
    /"@x\/sse(.*?)"/g,
    (_, path) => {
      const entry = config.exports[`.${path}` as keyof typeof config.exports];
      return JSON.stringify(import.meta.resolve(`../../${entry}`));
    },
  );
  // If a module awaits a promise and nothing else is pending, Deno exits with an
  // error. The timer prevents that.
  const timer = setInterval(() => {}, 1000);
  try {
    return await import(
      `data:text/typescript,${encodeURIComponent(`// ${runs++}\n${code}`)}`
    );
  } finally {
    clearInterval(timer);
  }
}

/** Handles the requests of a block instead of the network, until disposed. */
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

/** Records the arguments of `console.log`, until disposed. */
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
