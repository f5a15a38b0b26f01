/** Runs the guide's programs for Node and Bun with these runtimes. */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { installFromNpm, output } from "../runtimes/install.ts";
import { allData, dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { notRunFor } from "../support/not_run.ts";
import { binaryOf, type InstalledRuntime } from "../support/runtime_binary.ts";
import { slowTest, slowTestsNotRun } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { blockOf, blocksOf, withPackage } from "./programs.ts";

const notRun = slowTestsNotRun ?? notRunFor(
  "Tests of servers on Node and Bun",
  await installFromNpm().then(() => undefined, String),
);

/** Bundles a program and runs it. It prints its port. */
async function run(runtime: InstalledRuntime, code: string) {
  await using directory = await temporaryDirectory();
  const files = {
    "main.ts": code,
    "news.ts": await blockOf("servers", "export async function news"),
    "to_node.ts": await blockOf("servers", "export function toNode"),
  };
  for (const [name, code] of Object.entries(files)) {
    await Deno.writeTextFile(`${directory.path}/${name}`, withPackage(code));
  }
  await output(Deno.execPath(), [
    ...["bundle", "--quiet", "--no-check"],
    ...[`--output=${directory.path}/main.mjs`, `${directory.path}/main.ts`],
  ]);
  const child = new Deno.Command("sh", {
    args: [
      ...["-c", 'exec "$0" "$1" 2>&1', await binaryOf(runtime)],
      `${directory.path}/main.mjs`,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let printed = "";
  const port = Promise.withResolvers<string>();
  const ended = (async () => {
    for await (
      const text of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      printed += text;
      const found = printed.match(/^:(\d+)$/m);
      if (found) port.resolve(found[1]);
    }
    port.reject(new Error(`The program has ended: ${printed}`));
  })();
  const stop = async (signal: Deno.Signal): Promise<number> => {
    child.kill(signal);
    const { code } = await deadline(child.status, "the program to exit", 20);
    await ended;
    return code;
  };
  try {
    return {
      url: `http://127.0.0.1:${await deadline(
        port.promise,
        "the port",
        20,
      )}/news`,
      printed: () => printed,
      stop,
      async [Symbol.asyncDispose]() {
        // Has no effect if the program has exited.
        await stop("SIGKILL").catch(() => {});
      },
    };
  } catch (error) {
    await stop("SIGKILL").catch(() => {});
    throw error;
  }
}

/** The program for `node:http`, whose handler has more paths. */
async function nodeProgram(): Promise<string> {
  const code = await blockOf("servers", "createServer(");
  return code.replaceAll("8000", "0").replace(
    "toNode(news)",
    "toNode(handler)",
  ) +
    `
import { sseResponse } from "@x/sse";
let closed = 0;
async function handler(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/closed") return Response.json(closed);
  if (pathname === "/failing") return sseResponse(failing());
  if (pathname !== "/silent" && pathname !== "/late") return await news(request);
  if (pathname === "/late") await new Promise((r) => setTimeout(r, 100));
  return sseResponse(new ReadableStream({ cancel: () => void closed++ }));
}
async function* failing() {
  yield { data: "1" };
  throw new Error("my database is down");
}
server.on("listening", () => console.log(":" + server.address().port));
`;
}

for (const runtime of ["Node 22", "Node 24", "Bun"] as const) {
  slowTest(`servers: the adapter works on ${runtime}`, async () => {
    await using server = await run(runtime, await nodeProgram());
    const at = (path: string) => new URL(path, server.url).href;
    const closed = async (count: number) => {
      while (await (await fetch(at("/closed"))).json() < count) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };

    const posted = await fetch(server.url, { method: "POST", body: "1 ☃" });
    assertEquals([posted.status, await posted.text()], [204, ""]);
    const odd = await connectSse(`${new URL(server.url).origin}//`);
    assertEquals(await dataOf(odd, 1), ["1 ☃"]);
    await odd.close();

    const silent = await deadline(connectSse(at("/silent")), "the headers");
    await silent.close();
    await deadline(closed(1), "the source to be closed");

    const head = fetch(at("/silent"), { method: "HEAD" });
    assertEquals((await deadline(head, "the answer to HEAD")).status, 200);
    await deadline(closed(2), "the source to be closed after HEAD");

    const leaving = new AbortController();
    const late = fetch(at("/late"), { signal: leaving.signal });
    await new Promise((resolve) => setTimeout(resolve, 50));
    leaving.abort();
    await late.catch(() => {});
    await deadline(closed(3), "the source of a late response to be closed");

    const failing = await connectSse(at("/failing"));
    assertEquals(await dataOf(failing, 1), ["1"]);
    const error = await failing.next().catch((error) => error);
    assertEquals(error.code, "network");

    const open = await connectSse(server.url);
    assertEquals(await dataOf(open, 1), ["1 ☃"]);
    const rest = allData(open);
    assertEquals(await server.stop("SIGTERM"), 0);
    assertEquals(await rest, []);
    const printed = server.printed();
    assertEquals(printed.match(/error: .*/gi)?.length, 1, printed);
    assert(printed.includes("my database is down"), printed);
  }, notRun);
}

slowTest(
  "servers: Bun sends the headers with the first heartbeat, and closes a silent connection after idleTimeout",
  async () => {
    const block = await blockOf("servers", "idleTimeout: 30");
    const code = block.replace("8000", "0").replace("30", "1")
      .replace("fetch: news", "fetch: handler")
      .replace("export default", "const options =") +
      `
import { sseResponse } from "@x/sse";
function handler(request: Request) {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/news") return news(request);
  const heartbeat = Number(searchParams.get("heartbeat"));
  const silent = new ReadableStream({ start(controller) {
    if (searchParams.has("comment")) controller.enqueue({ comment: "connected" });
  } });
  return sseResponse(silent, { heartbeat });
}
console.log(":" + Bun.serve(options).port);
`;
    await using server = await run("Bun", code);
    const at = (query: string) => new URL(`/silent?${query}`, server.url).href;

    // The heartbeat is the first byte. 12 of them take twice the idle timeout.
    let comments = 0;
    const beating = new AbortController();
    const error = await (async () => {
      const sse = await connectSse(at("heartbeat=200"), {
        signal: beating.signal,
        onComment() {
          if (++comments === 12) beating.abort();
        },
      });
      await deadline(sse.next(), "twelve heartbeats", 20);
    })().catch((error) => error);
    assertEquals([error?.name, comments], ["AbortError", 12]);

    // After its first comment, nothing is written to this one.
    const silent = connectSse(at("heartbeat=600000&comment"));
    const sse = await deadline(silent, "the headers");
    const failure = await deadline(
      sse.next().catch((error) => error),
      "Bun to close the connection",
      30,
    );
    assertEquals(failure.code, "network");
  },
  notRun,
);

slowTest(
  "servers: the guide's programs for Deno and Node have no type errors",
  async () => {
    await using directory = await temporaryDirectory();
    let number = 0;
    for (const block of await blocksOf("servers")) {
      const name = block.includes("function toNode")
        ? "to_node.ts"
        : block.includes("export async function news")
        ? "news.ts"
        : `program${number++}.ts`;
      await Deno.writeTextFile(`${directory.path}/${name}`, withPackage(block));
    }
    assert(number > 5, `${number} programs`);
    await output(Deno.execPath(), [
      "check",
      "--quiet",
      ...["--no-config", directory.path],
    ]);
  },
  slowTestsNotRun,
);
