import { blockOf, withPackage } from "../guides/programs.ts";

let runs = 0;

/**
 * Runs the code block of a guide that contains `text` as a separate program.
 * Exactly one block must contain it.
 *
 * @returns The exports of the program.
 */
// deno-lint-ignore no-explicit-any
export async function runBlock(guide: string, text: string): Promise<any> {
  // A data: URL cannot import this package by its name.
  const code = withPackage(await blockOf(guide, text));
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

/** Records what is printed by `console.log` or `console.error`, until disposed. */
export function logged(method: "log" | "error" = "log") {
  const print = console[method];
  const lines: unknown[][] = [];
  console[method] = (...values) => void lines.push(values);
  return {
    lines,
    [Symbol.dispose]() {
      console[method] = print;
    },
  };
}
