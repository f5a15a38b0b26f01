/**
 * Runs SseScript with SDKs of LLM vendors, with servers, with msw, and with the
 * fake timers of vitest and of Node.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import Anthropic from "npm:@anthropic-ai/sdk@1.12.0";
import OpenAI from "npm:openai@7.57.0";
import { connectSse } from "../mod.ts";
import { SseScript, type SseStep } from "../src/testing.ts";
import { blockOf, withPackage } from "./guides/programs.ts";
import { installFromNpm, output } from "./runtimes/install.ts";
import { assertSseError } from "./support/assert_sse_error.ts";
import { dataOf } from "./support/data_of.ts";
import { deadline } from "./support/deadline.ts";
import { notRunFor } from "./support/not_run.ts";
import { binaryOf, type InstalledRuntime } from "./support/runtime_binary.ts";
import { startListeningProcess } from "./support/listening_process.ts";
import { slowTest, slowTestsNotRun } from "./support/slow_test.ts";
import { temporaryDirectory } from "./support/temporary_directory.ts";

const notRun = slowTestsNotRun ?? notRunFor(
  "Tests of SseScript on other runtimes",
  await installFromNpm().then(() => undefined, String),
);

const busy: SseStep[] = [
  { status: 429, headers: { "Retry-After": "0" }, body: "{}" },
];

/** The requests of an SDK, without what only the SDK decides. */
const requestsOf = ({ requests }: SseScript) =>
  requests.map(({ method, url, body, outcome }) => [
    method,
    new URL(url).pathname,
    JSON.parse(body).stream,
    outcome,
  ]);

slowTest(
  "SseScript is the fetch of openai: 429, then a stall until an abort",
  async () => {
    const chunk = (content: string): SseStep => ({
      json: { choices: [{ index: 0, delta: { content } }] },
    });
    const server = new SseScript(busy, [chunk("Hel"), chunk("lo"), "stall"]);
    const client = new OpenAI({
      apiKey: "key",
      baseURL: "http://localhost/v1",
      fetch: server.fetch,
      logLevel: "off",
    });
    const stop = new AbortController();
    const stream = await client.chat.completions.create({
      model: "a-model",
      messages: [{ role: "user", content: "Greet." }],
      stream: true,
    }, { signal: stop.signal });
    let text = "";
    for await (const { choices: [{ delta }] } of stream) {
      text += delta.content;
      if (text === "Hello") stop.abort();
    }
    assertEquals(text, "Hello");
    assertEquals(requestsOf(server), [
      ["POST", "/v1/chat/completions", true, "left"], // It does not read the body.
      ["POST", "/v1/chat/completions", true, "left"],
    ]);
  },
);

slowTest(
  "SseScript is the fetch of @anthropic-ai/sdk: 429, then a cut",
  async () => {
    const named = (type: string, rest: object = {}): SseStep => ({
      event: type,
      json: { type, ...rest },
    });
    const delta = { type: "text_delta", text: "Hel" };
    const server = new SseScript(busy, [
      named("content_block_delta", { index: 0, delta }),
      named("ping"),
      "cut",
    ]);
    const client = new Anthropic({
      apiKey: "key",
      baseURL: "http://localhost",
      fetch: server.fetch,
      logLevel: "off",
    });
    const stream = await client.messages.create({
      model: "a-model",
      max_tokens: 9,
      messages: [{ role: "user", content: "Greet." }],
      stream: true,
    });
    let text = "";
    let message = "";
    try {
      for await (const event of stream) {
        if (event.type !== "content_block_delta") continue;
        if (event.delta.type === "text_delta") text += event.delta.text;
      }
    } catch (error) {
      message = String(error);
    }
    assertEquals(text, "Hel");
    assert(message.includes("The script cut the connection"), message);
    assertEquals(requestsOf(server), [
      ["POST", "/v1/messages", true, "left"],
      ["POST", "/v1/messages", true, "cut"],
    ]);
  },
);

/** The script of each server, and a page with what it has seen. */
const server = `import { SseScript } from "@x/sse/testing";

const script = new SseScript(
  ({ body }) => [{ data: body }, { bytes: "data: half" }, { wait: 5 }, "cut"],
  [{ status: 503, headers: { "Retry-After": "0" }, body: "Busy" }],
  ["cut"],
  function* () {
    yield { id: "1", data: "2" };
    while (true) yield* [{ wait: 5 }, { comment: "" }];
  },
  ["stall"],
);
const handler = (request: Request, ...rest: [object?]) =>
  new URL(request.url).pathname === "/outcomes"
    ? Response.json(script.requests.map(({ outcome }) => outcome))
    : script.fetch(request, ...rest);
`;

const programs: Record<string, [InstalledRuntime | "Deno", string]> = {
  "Deno.serve": [
    "Deno",
    `Deno.serve({
  port: 0,
  onListen: ({ port }) => console.log(\`"port": \${port}\`),
}, handler);`,
  ],
  "node:http on Node 22": [
    "Node 22",
    `import { createServer } from "node:http";
import { toNode } from "./to_node.ts";
const server = createServer(toNode(handler)).listen(0, () =>
  console.log(\`"port": \${server.address().port}\`)
);`,
  ],
  "Bun.serve": [
    "Bun",
    `const { port } = Bun.serve({ port: 0, fetch: handler });
console.log(\`"port": \${port}\`);`,
  ],
  "a Worker": ["workerd", "export default { fetch: handler };"],
};
programs["node:http on Node 24"] = [
  "Node 24",
  programs["node:http on Node 22"][1],
];

/** Runs a server, which prints its port, until it is disposed. */
async function serve(runtime: InstalledRuntime | "Deno", code: string) {
  const directory = await temporaryDirectory();
  const files: Record<string, string> = {
    "main.ts": withPackage(server + code),
    "to_node.ts": await blockOf("servers", "export function toNode"),
    "config.capnp": `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "main.mjs", esModule = embed "main.mjs")],
      compatibilityDate = "2026-11-17")),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", service = "main")],
);
`,
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${directory.path}/${name}`, text);
  }
  await output(Deno.execPath(), [
    ...["bundle", "--quiet", "--no-check"],
    ...[`--output=${directory.path}/main.mjs`, `${directory.path}/main.ts`],
  ]);
  const binary = runtime === "Deno" ? Deno.execPath() : await binaryOf(runtime);
  const program = `${directory.path}/main.mjs`;
  const args: Partial<Record<typeof runtime, string[]>> = {
    "Deno": ["run", "--no-config", "--allow-net", program],
    "workerd": ["serve", "--control-fd=1", `${directory.path}/config.capnp`],
  };
  const process = await startListeningProcess(
    binary,
    args[runtime] ?? [program],
    "null",
  );
  return {
    url: process.url,
    async [Symbol.asyncDispose]() {
      await process[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 10));

for (const [name, [runtime, code]] of Object.entries(programs)) {
  slowTest(`SseScript is the handler of ${name}`, async () => {
    await using server = await serve(runtime, code);
    const sse = await connectSse(server.url, {
      method: "POST",
      body: "1",
      until: "[DONE]",
    });
    assertEquals(await dataOf(sse, 1), ["1"]);
    await assertSseError(sse.next(), "network");
    const statuses: (number | undefined)[] = [];
    const again = await connectSse(server.url, {
      reconnect: {
        initialDelay: 1,
        onReconnect: ({ error }) => void statuses.push(error.response?.status),
      },
    });
    assertEquals(await dataOf(again, 1), ["2"]);
    assertEquals(statuses, [503, 500]);
    await again.close();
    const outcomes = async () =>
      await (await fetch(`${server.url}outcomes`)).json();
    const expected = ["cut", "ended", "cut", "left"];
    // The adapter for Node has no signal, and workerd cancels silent responses.
    if (runtime === "Deno" || runtime === "Bun") {
      expected.push("left");
      const stop = new AbortController();
      const { signal } = stop;
      const silent = connectSse(`${server.url}silent`, { signal });
      while ((await outcomes()).length < 5) await turn();
      stop.abort(new Error("enough"));
      await assertRejects(() => silent, Error, "enough");
    }
    const left = async () => {
      while ((await outcomes()).includes("open")) await turn();
    };
    await deadline(left(), "the server to notice that the client has left");
    assertEquals(await outcomes(), expected);
  }, notRun);
}

const versions = { msw: "3.0.5", vitest: "5.1.2" };

/** Tests for Node. The requests have no body or one, which takes turns to read. */
const nodeTests: Record<string, string> = {
  "vitest.test.mjs":
    `import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connectSse, SseScript } from "./sse.mjs";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const url = "http://localhost/";
const dataOf = (sse) => Array.fromAsync(sse, ({ data }) => data);

for (const init of [{}, { method: "POST", body: "a" }]) {
  test("waits in one call", async () => {
    const server = new SseScript(
      [{ wait: 1000 }, { data: "1" }, { wait: 1000 }, { data: "2" }],
    );
    const start = Date.now();
    const reading = connectSse(url, { ...init, fetch: server.fetch }).then(dataOf);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await reading).toEqual(["1", "2"]);
    expect(Date.now() - start).toBe(2000);
  });

  test("attempts and a stall in one call", async () => {
    const server = new SseScript(
      [{ status: 429, headers: { "Retry-After": "20" } }],
      ["cut"],
      [{ id: "1", data: "1" }, "stall"],
      [{ wait: 3000 }, { data: "2" }, { data: "[DONE]" }],
    );
    const reading = connectSse(url, {
      ...init,
      fetch: server.fetch,
      reconnect: true,
      idleTimeout: 30_000,
      until: "[DONE]",
    }).then(dataOf);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await reading).toEqual(["1", "2"]);
    expect(server.requests.map(({ outcome }) => outcome))
      .toEqual(["ended", "cut", "left", "left"]);
    expect(server.requests[1].time - server.requests[0].time).toBe(20_000);
  });

  test("heartbeats in one call", async () => {
    const server = new SseScript(function* () {
      while (true) yield* [{ comment: "busy" }, { wait: 1000 }];
    });
    const sse = await connectSse(url, {
      ...init,
      fetch: server.fetch,
      idleTimeout: 3000,
      eventTimeout: 10_000,
    });
    const failed = expect(sse.next()).rejects.toMatchObject({ code: "event-timeout" });
    await vi.advanceTimersByTimeAsync(10_000);
    await failed;
  });
}
`,
  "node.test.mjs": `import { test } from "node:test";
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { connectSse, SseScript } from "./sse.mjs";

for (const init of [{}, { method: "POST", body: "a" }]) {
  test("one tick for each wait", async ({ mock: { timers } }) => {
    timers.enable({ apis: ["setTimeout", "Date"] });
    const server = new SseScript(
      [{ wait: 1000 }, { data: "1" }, { wait: 1000 }, { data: "2" }],
    );
    const reading = connectSse("http://localhost/", { ...init, fetch: server.fetch })
      .then((sse) => Array.fromAsync(sse, ({ data }) => data));
    await setImmediate();
    timers.tick(5000);
    await setImmediate();
    assert.equal(server.requests[0].outcome, "open");
    timers.tick(1000);
    assert.deepEqual(await reading, ["1", "2"]);
  });
}

test("an abort is noticed although the request is garbage", async () => {
  const server = new SseScript(["stall"]);
  const stop = new AbortController();
  const collect = async () => {
    for (let i = 0; i < 3; i++) {
      await setImmediate();
      globalThis.gc();
    }
  };
  let reason;
  (() => {
    server.fetch(new Request("http://localhost/", { signal: stop.signal }))
      .catch((error) => reason = error);
  })();
  await collect();
  stop.abort("enough");
  await setImmediate();
  assert.equal(reason, "enough");
});
`,
  "msw.test.mjs": `import assert from "node:assert/strict";
import { test } from "node:test";
import { http } from "msw";
import { setupServer } from "msw/node";
import { connectSse, SseScript } from "./sse.mjs";

test("msw", async () => {
  const url = "http://localhost/events";
  const script = new SseScript(
    ({ body }) => [{ wait: 5 }, { data: body }],
    [{ status: 429, headers: { "Retry-After": "0" }, body: "Busy" }],
    [{ id: "1", data: "2" }, { bytes: "data: half" }, "cut"],
    ["cut"],
    [{ data: "3" }, "stall"],
    ["stall"],
  );
  const server = setupServer(http.all(url, ({ request }) => script.fetch(request)));
  server.listen();
  const first = await connectSse(url, { method: "POST", body: "1" });
  assert.deepEqual(await Array.fromAsync(first, ({ data }) => data), ["1"]);
  const statuses = [];
  const sse = await connectSse(url, {
    reconnect: {
      initialDelay: 1,
      onReconnect: ({ error }) => void statuses.push(error.code + " " + error.response?.status),
    },
  });
  assert.equal((await sse.next()).value.data, "2");
  assert.equal((await sse.next()).value.data, "3");
  // msw ends the body at the cut, and refuses with status 500 instead of an error.
  assert.deepEqual(statuses, ["status 429", "truncated 200", "status 500"]);
  await sse.close();
  const stop = new AbortController();
  const connecting = connectSse(url, { signal: stop.signal });
  while (script.requests.length < 6) await new Promise((r) => setTimeout(r, 1));
  stop.abort(new Error("enough"));
  await assert.rejects(connecting, /enough/);
  assert.deepEqual(script.requests.map(({ outcome }) => outcome),
    ["ended", "ended", "cut", "cut", "left", "left"]);
  server.close();
});
`,
};

slowTest(
  "SseScript works with msw, and with the timers of vitest and Node",
  async () => {
    await using directory = await temporaryDirectory();
    const write = (name: string, text: string) =>
      Deno.writeTextFile(`${directory.path}/${name}`, text);
    const cwd = directory.path;
    await write("package.json", JSON.stringify({ dependencies: versions }));
    // Not `deno install`, which fails at a missing optional dependency.
    await output("npm", [
      ...["install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"],
    ], { cwd });
    await write(
      "sse.ts",
      withPackage(`export * from "@x/sse";\nexport * from "@x/sse/testing";`),
    );
    await output(Deno.execPath(), [
      ...["bundle", "--quiet", "--no-check", "--output=sse.mjs", "sse.ts"],
    ], { cwd });
    for (const [name, code] of Object.entries(nodeTests)) {
      await write(
        name,
        code,
      );
    }
    for (const runtime of ["Node 22", "Node 24"] as const) {
      const node = await binaryOf(runtime);
      const vitest = [
        "node_modules/vitest/vitest.mjs",
        "run",
        "vitest.test.mjs",
      ];
      await output(node, vitest, { cwd });
      const tests = ["node.test.mjs", "msw.test.mjs"];
      await output(node, ["--expose-gc", "--test", ...tests], { cwd });
    }
  },
  notRun,
);
