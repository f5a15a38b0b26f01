/** Runs the programs of traps.md with the runtimes that the guide names. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connectSse, type SseError } from "../../mod.ts";
import { installFromNpm, output } from "../runtimes/install.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { notRunFor } from "../support/not_run.ts";
import { OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";
import { binaryOf, type InstalledRuntime } from "../support/runtime_binary.ts";
import { slowTest, slowTestsNotRun } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { blockOf, withPackage } from "./programs.ts";

const notRun = slowTestsNotRun ?? notRunFor(
  "Tests of the traps of runtimes",
  await installFromNpm().then(() => undefined, String),
);

/** Bundles a program, with this version of undici, to `main.mjs`. */
async function bundle(directory: string, code: string, undici = "7.30.2") {
  await Deno.writeTextFile(
    `${directory}/main.ts`,
    withPackage(code).replaceAll('"undici"', `"npm:undici@${undici}"`),
  );
  await output(Deno.execPath(), [
    ...["bundle", "--quiet", "--no-check"],
    ...[`--output=${directory}/main.mjs`, `${directory}/main.ts`],
  ]);
  return `${directory}/main.mjs`;
}

/** Starts a program, and kills it when it is disposed. */
async function start(
  runtime: InstalledRuntime | "Deno",
  file: string,
  { args = [], env = {} }: {
    args?: string[];
    env?: Record<string, string>;
  } = {},
) {
  const binary = runtime === "Deno" ? Deno.execPath() : await binaryOf(runtime);
  const child = new Deno.Command(binary, {
    args: runtime === "Deno"
      ? ["run", "-A", "--no-config", file, ...args]
      : [file, ...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  return {
    stderr,
    /** Waits until the program has printed a match, which is returned. */
    async match(pattern: RegExp): Promise<string> {
      while (!pattern.test(printed)) {
        const { value, done } = await deadline(stdout.read(), "output", 20);
        if (done) throw new Error(`It has ended: ${printed} ${await stderr}`);
        printed += value;
      }
      return printed.match(pattern)![1];
    },
    /** Waits until the program ends. Returns what it printed. */
    async end(): Promise<string> {
      const readAll = async () => {
        while (true) {
          const { value, done } = await stdout.read();
          if (done) break;
          printed += value;
        }
        await child.status;
      };
      await deadline(readAll(), "the program to end", 20);
      return printed + await stderr;
    },
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await stdout.cancel();
      await stderr;
    },
  };
}

/** A program of the guide, with another URL and another time limit. */
async function nodeProgram(text: string, url: string, bodyTimeout = 200) {
  return (await blockOf("traps", text))
    .replace("https://example.com/events", url)
    .replace("bodyTimeout: 0", `bodyTimeout: ${bodyTimeout}`);
}

const DISPATCHER = "dispatcher: new Agent";
const GLOBAL = "\nsetGlobalDispatcher(";
const OWN_FETCH = "undici.fetch(copy";

/** Reads a silent stream. */
const reading = (url: string) => `
import { connectSse } from "@x/sse";
for await (const _ of await connectSse("${url}"));
`;

for (const runtime of ["Node 22", "Node 24"] as const) {
  const cases = [
    [DISPATCHER, "7.30.2", "Body Timeout Error"],
    [DISPATCHER, "8.13.1", "invalid onRequestStart method"],
    [GLOBAL, "7.30.2", "Body Timeout Error"],
    [GLOBAL, "8.13.1", "Body Timeout Error"],
    [OWN_FETCH, "8.13.1", "Body Timeout Error"],
  ];
  for (const [text, version, expected] of cases) {
    slowTest(
      `traps: ${text.trim()} of undici ${version} on ${runtime}: ${expected}`,
      async () => {
        await using directory = await temporaryDirectory();
        const stream = new OpenResponse("data: 1\n\n");
        await using server = new HttpServer(() => stream.response);
        let code = await nodeProgram(text, server.url);
        if (text === GLOBAL) code += reading(server.url);
        const file = await bundle(directory.path, code, version);
        await using program = await start(runtime, file);
        const printed = await program.end();
        assertStringIncludes(printed, expected);
        assertStringIncludes(printed, "network");
      },
      notRun,
    );
  }

  slowTest(
    `traps: an Agent of undici 8 is not tried again on ${runtime}`,
    async () => {
      await using directory = await temporaryDirectory();
      await using server = new HttpServer(() => new Response());
      const code = (await nodeProgram(DISPATCHER, server.url))
        .replace("dispatcher:", "reconnect: true, dispatcher:");
      const file = await bundle(directory.path, code, "8.13.1");
      await using program = await start(runtime, file);
      assertStringIncludes(await program.end(), "invalid onRequestStart");
    },
    notRun,
  );

  slowTest(
    `traps: a dispatcher without limits lifts another limit on ${runtime}`,
    async () => {
      await using directory = await temporaryDirectory();
      const lifted = new OpenResponse("data: 1\n\n");
      const limited = new OpenResponse("data: 1\n\n");
      await using server = new HttpServer(({ path }) => {
        if (path === "/limited") return limited.response;
        if (path === "/lifted") return lifted.response;
        lifted.send("data: after the limit\n\n");
        return new Response(null, { status: 204 });
      });
      // Another reader fails by the limit, and then the server sends an event.
      const other = `
import { Agent as LimitedAgent, setGlobalDispatcher } from "undici";
import { connectSse as connectLimited } from "@x/sse";
setGlobalDispatcher(new LimitedAgent({ bodyTimeout: 200 }));
(async () => {
  try {
    for await (const _ of await connectLimited("${server.url}limited"));
  } catch (error) {
    console.log(error.message);
    await fetch("${server.url}send");
  }
})();
`;
      const program = await nodeProgram(DISPATCHER, `${server.url}lifted`, 0);
      const file = await bundle(directory.path, other + program);
      await using node = await start(runtime, file);
      await node.match(/(Body Timeout Error)[^]*after the limit/);
    },
    notRun,
  );
}

slowTest(
  "traps: Bun.serve closes a silent stream, unless it has heartbeats or no limit",
  async () => {
    await using directory = await temporaryDirectory();
    const block = await blockOf("traps", "Bun.serve({");
    // Bun checks its limits about every four seconds.
    const code = block
      .replace("port: 8000", "port: 0, idleTimeout: 5")
      .replace(
        "(request) =>",
        `(request, server) =>
      request.url.endsWith("/unlimited") && server.timeout(request, 0) ||
      !request.url.endsWith("/heartbeats") && sseResponse(resume(log, request)) ||`,
      )
      .replace("heartbeat: 5_000", "heartbeat: 1_000");
    assert(code.includes("idleTimeout") && code.includes("/unlimited"));
    const file = await bundle(directory.path, code);
    await using server = await start("Bun", file);
    const url = `http://127.0.0.1:${await server.match(/(\d+)\n/)}`;

    let heartbeats = 0;
    let onHeartbeat = () => {};
    const stop = new AbortController();
    const { signal } = stop;
    const codeOf = async (path: string, onComment?: () => void) => {
      try {
        const sse = await connectSse(`${url}/${path}`, { onComment, signal });
        await sse.next();
        return "event";
      } catch (error) {
        return (error as SseError).code;
      }
    };
    const open = [
      codeOf("heartbeats", () => {
        heartbeats++;
        onHeartbeat();
      }),
      codeOf("unlimited"),
    ];
    assertEquals(
      await deadline(codeOf("silent"), "Bun to close the stream", 20),
      "network",
    );

    const { promise, resolve } = Promise.withResolvers<void>();
    onHeartbeat = resolve;
    await deadline(promise, "another heartbeat");
    assert(heartbeats > 1);
    assertEquals(
      await Promise.race([...open, Promise.resolve("open")]),
      "open",
    );
    stop.abort();
    await Promise.all(open);
  },
  notRun,
);

slowTest(
  "traps: Bun.serve sends the headers with the first byte of the body",
  async () => {
    await using directory = await temporaryDirectory();
    const file = await bundle(
      directory.path,
      (await blockOf("traps", "silentNews")) + `
const server = Bun.serve({
  port: 0,
  fetch: (request) => request.url.endsWith("/silent")
    ? sseResponse(resume(silentNews, request))
    : handler(request),
});
console.log(server.port);
`,
    );
    await using server = await start("Bun", file);
    const url = `http://127.0.0.1:${await server.match(/(\d+)\n/)}`;

    const stop = new AbortController();
    const silent = connectSse(`${url}/silent`, { signal: stop.signal })
      .then(() => "open", () => "aborted");
    const other = await deadline(connectSse(url), "the headers");
    await other.close();
    assertEquals(
      await Promise.race([silent, Promise.resolve("no headers")]),
      "no headers",
    );
    stop.abort();
    assertEquals(await silent, "aborted");
  },
  notRun,
);

slowTest(
  "traps: Bun's fetch gives up on a silent stream, unless `timeout` is false",
  async () => {
    await using directory = await temporaryDirectory();
    const streams = [
      new OpenResponse("data: 1\n\n"),
      new OpenResponse("data: 1\n\n"),
    ];
    await using server = new HttpServer(({ path }) =>
      streams[Number(path === "/unlimited")].response
    );
    const unlimited = (await blockOf("traps", "timeout: false"))
      .replace("https://example.com/events", `${server.url}unlimited`);
    const env = { BUN_CONFIG_HTTP_IDLE_TIMEOUT: "1" };
    const file = await bundle(directory.path, unlimited);
    await using open = await start("Bun", file, { env });
    await open.match(/(1)\n/);

    await using other = await temporaryDirectory();
    const limited = await bundle(other.path, reading(server.url));
    await using program = await start("Bun", limited, { env });
    const printed = await program.end();
    assertStringIncludes(printed, "The operation timed out");
    assertStringIncludes(printed, "network");

    streams[1].send("data: still open\n\n");
    await open.match(/(still open)/);
  },
  notRun,
);

/** The table of the guide: the error's code, or `"end"`. */
const UNFRAMED_RESET_ENDS = ["Node 22", "Node 24", "Bun"];

for (const runtime of ["Deno", "Node 22", "Node 24", "Bun"] as const) {
  slowTest(
    `traps: which broken connections look like an end on ${runtime}`,
    async () => {
      const head = eventStreamHead.replace(
        "Transfer-Encoding: chunked\r\n",
        "",
      );
      await using server = await RawServer.listen(async (connection) => {
        const [, path] = connection.head.split(" ");
        if (path.includes("chunked")) {
          await connection.send(eventStreamHead);
          await connection.chunk("data: 1\n\n");
        } else {
          await connection.send(
            path.includes("length")
              ? head.replace("\r\n\r\n", "\r\nContent-Length: 1000\r\n\r\n")
              : head,
          );
          await connection.send("data: 1\n\n");
        }
        // The client may lose what it has not read before a reset.
        await new Promise((resolve) => setTimeout(resolve, 100));
        if (path.endsWith("reset")) connection.reset();
        else connection.end();
      });
      const paths = ["chunked", "length", "neither"].flatMap((body) => [
        `${body}-close`,
        `${body}-reset`,
      ]);
      await using directory = await temporaryDirectory();
      const file = await bundle(
        directory.path,
        `
import { connectSse } from "@x/sse";
const results = {};
for (const path of ${JSON.stringify(paths)}) {
  try {
    for await (const _ of await connectSse("${server.url}" + path));
    results[path] = "end";
  } catch (error) {
    results[path] = error.code;
  }
}
console.log(JSON.stringify(results));
`,
      );
      await using program = await start(runtime, file);
      assertEquals(JSON.parse(await program.end()), {
        "chunked-close": "network",
        "chunked-reset": "network",
        "length-close": "network",
        "length-reset": "network",
        "neither-close": "end",
        "neither-reset": UNFRAMED_RESET_ENDS.includes(runtime)
          ? "end"
          : "network",
      });
    },
    notRun,
  );
}

slowTest(
  "traps: a failed source breaks the connection on Bun.serve",
  async () => {
    await using directory = await temporaryDirectory();
    const file = await bundle(
      directory.path,
      `
import { sseResponse } from "@x/sse";
async function* failing() {
  yield { data: "1" };
  await new Promise((resolve) => setTimeout(resolve, 50));
  throw new Error("The source failed");
}
const { port } = Bun.serve({ port: 0, fetch: () => sseResponse(failing()) });
console.log(port);
`,
    );
    await using server = await start("Bun", file);
    const sse = await connectSse(
      `http://127.0.0.1:${await server.match(/(\d+)\n/)}/`,
    );
    assertEquals(await dataOf(sse, 1), ["1"]);
    const code = await sse.next().then(() => "end", (error) => error.code);
    assertEquals(code, "network");
  },
  notRun,
);

/** Serves the guide's Worker in workerd. */
async function serveWorker(directory: string, code: string) {
  await bundle(directory, code);
  await Deno.writeTextFile(
    `${directory}/config.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "main.mjs", esModule = embed "main.mjs")],
      compatibilityDate = "2026-11-17")),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", service = "main")],
);
`,
  );
  const worker = await start("workerd", "serve", {
    args: ["--control-fd=1", `${directory}/config.capnp`],
  });
  const port = await worker.match(/"port":\s*(\d+)/);
  return Object.assign(worker, { url: `http://127.0.0.1:${port}/` });
}

slowTest(
  "traps: workerd cancels a stream that waits for another request, unless it has heartbeats",
  async () => {
    const block = await blockOf("traps", "export default");
    await using directory = await temporaryDirectory();
    {
      await using worker = await serveWorker(
        directory.path,
        block.replace(", { heartbeat: 15_000 }", ""),
      );
      const sse = await connectSse(worker.url);
      const code = await deadline(
        sse.next().then(() => "event", (error) => error.code),
        "workerd to cancel the stream",
      );
      assertEquals(code, "network");
      await worker[Symbol.asyncDispose]();
      assertStringIncludes(await worker.stderr, "your Worker's code had hung");
    }
    await using worker = await serveWorker(
      directory.path,
      block.replace("heartbeat: 15_000", "heartbeat: 100"),
    );
    const heartbeat = Promise.withResolvers<void>();
    await using sse = await connectSse(worker.url, {
      onComment: () => heartbeat.resolve(),
    });
    const data = dataOf(sse, 1);
    await deadline(heartbeat.promise, "a heartbeat");
    const posted = await fetch(worker.url, { method: "POST", body: "Hello" });
    await posted.body?.cancel();
    assertEquals(await data, ["Hello"]);
  },
  notRun,
);

slowTest("traps: connectSse fails at the top level of a Worker", async () => {
  await using directory = await temporaryDirectory();
  await using worker = await serveWorker(
    directory.path,
    `
import { connectSse } from "@x/sse";
const early = connectSse("http://127.0.0.1:1/")
  .catch(({ code, message }) => code + ": " + message);
export default { fetch: async () => new Response(await early) };
`,
  );
  const text = await (await fetch(worker.url)).text();
  assertStringIncludes(text, "network: ");
  assertStringIncludes(text, "Disallowed operation called within global scope");
}, notRun);

slowTest(
  "EventSource at the top level of a Worker dispatches an error",
  async () => {
    await using directory = await temporaryDirectory();
    await using worker = await serveWorker(
      directory.path,
      `
import { EventSource } from "@x/sse/event-source";
const { promise, resolve } = Promise.withResolvers();
const source = new EventSource("http://127.0.0.1:1/");
source.onerror = ({ message }) => resolve(message);
export default { fetch: async () => new Response(await promise) };
`,
    );
    const text = await (await fetch(worker.url)).text();
    assertStringIncludes(
      text,
      "Disallowed operation called within global scope",
    );
  },
  notRun,
);

slowTest(
  "sendTimeout of a Worker spares a client whose messages another request appends",
  async () => {
    await using directory = await temporaryDirectory();
    await using worker = await serveWorker(
      directory.path,
      `
import { sseResponse } from "@x/sse";
import { MemoryEventLog, resume } from "@x/sse/event-log";
const log = new MemoryEventLog();
async function append() {
  for (let n = 1; n <= 20; n++) {
    await log.append({ data: String(n) });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
export default {
  async fetch(request, env, ctx) {
    if (request.method === "POST") {
      ctx.waitUntil(append());
      return new Response();
    }
    const init = { heartbeat: 5_000, sendTimeout: 300 };
    return sseResponse(resume(log, request), init);
  },
};
`,
    );
    await using sse = await connectSse(worker.url);
    await (await fetch(worker.url, { method: "POST" })).body?.cancel();
    assertEquals(
      await deadline(dataOf(sse, 20), "20 events"),
      Array.from({ length: 20 }, (_, i) => `${i + 1}`),
    );
  },
  notRun,
);
