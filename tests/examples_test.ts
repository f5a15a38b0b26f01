/** Runs each example as its heading says, against servers of the test's own. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import worker from "../examples/worker.ts";
import { connectSse, type SseConnection } from "../mod.ts";
import { dataOf } from "./data_of.ts";
import { deadline } from "./deadline.ts";
import { HttpServer } from "./http_server.ts";
import { eventResponse, OpenResponse } from "./open_response.ts";
import { eventStreamHead, RawServer } from "./raw_server.ts";

/** How the heading of an example says to run it. */
async function commandOf(example: string): Promise<string[]> {
  const url = new URL(`../examples/${example}`, import.meta.url);
  const heading = (await Deno.readTextFile(url)).split("\n\n", 1)[0];
  const command = heading.match(/^\/\/ {3}deno (.*)$/m)?.[1];
  assert(command, `The heading of ${example} says how to run it`);
  return command.split(" ");
}

/** Starts the example with its own flags, but with these arguments. */
async function start(
  example: string,
  args: string[] = [],
  { env = {}, serve = [] }: {
    env?: Record<string, string>;
    serve?: string[];
  } = {},
): Promise<Deno.ChildProcess> {
  const command = await commandOf(example);
  const flags = command.slice(0, command.indexOf(`examples/${example}`));
  // The same stand-ins as for the tests, where they have any.
  if (import.meta.resolve("@std/assert").startsWith("file:")) {
    flags.push(`--import-map=${import.meta.dirname}/offline/import_map.json`);
  }
  return new Deno.Command(Deno.execPath(), {
    args: [...flags, ...serve, `examples/${example}`, ...args],
    cwd: new URL("..", import.meta.url),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs an example to its end. */
async function run(
  example: string,
  args: string[],
  env?: Record<string, string>,
) {
  const child = await start(example, args, { env });
  const output = child.output();
  try {
    const { code, stdout, stderr } = await deadline(
      output,
      `${example} to end`,
    );
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  } catch (error) {
    child.kill();
    await output;
    throw error;
  }
}

/** Runs an example that is a server, until disposed of. */
async function serve(
  example: string,
  args: string[] = [],
  env: Record<string, string> = {},
  port = 0,
) {
  const child = await start(example, args, {
    env,
    serve: ["--host=127.0.0.1", `--port=${port}`],
  });
  await child.stdout.cancel();
  const stderr = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  let url: string | undefined;
  while (url === undefined) {
    const { done, value } = await deadline(
      stderr.read(),
      `${example} to listen`,
    );
    assert(!done, `${example} ended: ${printed}`);
    printed += value;
    url = printed.match(/Listening on (http:\S+)/)?.[1];
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      // Threads of `deno serve --parallel` may never heed a SIGTERM.
      child.kill("SIGKILL");
      await stderr.cancel();
      await child.status;
    },
  };
}

/** Runs a script that may do what tests may not: write files. */
async function script(code: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", code, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** An empty directory, until disposed of. */
async function temporaryDirectory() {
  const path = await script("console.log(Deno.makeTempDirSync())");
  return {
    path,
    async [Symbol.asyncDispose]() {
      await script("Deno.removeSync(Deno.args[0], { recursive: true })", path);
    },
  };
}

/** Appends to a file, which need not be there. */
async function append(path: string, text: string): Promise<void> {
  await script(
    "Deno.writeTextFileSync(Deno.args[0], Deno.args[1], { append: true })",
    path,
    text,
  );
}

Deno.test("each example says in its heading how to run it", async () => {
  const directory = new URL("../examples", import.meta.url);
  for await (const { name, isFile } of Deno.readDir(directory)) {
    if (!isFile) continue; // The demo is started by a task.
    const command = await commandOf(name);
    assert(
      command.includes(`examples/${name}`),
      `The command of ${name} names it`,
    );
  }
});

/** The chunks of a chat API's answer. */
function chat(...tokens: string[]): string {
  const chunks = [
    { choices: [{ delta: { role: "assistant" } }] },
    ...tokens.map((content) => ({ choices: [{ delta: { content } }] })),
    { choices: [], usage: { total_tokens: tokens.length } },
  ];
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("");
}

Deno.test("chat.ts sends the prompt and the key, and prints the answer", async () => {
  await using server = new HttpServer(() =>
    eventResponse(chat("Of ", "scattering", ".\n☃") + "data: [DONE]\n\n")
  );
  const { code, stdout, stderr } = await run("chat.ts", ["Why", "blue?"], {
    OPENAI_BASE_URL: `${server.url}v1`,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stderr, "");
  assertEquals(stdout, "Of scattering.\n☃\n");
  assertEquals(code, 0);
  const { method, path, headers, body } = await server.request();
  assertEquals(`${method} ${path}`, "POST /v1/chat/completions");
  assertEquals(headers.get("authorization"), "Bearer secret");
  assertEquals(headers.get("content-type"), "application/json");
  const { messages, stream } = JSON.parse(body);
  assertEquals(messages, [{ role: "user", content: "Why blue?" }]);
  assertEquals(stream, true);
});

Deno.test("chat.ts prints tokens as they come, and leaves at [DONE]", async () => {
  const stream = new OpenResponse(chat("Of "));
  await using server = new HttpServer(() => stream.response);
  const child = await start("chat.ts", ["?"], {
    env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "secret" },
  });
  const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await deadline(stdout.read(), "the first token");
  assertEquals(value, "Of ");
  stream.send("data: [DONE]\n\n");
  await stream.cancelled;
  await stdout.cancel();
  await child.stderr.cancel();
  assertEquals((await deadline(child.status, "the end")).code, 0);
});

Deno.test("chat.ts takes no answer that was cut off for a whole one", async () => {
  await using server = new HttpServer(() => eventResponse(chat("Of ")));
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stdout, "Of ");
  assertStringIncludes(stderr, "SseError: Expected the stream to go on");
  assertEquals(code, 1);
});

Deno.test("chat.ts prints what the API says where it refuses", async () => {
  await using server = new HttpServer(() =>
    Response.json({ error: "no such key" }, { status: 401 })
  );
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "wrong",
  });
  assertEquals(stdout, "");
  assertEquals(stderr, '401 {"error":"no such key"}\n');
  assertEquals(code, 1);
});

/** The events of a chat API that names them; `data` says the name again. */
function namedEvents(
  ...events: { type: string; [key: string]: unknown }[]
): string {
  return events
    .map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`)
    .join("");
}

Deno.test("typed_events.ts sends the prompt and the key, and prints the answer", async () => {
  const text = (text: string) => ({
    type: "content_block_delta",
    index: 0,
    delta: { type: "text_delta", text },
  });
  await using server = new HttpServer(() =>
    eventResponse(namedEvents(
      { type: "message_start" },
      text("Of "),
      { type: "ping" },
      { ...text(""), delta: { type: "signature_delta" } },
      text("scattering.\n☃"),
      {
        type: "message_delta",
        delta: { stop_reason: "max_tokens" },
      },
      { type: "message_stop" },
    ))
  );
  const { code, stdout, stderr } = await run(
    "typed_events.ts",
    ["Why", "blue?"],
    {
      ANTHROPIC_BASE_URL: server.url.slice(0, -1),
      ANTHROPIC_API_KEY: "secret",
    },
  );
  assertEquals(stdout, "Of scattering.\n☃\n");
  assertStringIncludes(stderr, "… too long\n");
  assertEquals(code, 0);
  const { method, path, headers, body } = await server.request();
  assertEquals(`${method} ${path}`, "POST /v1/messages");
  assertEquals(headers.get("x-api-key"), "secret");
  const { messages, stream } = JSON.parse(body);
  assertEquals(messages, [{ role: "user", content: "Why blue?" }]);
  assertEquals(stream, true);
});

Deno.test("typed_events.ts prints the error that the API sends in mid-stream", async () => {
  await using server = new HttpServer(() =>
    eventResponse(namedEvents(
      { type: "error", error: { type: "overloaded_error", message: "Wait" } },
    ))
  );
  const { code, stdout, stderr } = await run("typed_events.ts", ["?"], {
    ANTHROPIC_BASE_URL: server.url.slice(0, -1),
    ANTHROPIC_API_KEY: "secret",
  });
  assertEquals(stdout, "");
  assertStringIncludes(stderr, "overloaded_error: Wait\n");
  assertEquals(code, 1);
});

Deno.test("typed_events.ts says what it does not understand", async () => {
  await using server = new HttpServer(() =>
    eventResponse(namedEvents(
      { type: "content_block_delta", delta: { text: 1 } },
    ))
  );
  const { code, stderr } = await run("typed_events.ts", ["?"], {
    ANTHROPIC_BASE_URL: server.url.slice(0, -1),
    ANTHROPIC_API_KEY: "secret",
  });
  assertStringIncludes(
    stderr,
    'TypedEventError: Expected the data of "content_block_delta" to match ' +
      "its schema: delta.text: ",
  );
  assertEquals(code, 1);
});

Deno.test("resume.ts goes on after the last event, across connections and runs", async () => {
  await using directory = await temporaryDirectory();
  const event = (n: number) => `id: ${n} ☃\ndata: event ${n}\n\n`;
  await using server = await RawServer.listen(
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk("retry: 1\n\n" + event(1) + event(2) + "id: 3\n");
      connection.end();
    },
    async (connection) => {
      await connection.send(eventStreamHead);
      await connection.chunk(event(3));
      await connection.send("0\r\n\r\n");
    },
    async (connection) => {
      await connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    },
  );
  const args = [server.url, `${directory.path}/id.txt`];
  const first = await run("resume.ts", args);
  assertEquals(first.stdout, "1 ☃ event 1\n2 ☃ event 2\n3 ☃ event 3\n");
  assertEquals(first.stderr.match(/Connecting again/g)?.length, 2);
  assertEquals(first.code, 0);

  const second = await run("resume.ts", args);
  assertEquals(second.stdout, "");
  assertEquals(second.code, 0);
  assertEquals(
    server.connections.map((it) => it.header("last-event-id")),
    [undefined, "2 ☃", "3 ☃", "3 ☃"],
  );
});

Deno.test("proxy.ts passes events on, changed, and ends the upstream request when the browser leaves", async () => {
  const stream = new OpenResponse(
    'event: internal\ndata: {}\n\nid: 1\ndata: {"n":1,"secret":"x"}\n\n',
  );
  await using upstream = new HttpServer(() => stream.response);
  await using server = await serve("proxy.ts", [], {
    UPSTREAM_URL: upstream.url,
    UPSTREAM_TOKEN: "secret",
  });
  const browser = await connectSse(server.url, { lastEventId: "0" });
  assertEquals(await dataOf(browser, 1), ['{"n":1}']);
  assertEquals(browser.lastEventId, "1");
  const { headers } = await upstream.request();
  assertEquals(headers.get("authorization"), "Bearer secret");
  assertEquals(headers.get("last-event-id"), "0");
  await browser.close();
  await stream.cancelled;
});

// workerd itself runs it beside the suite for all runtimes.
Deno.test("worker.ts passes events on, changed, and ends the upstream request when the browser leaves", async () => {
  const stream = new OpenResponse(
    'event: internal\ndata: {}\n\nid: 1\ndata: {"n":1,"secret":"x"}\n\n',
  );
  await using upstream = new HttpServer(() => stream.response);
  const env = { UPSTREAM_URL: upstream.url, UPSTREAM_TOKEN: "secret" };
  await using server = new HttpServer(({ headers }) =>
    worker.fetch(new Request("http://worker/", { headers }), env)
  );
  const browser = await connectSse(server.url, { lastEventId: "0" });
  assertEquals(await dataOf(browser, 1), ['{"n":1}']);
  assertEquals(browser.lastEventId, "1");
  const { headers } = await upstream.request();
  assertEquals(headers.get("authorization"), "Bearer secret");
  assertEquals(headers.get("last-event-id"), "0");
  await browser.close();
  await stream.cancelled;
});

Deno.test("tail.ts serves the lines of a file, and those that are added", async () => {
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/a.log`;
  await append(path, "one\n\ndata: three ☃\nunfin");
  await using server = await serve("tail.ts", [path]);
  await using sse = await connectSse(server.url);
  assertEquals(await dataOf(sse, 3), ["one", "", "data: three ☃"]);
  assertEquals(sse.lastEventId, "3");

  const next = dataOf(sse, 2);
  await append(path, "ished\nfive\n");
  assertEquals(await next, ["unfinished", "five"]);

  await using later = await connectSse(server.url, { lastEventId: "4" });
  assertEquals(await dataOf(later, 1), ["five"]);
});

Deno.test("tail.ts and resume.ts go together", async () => {
  await using directory = await temporaryDirectory();
  await append(`${directory.path}/a.log`, "one\ntwo\nthree\n");
  await using server = await serve("tail.ts", [`${directory.path}/a.log`]);
  await append(`${directory.path}/id.txt`, "1");
  const child = await start("resume.ts", [
    server.url,
    `${directory.path}/id.txt`,
  ]);
  await child.stderr.cancel();
  const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!printed.includes("three\n")) {
    const { done, value } = await deadline(stdout.read(), "a line");
    assert(!done, `resume.ts ended: ${printed}`);
    printed += value;
  }
  assertEquals(printed, "2 two\n3 three\n");
  child.kill();
  await stdout.cancel();
  await child.status;
});

/** A port that nobody listens on. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("broadcast.ts sends what is posted to all clients of all isolates", async () => {
  // Each isolate binds the port itself, and the system shares clients out.
  await using server = await serve(
    "broadcast.ts",
    [],
    { DENO_JOBS: "4" },
    freePort(),
  );
  await using clients = new AsyncDisposableStack();
  const all: SseConnection[] = [];
  for (let i = 0; i < 8; i++) {
    all.push(clients.use(await connectSse(server.url)));
  }
  // One leaves, and the others do not care.
  await all.pop()!.close();
  for (const body of ["Hello, all", "two\nlines ☃"]) {
    const response = await fetch(server.url, { method: "POST", body });
    assertEquals(response.status, 204);
    for (const sse of all) assertEquals(await dataOf(sse, 1), [body]);
  }
});
