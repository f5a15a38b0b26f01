// Shows that a stream survives connections that are cut, stall or fail, and what
// a plain `fetch` loses in the same cases.
//
//   deno task start                serves a page if stdout is a terminal;
//                                  otherwise does the same as --terminal
//   deno task start --page         serves a page on which you break the stream
//   deno task start --terminal     breaks a stream three times, prints what
//                                  arrives, and exits
//   deno task start https://…      reads this stream, as `@x/sse/cli` does

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

/** Returns a module with its dependencies as one file for browsers. */
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
      "Expected to bundle the page's module with esbuild, which Deno downloads " +
        "from npm on first use. To run the demo without it: " +
        "deno task start --terminal",
      { cause },
    );
  }
}

/** Listens on this port, or on the next free one. */
function serveOnFreePort(port: number, handler: Deno.ServeHandler): void {
  try {
    Deno.serve({
      hostname: "127.0.0.1",
      port,
      onError,
      onListen: () =>
        console.log(
          `Break a stream at http://127.0.0.1:${port}/ (Ctrl+C stops the server)`,
        ),
    }, handler);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    serveOnFreePort(port + 1, handler);
  }
}
