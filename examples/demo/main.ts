// Shows what a stream survives: tokens, a job's progress and the raw events come
// in while connections are cut, stall, and are hung up on.
//
//   deno task start                on a page; where there is no terminal, as next
//   deno task start --terminal     on the terminal, and ends by itself
//   deno task start --page         on a page in any case
//   deno task start https://…      reads that stream, as `@x/sse/cli` does

import { main as readFromUrl } from "../../src/cli.ts";
import { handler, onError } from "./server.ts";
import { showOnTerminal } from "./terminal.ts";

const mode = Deno.args.join(" ") ||
  (Deno.stdout.isTerminal() ? "--page" : "--terminal");

switch (mode) {
  case "--page":
    await servePage();
    break;
  case "--terminal":
    Deno.exit(await showOnTerminal() ? 0 : 1);
    break;
  default:
    Deno.exit(await readFromUrl(Deno.args));
}

async function servePage(): Promise<void> {
  const page = new URL("page.html", import.meta.url);
  const module = await bundle("../../mod.ts");

  serveOnFreePort(8000, async (request, info) => {
    switch (new URL(request.url).pathname) {
      case "/":
        return new Response(await Deno.readTextFile(page), {
          headers: { "Content-Type": "text/html" },
        });
      case "/sse.js":
        return new Response(module, {
          headers: { "Content-Type": "text/javascript" },
        });
      default:
        return handler(request, info);
    }
  });
}

/** Makes one file of a module, for browsers. */
async function bundle(module: string): Promise<string> {
  try {
    const { outputFiles } = await Deno.bundle({
      entrypoints: [import.meta.resolve(module)],
      platform: "browser",
      write: false,
    });
    return outputFiles![0].text();
  } catch (cause) {
    throw new Error(
      "Expected to make the page's module with esbuild, which comes from npm " +
        "the first time. `deno task start --terminal` needs neither",
      { cause },
    );
  }
}

/** Serves at this port, or at the next that is free. */
function serveOnFreePort(port: number, handler: Deno.ServeHandler): void {
  try {
    Deno.serve({
      hostname: "127.0.0.1",
      port,
      onError,
      onListen: () =>
        console.log(`Break the stream at http://127.0.0.1:${port}/`),
    }, handler);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    serveOnFreePort(port + 1, handler);
  }
}
