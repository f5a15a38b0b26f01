/** Runs each example with the command in its heading, against local servers. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import worker from "../examples/worker.ts";
import { connectSse, type SseConnection } from "../mod.ts";
import { dataOf } from "./support/data_of.ts";
import { deadline } from "./support/deadline.ts";
import { HttpServer } from "./support/http_server.ts";
import { eventResponse, OpenResponse } from "./support/open_response.ts";
import { eventStreamHead, RawServer } from "./support/raw_server.ts";
import { commandOf, run, serve, start } from "./support/run_example.ts";
import { script, temporaryDirectory } from "./support/temporary_directory.ts";

/** Appends to a file, which is created if it does not exist. */
async function append(path: string, text: string): Promise<void> {
  await script(
    "Deno.writeTextFileSync(Deno.args[0], Deno.args[1], { append: true })",
    path,
    text,
  );
}

Deno.test("each example has the command to run it in its heading", async () => {
  const directory = new URL("../examples", import.meta.url);
  for await (const { name, isFile } of Deno.readDir(directory)) {
    // A task starts the demo. model.ts is a part of generation.ts.
    if (!isFile || !name.endsWith(".ts") || name === "model.ts") continue;
    const command = await commandOf(name);
    assert(
      command.includes(`examples/${name}`),
      `The command of ${name} contains its path`,
    );
  }
});

/** Returns the events of a chat API's answer with these tokens. */
function chat(...tokens: string[]): string {
  const chunks = [
    { choices: [], prompt_filter_results: [] },
    { choices: [{ delta: { role: "assistant", content: null } }] },
    ...tokens.map((content) => ({ choices: [{ delta: { content } }] })),
    { choices: [{ finish_reason: "stop" }] },
    { choices: [], usage: { total_tokens: tokens.length } },
    { usage: { total_tokens: tokens.length } },
  ];
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("");
}

Deno.test("chat.ts sends the prompt and the key and prints the answer", async () => {
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

Deno.test("chat.ts prints tokens as they arrive and closes the stream at [DONE]", async () => {
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

Deno.test("chat.ts fails if the answer is truncated", async () => {
  await using server = new HttpServer(() => eventResponse(chat("Of ")));
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stdout, "Of ");
  assertStringIncludes(stderr, "SseError: Expected `until` to be met");
  assertEquals(code, 1);
  assertEquals(server.requests.length, 1);
});

Deno.test("chat.ts prints the body of an error response", async () => {
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

Deno.test("chat.ts fails with an error that the API sends after the first token", async () => {
  await using server = new HttpServer(() =>
    eventResponse(
      chat("Of ") + 'data: {"error":{"message":"Overloaded","code":503}}\n\n',
    )
  );
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stdout, "Of ");
  assertStringIncludes(stderr, "SseError: ");
  assertStringIncludes(stderr, "Overloaded");
  assertEquals(code, 1);
  assertEquals(server.requests.length, 1);
});

/** Ends at once and sets a reconnection time of 1 ms. */
const emptyStream = () => eventResponse("retry: 1\n\n");

function busy(status: number): Response {
  return Response.json({ error: { message: "Busy" } }, {
    status,
    headers: { "Retry-After": "0" },
  });
}

Deno.test("chat.ts retries a busy API until the first token", async () => {
  await using server = new HttpServer(
    emptyStream,
    () => busy(429),
    // Without a token, and with an error after it.
    () =>
      eventResponse(`${chat()}data: {"error":{"message":"Overloaded"}}\n\n`),
    () => busy(529),
    () => eventResponse(chat("Of ", "scattering.") + "data: [DONE]\n\n"),
  );
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stdout, "Of scattering.\n");
  assertEquals(stderr.match(/^Asking again in \d+ ms: .*$/gm)?.length, 4);
  assertStringIncludes(stderr, '429 Too Many Requests: {"error"');
  assertMatch(stderr, /^Asking again in \d+ ms: .*: Overloaded$/m);
  assertEquals(code, 0);
  const bodies = server.requests.map(({ body }) => body);
  assertEquals(bodies, Array(5).fill(bodies[0]));
});

Deno.test("chat.ts gives up after five retries of a busy API", async () => {
  await using server = new HttpServer(emptyStream, () => busy(429));
  const { code, stdout, stderr } = await run("chat.ts", ["?"], {
    OPENAI_BASE_URL: server.url,
    OPENAI_API_KEY: "secret",
  });
  assertEquals(stdout, "");
  assertStringIncludes(
    stderr,
    "in 5 attempts (maxAttempts), but the last failed",
  );
  assertEquals(code, 1);
  assertEquals(server.requests.length, 6);
});

/** Returns events of a chat API that names them. `data` repeats the name. */
function namedEvents(
  ...events: { type: string; [key: string]: unknown }[]
): string {
  return events
    .map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`)
    .join("");
}

Deno.test("typed_events.ts sends the prompt and the key and prints the answer", async () => {
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

Deno.test("typed_events.ts prints an error that the API sends within the stream", async () => {
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

Deno.test("typed_events.ts reports data that does not match its schema", async () => {
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

Deno.test("resume.ts continues after the last event across connections and runs", async () => {
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

/** Issues tokens and serves a log. Each token is valid for two events. */
class TokenServer extends HttpServer {
  constructor(log: string[], isValid = (_token: string) => true) {
    let issued = 0;
    let used = 0;
    super(({ path, headers }) => {
      if (path === "/token") {
        return Response.json({ access_token: `token-${++issued}` });
      }
      const token = `token-${issued}`;
      if (
        headers.get("authorization") !== `Bearer ${token}` ||
        used === issued || !isValid(token)
      ) {
        return new Response("expired", { status: 401 });
      }
      used = issued;
      const seen = Number(headers.get("last-event-id") ?? 0);
      if (seen === log.length) return new Response(null, { status: 204 });
      const events = log.slice(seen, seen + 2).map((data, i) =>
        `id: ${seen + i + 1}\ndata: ${data}\n\n`
      );
      // The stream ends within the next event.
      return eventResponse(`retry: 1\n\n${events.join("")}id: 9\ndata: unfin`);
    });
  }

  /** Runs token_refresh.ts. Returns its output and what it requested. */
  async follow() {
    const result = await run("token_refresh.ts", [`${this.url}events`], {
      TOKEN_URL: `${this.url}token`,
      CLIENT_ID: "client ☃",
      CLIENT_SECRET: "secret",
    });
    const requested = this.requests.map(({ path, headers }) =>
      path === "/token" ? "token" : headers.get("last-event-id")
    );
    return { ...result, requested };
  }
}

Deno.test("token_refresh.ts gets a new token if one expires and loses no event", async () => {
  await using server = new TokenServer(["a", "b", "c", "d", "e"]);
  const { code, stdout, stderr, requested } = await server.follow();
  assertEquals(stderr, "");
  assertEquals(stdout, "1 a\n2 b\n3 c\n4 d\n5 e\n");
  assertEquals(code, 0);
  // deno-fmt-ignore
  assertEquals(requested, [
    "token", null,
    "2", "token", "2",
    "4", "token", "4",
    "5", "token", "5",
  ]);
  const [{ method, body, headers }] = server.requests;
  assertEquals(method, "POST");
  assertEquals(
    headers.get("content-type"),
    "application/x-www-form-urlencoded;charset=UTF-8",
  );
  assertEquals(Object.fromEntries(new URLSearchParams(body)), {
    grant_type: "client_credentials",
    client_id: "client ☃",
    client_secret: "secret",
  });
});

Deno.test("token_refresh.ts fails if a new token is rejected", async () => {
  await using wrong = new TokenServer(["a"], () => false);
  const first = await wrong.follow();
  assertStringIncludes(first.stderr, "got 401 Unauthorized: expired");
  assertEquals([first.code, first.stdout], [1, ""]);
  assertEquals(first.requested, ["token", null]);

  await using revoked = new TokenServer(
    ["a", "b", "c"],
    (token) => token === "token-1",
  );
  const second = await revoked.follow();
  assertStringIncludes(second.stderr, "got 401 Unauthorized: expired");
  assertEquals([second.code, second.stdout], [1, "1 a\n2 b\n"]);
  assertEquals(second.requested, ["token", null, "2", "token", "2"]);
});

Deno.test("token_refresh.ts reports why it cannot get a token", async () => {
  await using server = new HttpServer(() =>
    Response.json({ error: "invalid_client" }, { status: 401 })
  );
  const { code, stderr } = await run("token_refresh.ts", [server.url], {
    TOKEN_URL: server.url,
    CLIENT_ID: "client",
    CLIENT_SECRET: "wrong",
  });
  assertStringIncludes(stderr, 'No token: 401 {"error":"invalid_client"}');
  assertEquals(code, 1);
});

/**
 * An MCP server that answers requests after the initialization with these
 * responses in turn.
 */
class McpServer extends HttpServer {
  constructor(...answers: (() => Response)[]) {
    super(({ method, path, headers, body }) => {
      const message = method === "POST" ? JSON.parse(body) : {};
      assertEquals(path, "/mcp");
      if (message.method === "initialize") {
        return Response.json(
          answerTo(message.id, { protocolVersion: "2025-11-25" }),
          { headers: { "Mcp-Session-Id": "session-1" } },
        );
      }
      assertEquals(headers.get("mcp-session-id"), "session-1");
      assertEquals(headers.get("mcp-protocol-version"), "2025-11-25");
      if (method === "DELETE") return new Response(null, { status: 204 });
      if (message.method === "notifications/initialized") {
        return new Response(null, { status: 202 });
      }
      return answers.shift()!();
    });
  }

  /**
   * Runs mcp.ts. Returns its output and its requests after the initialization.
   */
  async call() {
    const result = await run("mcp.ts", [`${this.url}mcp`, "add", '{"a":1}']);
    const requested = this.requests.slice(2).map(({ method, headers }) => [
      method,
      headers.get("accept"),
      headers.get("last-event-id"),
    ]);
    return { ...result, requested };
  }
}

function answerTo(id: number, result: unknown) {
  return { jsonrpc: "2.0", id, result };
}
const sum = answerTo(2, { content: [{ type: "text", text: "3 ☃" }] });
const progress = {
  jsonrpc: "2.0",
  method: "notifications/progress",
  params: { progressToken: 1, progress: 1 },
};
/** A request of the server, with the same ID as the client's request. */
const ping = { jsonrpc: "2.0", id: 2, method: "ping" };
const dataLine = (message: unknown) => `data: ${JSON.stringify(message)}\n\n`;
const post = ["POST", "application/json, text/event-stream", null];

Deno.test("mcp.ts calls a tool once and resumes its answer if the stream is lost", async () => {
  await using server = new McpServer(
    // Starts with an ID without data and ends within an event.
    () =>
      eventResponse(
        "retry: 1\nid: 1\ndata:\n\n" +
          `id: 2\n${dataLine(progress)}${dataLine(ping)}` +
          "id: 3\ndata: {",
      ),
    () => new Response("Wait", { status: 503 }),
    () => eventResponse(""),
    () => eventResponse(`id: 3\n${dataLine(sum)}`),
  );
  const { code, stdout, stderr, requested } = await server.call();
  assertEquals(stdout, "3 ☃\n");
  assertEquals(
    stderr,
    "notifications/progress { progressToken: 1, progress: 1 }\n" +
      "ping undefined\n",
  );
  assertEquals(code, 0);
  assertEquals(requested.slice(0, -1), [
    post,
    ...Array(3).fill(["GET", "text/event-stream", "2"]),
  ]);
  assertEquals(requested.at(-1)?.[0], "DELETE");
  const { body, headers } = await server.request(2);
  assertEquals(headers.get("content-type"), "application/json");
  assertEquals(JSON.parse(body), {
    jsonrpc: "2.0",
    id: 2,
    method: "tools/call",
    params: { name: "add", arguments: { a: 1 }, _meta: { progressToken: 1 } },
  });
});

Deno.test("mcp.ts accepts a JSON response instead of a stream", async () => {
  await using server = new McpServer(() => Response.json(sum));
  const { code, stdout } = await server.call();
  assertEquals([code, stdout], [0, "3 ☃\n"]);
});

const failures: [what: string, answer: () => Response, stderr: string][] = [
  [
    "a stream that ends without an ID",
    () => eventResponse(dataLine(progress)),
    "Error: The stream ended without an answer to tools/call",
  ],
  ["an error status", () => busy(503), '503 {"error":{"message":"Busy"}}'],
  [
    "a JSON-RPC error",
    () =>
      eventResponse(dataLine({
        jsonrpc: "2.0",
        id: 2,
        error: { code: -32602, message: "No such tool" },
      })),
    "Error: No such tool (-32602)",
  ],
];
for (const [what, answer, expected] of failures) {
  Deno.test(`mcp.ts fails after ${what} without calling the tool again`, async () => {
    await using server = new McpServer(answer);
    const { code, stdout, stderr, requested } = await server.call();
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, expected);
    assertEquals(requested, [post]);
  });
}

Deno.test("mcp.ts prints the result of a failed tool and fails", async () => {
  const content = [{ type: "text", text: "No such number" }];
  await using server = new McpServer(() =>
    eventResponse(dataLine(answerTo(2, { content, isError: true })))
  );
  const { code, stdout } = await server.call();
  assertEquals([code, stdout], [1, "No such number\n"]);
});

Deno.test("proxy.ts forwards changed events and closes the upstream request when the browser disconnects", async () => {
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

/** A response whose body is compressed with gzip. */
async function gzipResponse(text: string, init: ResponseInit) {
  const compressed = new Response(text).body!
    .pipeThrough(new CompressionStream("gzip"));
  const body = await new Response(compressed).arrayBuffer();
  return new Response(body, {
    ...init,
    headers: { ...init.headers, "Content-Encoding": "gzip" },
  });
}

Deno.test("proxy.ts and worker.ts pass on a compressed error as readable text, without its other headers", async () => {
  await using upstream = new HttpServer(() =>
    gzipResponse('{"error":"busy"}', {
      status: 503,
      headers: {
        "Content-Type": "application/json",
        "Retry-After": "7",
        "Set-Cookie": "session=upstream",
      },
    })
  );
  const env = { UPSTREAM_URL: upstream.url, UPSTREAM_TOKEN: "secret" };
  await using proxy = await serve("proxy.ts", [], env);
  await using workerServer = new HttpServer(({ headers }) =>
    worker.fetch(new Request("http://worker/", { headers }), env)
  );
  for (const { url } of [proxy, workerServer]) {
    const response = await fetch(url);
    assertEquals(response.status, 503);
    assertEquals(await response.json(), { error: "busy" });
    assertEquals(response.headers.get("content-type"), "application/json");
    assertEquals(response.headers.get("retry-after"), "7");
    assertEquals(response.headers.get("set-cookie"), null);
  }
});

// tests/runtimes also runs this example in workerd.
Deno.test("worker.ts forwards changed events and closes the upstream request when the browser disconnects", async () => {
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

Deno.test("tail.ts serves the lines of a file and lines that are appended later", async () => {
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
  await using invalid = await connectSse(server.url, { lastEventId: "x" });
  assertEquals(await dataOf(invalid, 1), ["one"]);
});

Deno.test("resume.ts resumes the stream of tail.ts", async () => {
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

/** Returns a port that is not in use. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("broadcast.ts sends each posted message to all clients of all isolates", async () => {
  // Each isolate binds the port itself, and the system distributes the clients.
  await using directory = await temporaryDirectory();
  await using server = await serve(
    "broadcast.ts",
    [],
    { DENO_JOBS: "4", SQLITE_PATH: `${directory.path}/answers.db` },
    freePort(),
  );
  await using clients = new AsyncDisposableStack();
  const all: SseConnection[] = [];
  for (let i = 0; i < 8; i++) {
    all.push(clients.use(await connectSse(server.url)));
  }
  // A client that disconnects does not affect the others.
  await all.pop()!.close();
  for (const body of ["Hello, all", "two\nlines ☃"]) {
    const response = await fetch(server.url, { method: "POST", body });
    assertEquals(response.status, 204);
    for (const sse of all) assertEquals(await dataOf(sse, 1), [body]);
  }
  // A client that connects later or reconnects gets the messages that it
  // missed.
  const { lastEventId } = all[0];
  await fetch(server.url, { method: "POST", body: "third" });
  await using again = await connectSse(server.url, { lastEventId });
  assertEquals(await dataOf(again, 1), ["third"]);
  await using late = await connectSse(server.url);
  assertEquals(await dataOf(late, 3), [
    "Hello, all",
    "two\nlines ☃",
    "third",
  ]);
});

/** Starts a server's work with POST. Returns the URL of its stream. */
async function startWork(server: { url: string }, body = ""): Promise<string> {
  const response = await fetch(server.url, { method: "POST", body });
  await response.body?.cancel();
  assertEquals(response.status, 201);
  return new URL(response.headers.get("location")!, server.url).href;
}

/** Reads until status 204, reconnecting as a browser does. */
async function readAll(url: string, lastEventId = "") {
  const sse = await connectSse(url, {
    lastEventId,
    reconnect: { initialDelay: 1 },
  });
  const events = await deadline(Array.fromAsync(sse), "the end");
  assertEquals(sse.response.status, 204);
  return events.map(({ event, data }) => data || event);
}

Deno.test("generation.ts continues without readers, serves readers of other processes and stops on DELETE", async () => {
  const answers = [new OpenResponse(chat("Of ")), new OpenResponse(chat("a "))];
  await using upstream = new HttpServer(
    () => answers[0].response,
    () => answers[1].response,
  );
  await using directory = await temporaryDirectory();
  const env = {
    OPENAI_BASE_URL: `${upstream.url}v1`,
    OPENAI_API_KEY: "secret",
    SQLITE_PATH: `${directory.path}/answers.db`,
  };
  await using server = await serve("generation.ts", [], env);
  const url = await startWork(server, "Why?");
  assertEquals(JSON.parse((await upstream.request()).body).messages, [
    { role: "user", content: "Why?" },
  ]);
  const sse = await connectSse(url);
  assertEquals(await dataOf(sse, 1), ['"Of "']);
  await sse.close();

  // No reader is connected. One reconnects and one connects first, both through
  // another process.
  answers[0].send(chat("scattering"));
  await using other = await serve("generation.ts", [], env);
  const otherUrl = url.replace(server.url, other.url);
  const whole = [readAll(otherUrl), readAll(otherUrl, sse.lastEventId)];
  answers[0].send(chat(".") + "data: [DONE]\n\n");
  assertEquals(await whole[0], ['"Of "', '"scattering"', '"."', "done"]);
  assertEquals(await whole[1], ['"scattering"', '"."', "done"]);

  const second = await startWork(server, "And then?");
  const running = await connectSse(second);
  // Waits until the answer has started before stopping it.
  assertEquals(await dataOf(running, 1), ['"a "']);
  const reading = readAll(second);
  // Stops it through the other process.
  const stop = second.replace(server.url, other.url);
  const stopped = await fetch(stop, { method: "DELETE" });
  await stopped.body?.cancel();
  assertEquals(stopped.status, 204);
  answers[1].send(chat("never read"));
  assertEquals(await reading, ['"a "']);
  await running.close();
  await answers[1].cancelled;

  const unknown = await fetch(`${server.url}unknown`);
  assertEquals(unknown.status, 404);
  await unknown.body?.cancel();
});

Deno.test("dashboard.ts sends the state and then each change once, also to clients that are cut off", async () => {
  await using server = await serve("dashboard.ts");
  const changes = Array.from({ length: 60 }, (_, i) => i % 7 - 3);
  const goal = 10 + changes.reduce((sum, change) => sum + change) + 1000;

  /** Follows the stock, with a new connection after each few events. */
  async function follow(eventsPerConnection: number): Promise<number> {
    let [tea, lastEventId] = [0, ""];
    while (true) {
      const sse = await connectSse(server.url, { lastEventId });
      let count = 0;
      for await (const event of sse) {
        tea = event.event === "stock"
          ? event.json<{ tea: number }>().tea
          : tea + event.json<{ change: number }>().change;
        lastEventId = event.id;
        // No sum before the last change is as large.
        if (tea > 500) {
          await sse.close();
          return tea;
        }
        if (++count === eventsPerConnection) break;
      }
    }
  }
  const post = async (change: number) => {
    const body = JSON.stringify({ item: "tea", change });
    const { status } = await fetch(server.url, { method: "POST", body });
    assertEquals(status, 204);
  };
  // It would end the process if it was appended.
  const invalid = await fetch(server.url, { method: "POST", body: "null" });
  await invalid.body?.cancel();
  assertEquals(invalid.status, 400);
  const totals: Promise<number>[] = [];
  for (const change of changes) {
    totals.push(follow(1 + totals.length % 5));
    await post(change);
  }
  await post(1000);
  for (const total of await Promise.all(totals)) assertEquals(total, goal);
});

Deno.test("progress.ts sends the events of a job from its start to each client", async () => {
  await using server = await serve("progress.ts");
  const url = await startWork(server);
  const sse = await connectSse(url);
  assertEquals(await dataOf(sse, 2), ['{"percent":0}', '{"percent":10}']);
  await sse.close();
  const all = await readAll(url);
  assertEquals(all.length, 12);
  assertEquals(all.at(-1), "done");
  assertEquals(await readAll(url, sse.lastEventId), all.slice(2));
});

Deno.test("node.ts serves an event stream, answers HEAD and odd paths, and stops its source when the client disconnects", async () => {
  const child = await start("node.ts", [], { env: { PORT: "0" } });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    child.kill();
    await child.status;
    await child.stderr.cancel();
  });
  const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await deadline(stdout.read(), "the port");
  await stdout.cancel();
  const url = `http://127.0.0.1:${Number(value)}`;
  const head = await deadline(fetch(url, { method: "HEAD" }), "HEAD");
  assertEquals(head.headers.get("content-type"), "text/event-stream");
  const sse = await connectSse(`${url}//`);
  assertEquals((await dataOf(sse, 2)).length, 2);
  const listeners = async () => await (await fetch(`${url}/listeners`)).text();
  assertEquals(await listeners(), "1");
  await sse.close();
  const sourceStopped = async () => {
    while (await listeners() !== "0") {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await deadline(sourceStopped(), "the source to stop");
});
