import {
  assertEquals,
  assertFalse,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { deadline } from "./support/deadline.ts";
import { HttpServer } from "./support/http_server.ts";
import { eventResponse, OpenResponse } from "./support/open_response.ts";
import { eventStreamHead, RawServer } from "./support/raw_server.ts";

interface ProgramOptions {
  permissions?: string[];
  /** Keep standard input open for `type`. Otherwise it is empty. */
  input?: boolean;
  /** Run it under a pseudo-terminal. */
  terminal?: boolean;
  noColor?: boolean;
}

interface Result {
  code: number;
  /**
   * Output that `readLine` has not returned. Under a terminal, includes errors.
   */
  stdout: string;
  stderr: string;
}

/** The command-line tool in a separate process. */
class Program implements AsyncDisposable {
  #child: Deno.ChildProcess;
  #stdout: ReadableStreamDefaultReader<Uint8Array>;
  #utf8 = new TextDecoder();
  #stderr: Promise<string>;
  #hasInput: boolean;
  #text = "";

  constructor(args: string[], options: ProgramOptions = {}) {
    const { permissions = ["--allow-net"], input, terminal, noColor } = options;
    this.#hasInput = input || terminal || false;
    let command = [Deno.execPath(), "run", "--no-prompt", ...permissions];
    command.push("src/cli.ts", ...args);
    if (terminal) {
      const line = command.map((it) => `'${it.replaceAll("'", `'\\''`)}'`);
      command = ["script", "-qec", `exec ${line.join(" ")}`, "/dev/null"];
    }
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      cwd: new URL("../", import.meta.url),
      env: { NO_COLOR: noColor ? "1" : "" },
      stdin: this.#hasInput ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = this.#child.stdout.getReader();
    this.#stderr = new Response(this.#child.stderr).text();
  }

  /** Reads the next chunk of standard output. Returns false at its end. */
  async #read(): Promise<boolean> {
    const { done, value } = await this.#stdout.read();
    if (!done) this.#text += this.#utf8.decode(value, { stream: true });
    return !done;
  }

  /** Returns the next line of standard output, without its line break. */
  async readLine(): Promise<string> {
    while (!this.#text.includes("\n")) {
      if (!await deadline(this.#read(), "a line")) {
        throw new Error(`Expected a line, got "${this.#text}" and the end`);
      }
    }
    const end = this.#text.indexOf("\n") + 1;
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return line.trimEnd();
  }

  /** Closes the pipe, as `head` does after its last line. */
  closeStdout(): Promise<void> {
    return this.#stdout.cancel();
  }

  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  closeStdin(): Promise<void> {
    return this.#child.stdin.close();
  }

  /** Waits until the program ends. */
  async end(): Promise<Result> {
    const ended = async () => {
      while (await this.#read());
      return await this.#child.status;
    };
    const { code } = await deadline(ended(), "the program to end");
    return { code, stdout: this.#text, stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has already ended.
    }
    await this.#child.status;
    await this.#stdout.cancel();
    await this.#stderr;
    if (this.#hasInput) await this.closeStdin().catch(() => {});
  }
}

async function run(args: string[], input?: string): Promise<Result> {
  await using program = new Program(args, { input: input !== undefined });
  if (input !== undefined) {
    await program.type(input);
    await program.closeStdin();
  }
  return await program.end();
}

function success(stdout: string): Result {
  return { code: 0, stdout, stderr: "" };
}

function failure(code: number, message: string): Result {
  return { code, stdout: "", stderr: `sse: ${message}\n` };
}

const events = 'retry: 5\nevent: greeting\nid: 1\ndata: {"n":[1.0,{}]}\n\n' +
  ": a comment\n\ndata: two\ndata: lines\n\n";

Deno.test("sse prints events, and formats data that is JSON", async () => {
  await using server = new HttpServer(() => eventResponse(events));
  const { code, stdout, stderr } = await run([server.url]);
  assertEquals(
    stdout.replace(/\d\d:\d\d:\d\d\.\d\d\d/g, "TIME"),
    `greeting TIME id 1 retry 5 ms
{
  "n": [
    1.0,
    {}
  ]
}

message TIME id 1
two
lines

`,
  );
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const { method, headers } = server.requests[0];
  assertEquals(method, "GET");
  assertEquals(headers.get("accept"), "text/event-stream");
});

Deno.test("sse formats JSON without changing keys or values", async () => {
  const json = '{"n": 12345678901234567890, "1": [ ], "0": { }, "n" : -0.50,' +
    ' "\\u00e9[,]{:}": "a \\" \\\\", "t":[true,null, [{"x":""}]]}';
  await using server = new HttpServer(() => eventResponse(`data: ${json}\n\n`));
  const { stdout } = await run([server.url]);
  assertEquals(
    stdout.split("\n").slice(1).join("\n"),
    String.raw`{
  "n": 12345678901234567890,
  "1": [],
  "0": {},
  "n": -0.50,
  "\u00e9[,]{:}": "a \" \\",
  "t": [
    true,
    null,
    [
      {
        "x": ""
      }
    ]
  ]
}

`,
  );
});

Deno.test("sse prints data unchanged if it is not a JSON object or array", async () => {
  const data = ['{"a": 1', "[1] ", "[DONE]", '"text"', "1.0", ""];
  const stream = data.map((data) => `data: ${data}\n\n`).join("");
  await using server = new HttpServer(() => eventResponse(stream));
  const { stdout } = await run([server.url]);
  assertEquals(
    stdout.replace(/^message .*\n/gm, "").split("\n\n").slice(0, -1),
    ['{"a": 1', "[\n  1\n]", "[DONE]", '"text"', "1.0", ""],
  );
});

Deno.test("--json prints one JSON object per line", async () => {
  await using server = new HttpServer(() => eventResponse(events));
  assertEquals(
    await run(["--json", server.url]),
    success(
      '{"event":"greeting","data":"{\\"n\\":[1.0,{}]}","id":"1","retry":5}\n' +
        '{"event":"message","data":"two\\nlines","id":"1"}\n',
    ),
  );
});

Deno.test("--data prints only the data", async () => {
  await using server = new HttpServer(() => eventResponse(events));
  assertEquals(
    await run([server.url, "--data"]),
    success('{"n":[1.0,{}]}\ntwo\nlines\n'),
  );
});

Deno.test("--data writes control characters to a pipe unescaped", async () => {
  await using server = new HttpServer(() =>
    eventResponse("data: \x1b[1mbold\x9b\n\n")
  );
  assertEquals(
    await run([server.url, "--data"]),
    success("\x1b[1mbold\x9b\n"),
  );
});

Deno.test("--json escapes control characters", async () => {
  await using server = new HttpServer(() =>
    eventResponse("data: \x1b\x7f\x9b\n\n")
  );
  const { stdout } = await run([server.url, "--json"]);
  assertStringIncludes(stdout, String.raw`"data":"\u001b\u007f\u009b"`);
  assertEquals(JSON.parse(stdout).data, "\x1b\x7f\x9b");
});

Deno.test("--comments prints comments", async () => {
  const stream = ": first\n\ndata: 1\n\n";
  await using server = new HttpServer(() => eventResponse(stream));
  const { stdout } = await run(["--comments", server.url]);
  assertMatch(stdout, /^: first\n\nmessage .*\n1\n\n$/);
  assertEquals(
    await run(["--comments", "--json", server.url]),
    success('{"comment":"first"}\n{"event":"message","data":"1","id":""}\n'),
  );
});

Deno.test("--comments also prints comments after the last event", async () => {
  const comments = Array.from({ length: 1000 }, (_, i) => `${i}`);
  const stream = comments.map((comment) => `: ${comment}\n`).join("");
  await using server = new HttpServer(() => eventResponse(stream));
  const { stdout } = await run(["--comments", server.url]);
  assertEquals(
    stdout,
    comments.map((comment) => `: ${comment}\n\n`).join(""),
  );
});

Deno.test("sse prints each event and comment as soon as it arrives", async () => {
  const stream = new OpenResponse();
  await using server = new HttpServer(() => stream.response);
  await using program = new Program(["--json", "--comments", server.url]);
  stream.send("data: 1\n\n");
  assertStringIncludes(await program.readLine(), '"1"');
  stream.send(": 2\n");
  assertStringIncludes(await program.readLine(), '"2"');
  stream.send("data: 3\n\n");
  assertStringIncludes(await program.readLine(), '"3"');
  stream.end();
  assertEquals(await program.end(), success(""));
});

/**
 * Runs the tool with these arguments and input. Returns the request that it
 * sends.
 */
async function requestOf(args: string[], input?: string) {
  await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
  assertEquals(
    await run(["--data", ...args, server.url], input),
    success("1\n"),
  );
  return server.requests[0];
}

Deno.test("-d sends a form with POST, as curl does", async () => {
  const { method, headers, body } = await requestOf(["-d", "a=1\n2"]);
  assertEquals(method, "POST");
  assertEquals(body, "a=1\n2");
  assertEquals(
    headers.get("content-type"),
    "application/x-www-form-urlencoded",
  );
  assertEquals(headers.get("content-length"), "5");
});

Deno.test("-d values are joined with & if repeated", async () => {
  assertEquals(
    (await requestOf(["-da=1", "-d", "b=ü", "-d", ""])).body,
    "a=1&b=ü&",
  );
});

Deno.test("-X sets the method", async () => {
  assertEquals((await requestOf(["-X", "DELETE"])).method, "DELETE");
  const { method, body } = await requestOf(["-X", "PUT", "-d", "1"]);
  assertEquals([method, body], ["PUT", "1"]);
});

Deno.test("-H sets headers and overrides default headers", async () => {
  const { headers } = await requestOf([
    "-d{}",
    "-Hcontent-type: application/json",
    ...["-H", "Accept: application/json, text/event-stream"],
    ...["-H", "X-Twice: 1", "-H", "X-Twice:2"],
    ...["-H", "X-Colon: a:b;c"],
    ...["-H", "X-Empty;"],
  ]);
  assertEquals(headers.get("content-type"), "application/json");
  assertEquals(headers.get("accept"), "application/json, text/event-stream");
  assertEquals(headers.get("x-twice"), "1, 2");
  assertEquals(headers.get("x-colon"), "a:b;c");
  assertEquals(headers.get("x-empty"), "");
});

Deno.test("-H with nothing after the colon removes a default header", async () => {
  const { headers } = await requestOf([
    ...[
      "-d{}",
      "-H",
      "Content-Type:",
      "-H",
      "accept: ",
      "-H",
      "Cache-Control:",
    ],
  ]);
  assertEquals(headers.get("content-type"), null);
  assertEquals(headers.get("accept"), "*/*");
  assertEquals(headers.get("cache-control"), null);
});

Deno.test("-H encodes values as UTF-8", async () => {
  await using server = await RawServer.listen((connection) => connection.end());
  await run(["-H", "X-Name: Zoë ☃", server.url]);
  assertEquals(server.connections[0].header("X-Name"), "Zoë ☃");
});

Deno.test("-d - and -d @- read standard input without line breaks and NUL", async () => {
  const input = "{\r\n\0}\n";
  assertEquals((await requestOf(["-d", "-"], input)).body, "{}");
  assertEquals((await requestOf(["-d", "@-", "-d", "b"], input)).body, "{}&b");
});

Deno.test("-H @- reads headers from standard input", async () => {
  const { headers } = await requestOf(["-H", "@-"], "X-A: 1\r\n\r\nX-B: 2\n");
  assertEquals([headers.get("x-a"), headers.get("x-b")], ["1", "2"]);
});

Deno.test("-d @FILE reads a file if --allow-read permits it", async () => {
  await using server = new HttpServer(() => eventResponse(""));
  const args = ["-d", "@LICENSE", server.url];
  const permissions = ["--allow-net", "--allow-read=LICENSE"];
  await using program = new Program(args, { permissions });
  assertEquals(await program.end(), success(""));
  const text = await Deno.readTextFile(new URL("../LICENSE", import.meta.url));
  assertEquals(server.requests[0].body, text.replaceAll("\n", ""));

  const { code, stderr } = await run(args);
  assertEquals(code, 2);
  assertMatch(stderr, /^sse: Expected to read LICENSE, .*--allow-read.*\n$/);
});

Deno.test("--last-event-id sets the Last-Event-ID header", async () => {
  const { headers } = await requestOf(["--last-event-id", "41"]);
  assertEquals(headers.get("last-event-id"), "41");
});

Deno.test("--until ends at the matching event and closes the connection", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n");
  await using server = new HttpServer(() => stream.response);
  assertEquals(
    await run(["--data", "--until", "[DONE]", server.url]),
    success("1\n"),
  );
  await stream.cancelled;
});

Deno.test("--until fails if the stream ends before the matching event", async () => {
  await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
  assertEquals(await run(["--data", "--until", "[DONE]", server.url]), {
    ...failure(1, "The stream ended before the event that ends it (--until)"),
    stdout: "1\n",
  });
});

Deno.test("--max-events ends after that many events and closes the connection", async () => {
  const stream = new OpenResponse("data: 1\n\ndata: 2\n\ndata: 3\n\n");
  await using server = new HttpServer(() => stream.response);
  assertEquals(
    await run(["--data", "--max-events", "2", server.url]),
    success("1\n2\n"),
  );
  await stream.cancelled;
});

Deno.test("--reconnect continues after the last event and reports each attempt", async () => {
  await using server = new HttpServer(
    () => eventResponse("retry: 1\nid: 7\ndata: 1\n\n"),
    () => new Response("Wait", { status: 503 }),
    () => eventResponse("id: 8\ndata: 2\n\n"),
    () => new Response(null, { status: 204 }),
  );
  const args = ["--data", "--reconnect", "-d", "-", server.url];
  assertEquals(await run(args, "again"), {
    code: 0,
    stdout: "1\n2\n",
    stderr: [
      "sse: The stream ended; connecting again in 0.0 s\n",
      "sse: HTTP 503 Service Unavailable; connecting again in 0.1 s\n",
      "sse: The stream ended; connecting again in 0.0 s\n",
    ].join(""),
  });
  assertEquals(
    server.requests.map(({ headers }) => headers.get("last-event-id")),
    [null, "7", "7", "8"],
  );
  assertEquals(
    server.requests.map(({ body }) => body),
    ["again", "again", "again", "again"],
  );
});

Deno.test("--idle-timeout fails if the server sends no data in time", async () => {
  const stream = new OpenResponse();
  await using server = new HttpServer(() => stream.response);
  assertEquals(
    // Without --connect-timeout, --idle-timeout also limits the time for
    // headers.
    await run([
      ...["--connect-timeout", "60", "--idle-timeout", "0.05"],
      server.url,
    ]),
    failure(1, "No byte came in time (--idle-timeout)"),
  );
  await stream.cancelled;
});

Deno.test("--connect-timeout fails if no response arrives in time", async () => {
  await using server = await RawServer.listen(() => {});
  assertEquals(
    await run(["--connect-timeout", ".3", server.url]),
    failure(
      1,
      "No response came in time (--connect-timeout or --idle-timeout)",
    ),
  );
  await server.connections[0].disconnected;
});

Deno.test("sse reports an HTTP error in one line with the start of the body", async () => {
  await using server = new HttpServer(() =>
    new Response('{\n  "error": "\x1b[31mkey"\n}\n' + "x".repeat(1e6), {
      status: 401,
    })
  );
  const { code, stdout, stderr } = await run([server.url]);
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertStringIncludes(
    stderr,
    String.raw`sse: HTTP 401 Unauthorized: { "error": "\u001b[31mkey" } xxx`,
  );
  assertMatch(stderr, /^[^\n]{200,300}…\n$/);
});

Deno.test("sse reports an HTTP error even if its body never ends", async () => {
  await using server = await RawServer.listen((connection) =>
    connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\nSorry")
  );
  assertEquals(
    await run([server.url]),
    failure(1, "HTTP 404 Not Found: Sorry"),
  );
});

Deno.test("sse reports an unexpected content type with the start of the body", async () => {
  await using server = new HttpServer(() =>
    new Response("<h1>Hi</h1>", { headers: { "content-type": "text/html" } })
  );
  assertEquals(
    await run([server.url]),
    failure(
      1,
      "Expected the content type text/event-stream, got text/html: <h1>Hi</h1>",
    ),
  );
});

Deno.test("sse exits with 0 after status 204", async () => {
  await using server = new HttpServer(() =>
    new Response(null, { status: 204 })
  );
  assertEquals(await run([server.url]), success(""));
});

Deno.test("sse reports a refused connection in one line", async () => {
  const server = new HttpServer(() => eventResponse(""));
  await server[Symbol.asyncDispose]();
  const { code, stderr } = await run([server.url]);
  assertEquals(code, 1);
  assertMatch(stderr, /^sse: .*127\.0\.0\.1:\d+.*refused.*\n$/);
});

Deno.test("sse prints the events, then an error, if the connection breaks", async () => {
  await using server = await RawServer.listen(async (connection) => {
    await connection.send(eventStreamHead);
    await connection.chunk("data: 1\n\n");
    connection.end();
  });
  const { code, stdout, stderr } = await run(["--data", server.url]);
  assertEquals({ code, stdout }, { code: 1, stdout: "1\n" });
  assertMatch(stderr, /^sse: .+\n$/);
});

Deno.test("sse uses http: if the URL has no scheme", async () => {
  await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
  assertEquals(
    await run(["--data", server.url.replace("http://", "") + "a?b=http://c"]),
    success("1\n"),
  );
  assertEquals(server.requests[0].path, "/a?b=http://c");
});

const url = "http://127.0.0.1/";

for (
  const [args, message] of [
    [[], "Expected one URL, got none"],
    [[url, url], "Expected one URL, got 2"],
    [
      ["--data", "{}", url],
      "Expected one URL, got 2: --data and --json choose the output, a body " +
      "goes to -d",
    ],
    [["ftp://a/"], 'Expected an HTTP URL, got "ftp://a/"'],
    [["http://"], 'Expected an HTTP URL, got "http://"'],
    [
      ["http://u:secret@a:99999/?k"],
      'Expected an HTTP URL, got "http://a:99999/?…"',
    ],
    [["u:secret@a:99999/?k"], 'Expected an HTTP URL, got "a:99999/?…"'],
    [["--nonsense", url], "Unknown option '--nonsense'"],
    [["--until"], "Option '--until <value>' argument missing"],
    [
      ["--data", "--json", url],
      "Expected --data without --json and --comments",
    ],
    [
      ["--max-events", "0", url],
      'Expected --max-events as a number from 1, got "0"',
    ],
    [
      ["--idle-timeout", "soon", url],
      'Expected --idle-timeout as seconds above 0, got "soon"',
    ],
    [
      ["--connect-timeout", "0.0", url],
      'Expected --connect-timeout as seconds above 0, got "0.0"',
    ],
    [["-H", "nonsense", url], 'Expected -H "NAME: VALUE", got "nonsense"'],
    [["-H", "a: 1\n2", url], 'Invalid header value: "1 2"'],
    [
      ["-X", "GET", "-d", "", url],
      "Request with GET/HEAD method cannot have body",
    ],
    [
      ["--last-event-id", "a\nb", url],
      String
        .raw`Expected lastEventId to be free of control characters and at most 8192 bytes, got "a\nb"`,
    ],
  ] as const
) {
  Deno.test(`sse rejects invalid arguments: ${args.join(" ") || "none"}`, async () => {
    assertEquals(await run([...args]), failure(2, `${message} (see --help)`));
  });
}

Deno.test("--help fits on a screen and lists every option", async () => {
  const { code, stdout, stderr } = await run(["--help"]);
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const lines = stdout.split("\n");
  // The empty line at the end stands for the line of the prompt.
  assertLessOrEqual(lines.length, 24);
  for (const line of lines) assertLessOrEqual(line.length, 80);
  const source = await Deno.readTextFile(
    new URL("../src/cli.ts", import.meta.url),
  );
  const options = source.matchAll(/^ +"?([\w-]+)"?: \{ type: "/gm).toArray();
  assertEquals(options.length, 14);
  for (const [, name] of options) assertStringIncludes(stdout, ` --${name} `);
});

Deno.test("--version prints the version", async () => {
  assertEquals(await run(["--version"]), success(`sse ${config.version}\n`));
});

for (const [what, next] of [["event", "data: 2\n\n"], ["comment", ": 2\n"]]) {
  Deno.test(`sse exits without an error at the next ${what} if its output is closed`, async () => {
    const stream = new OpenResponse("data: 1\n\n");
    await using server = new HttpServer(() => stream.response);
    await using program = new Program(["--json", "--comments", server.url]);
    await program.readLine();
    await program.closeStdout();
    stream.send(next);
    assertEquals(await program.end(), success(""));
    await stream.cancelled;
  });
}

// On Windows, SIGINT ends a program without calling its signal handler.
const noInterrupts = Deno.build.os === "windows";

Deno.test("sse closes the connection and exits on SIGINT", {
  ignore: noInterrupts,
}, async () => {
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  await using program = new Program(["--data", server.url]);
  await program.readLine();
  program.interrupt();
  assertEquals(await program.end(), { code: 130, stdout: "", stderr: "" });
  await stream.cancelled;
});

Deno.test("sse exits on SIGINT while its output is not read", {
  ignore: noInterrupts,
}, async () => {
  const stream = new OpenResponse(`data: 1\ndata: ${"x".repeat(4e6)}\n\n`);
  await using server = new HttpServer(() => stream.response);
  await using program = new Program(["--data", server.url]);
  await program.readLine();
  program.interrupt();
  assertEquals((await program.end()).code, 130);
  await stream.cancelled;
});

Deno.test("sse exits on SIGINT while it waits for a response", {
  ignore: noInterrupts,
}, async () => {
  await using server = await RawServer.listen(() => {});
  await using program = new Program([server.url]);
  const connection = await server.connection();
  program.interrupt();
  assertEquals(await program.end(), { code: 130, stdout: "", stderr: "" });
  await connection.disconnected;
});

// Colors and Ctrl-C need a terminal, which `script` of util-linux provides.
const noTerminal = await lacksTerminal();

async function lacksTerminal(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("script", { args: ["--version"] })
      .output();
    return !new TextDecoder().decode(stdout).includes("util-linux");
  } catch {
    return true;
  }
}

function testInTerminal(name: string, fn: () => Promise<void>): void {
  const reason = noTerminal ? " (skipped: no util-linux `script` here)" : "";
  Deno.test({ name: name + reason, ignore: noTerminal, fn });
}

async function runInTerminal(args: string[], noColor = false): Promise<string> {
  await using program = new Program(args, { terminal: true, noColor });
  const { code, stdout } = await program.end();
  assertEquals(code, 0);
  return stdout.replaceAll("\r\n", "\n");
}

testInTerminal(
  "sse prints colors in a terminal unless NO_COLOR is set",
  async () => {
    const stream = 'data: {"key":"text","n":1}\n\n';
    await using server = new HttpServer(() => eventResponse(stream));
    const colored = await runInTerminal([server.url]);
    assertStringIncludes(colored, "\x1b[1mmessage\x1b[0m \x1b[2m");
    assertStringIncludes(
      colored,
      '\n{\n  \x1b[36m"key"\x1b[0m: \x1b[32m"text"\x1b[0m,\n' +
        '  \x1b[36m"n"\x1b[0m: \x1b[33m1\x1b[0m\n}\n',
    );
    const plain = await runInTerminal([server.url], true);
    assertFalse(plain.includes("\x1b"));
    assertStringIncludes(plain, '\n{\n  "key": "text",\n  "n": 1\n}\n');
  },
);

testInTerminal(
  "sse escapes control characters from the server in a terminal",
  async () => {
    const evil = "\x1b]0;\x07\x9b2J\x7f\x01";
    const spelled = String.raw`\u001b]0;\u0007\u009b2J\u007f\u0001`;
    const stream = `: ${evil}\n` +
      `event: ${evil}\nid: ${evil}\ndata: ${evil}\n\n` +
      `data: {"a": "\x9b2J\x7f"}\n\n`;
    await using server = new HttpServer(() => eventResponse(stream));
    for (const args of [["--comments"], ["--data"], ["--json", "--comments"]]) {
      const text = await runInTerminal([...args, server.url], true);
      assertStringIncludes(text, spelled);
      // deno-lint-ignore no-control-regex
      assertFalse(/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text), text);
    }
  },
);

testInTerminal(
  "sse resets the color and ends the line on Ctrl-C in a terminal",
  async () => {
    const stream = new OpenResponse('data: {"n":1}\n\n');
    await using server = new HttpServer(() => stream.response);
    await using program = new Program([server.url], { terminal: true });
    let text = "";
    while (!text.endsWith("}")) text += await program.readLine();
    await program.type("\x03");
    const { code, stdout } = await program.end();
    text += stdout;
    assertEquals(code, 130);
    // The color is reset, and the prompt starts on a new line.
    assertEquals(text.slice(text.indexOf("^C")), "^C\x1b[0m\r\n");
    await stream.cancelled;
  },
);

Deno.test("--comments applies backpressure while its output is not read", async () => {
  const line = new TextEncoder().encode(`: ${"x".repeat(64 * 1024)}\n`);
  let sent = 0;
  await using server = new HttpServer(() => {
    const body = new ReadableStream({
      pull(controller) {
        // Stops early under backpressure. Without backpressure, ends after 4000
        // lines.
        if (sent++ < 4000) controller.enqueue(line);
        else controller.close();
      },
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream" },
    });
  });
  await using _program = new Program(["--comments", server.url]);
  let before = -1;
  // Waits until the buffers of pipes and sockets are full.
  while (before !== sent || sent === 0) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assertLess(sent, 1000);
});

Deno.test("--reconnect reports an ID that cannot be sent back, without pointing to --help", async () => {
  await using server = new HttpServer(() =>
    eventResponse("retry: 1\nid: a\x01b\ndata: 1\n\n")
  );
  const { code, stdout, stderr } = await run([
    "--data",
    "--reconnect",
    server.url,
  ]);
  assertEquals({ code, stdout }, { code: 1, stdout: "1\n" });
  assertStringIncludes(stderr, String.raw`a\u0001b`);
  assertFalse(stderr.includes("--help"));
});
