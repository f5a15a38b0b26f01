/** The tests of the command-line tool. */
import {
  assertEquals,
  assertFalse,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { deadline } from "../support/deadline.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { eventStreamHead, RawServer } from "../support/raw_server.ts";
import { type CliRuntime, Program, type Result } from "./program.ts";

function success(stdout: string): Result {
  return { code: 0, stdout, stderr: "" };
}

function failure(code: number, message: string): Result {
  return { code, stdout: "", stderr: `sse: ${message}\n` };
}

const url = "http://127.0.0.1/";

/** Returns whether the promise is fulfilled after at most this time. */
function settlesWithin(
  seconds: number,
  promise: Promise<void>,
): Promise<boolean> {
  return deadline(promise, "the promise", seconds).then(
    () => true,
    () => false,
  );
}

// `script` of util-linux provides a terminal.
const noTerminal = await lacksTerminal();

async function lacksTerminal(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("script", {
      args: ["--version"],
    }).output();
    return !new TextDecoder().decode(stdout).includes("util-linux");
  } catch {
    return true;
  }
}

/** Registers the tests for a runtime. */
export function testCli(runtime: CliRuntime): void {
  function test(
    name: string,
    fn: () => Promise<void>,
    { ignore = false } = {},
  ): void {
    Deno.test({ name: `${runtime.name}: ${name}`, ignore, fn });
  }

  async function run(args: string[], input?: string): Promise<Result> {
    await using program = new Program(runtime, args, {
      input: input !== undefined,
    });
    if (input !== undefined) {
      await program.type(input);
      await program.closeStdin();
    }
    return await program.end();
  }

  const events = 'retry: 0\nevent: greeting\nid: 1\ndata: {"n":[1.0,{}]}\n\n' +
    ": a comment\n\ndata: two\ndata: lines\n\n";

  test("sse prints events, with data as it was sent", async () => {
    await using server = new HttpServer(() => eventResponse(events));
    const { code, stdout, stderr } = await run([server.url]);
    assertEquals(
      stdout.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "TIME"),
      `greeting TIME id 1 retry 0 ms
{"n":[1.0,{}]}

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

  test("--json prints one JSON object per line", async () => {
    await using server = new HttpServer(() => eventResponse(events));
    assertEquals(
      await run(["--json", server.url]),
      success(
        '{"event":"greeting","data":"{\\"n\\":[1.0,{}]}","id":"1","retry":0}\n' +
          '{"event":"message","data":"two\\nlines","id":"1"}\n',
      ),
    );
  });

  test("--data prints only the data", async () => {
    await using server = new HttpServer(() => eventResponse(events));
    assertEquals(
      await run([server.url, "--data"]),
      success('{"n":[1.0,{}]}\ntwo\nlines\n'),
    );
  });

  test("--data writes control characters to a pipe unescaped", async () => {
    await using server = new HttpServer(() =>
      eventResponse("data: \x1b[1mbold\x9b\n\n")
    );
    assertEquals(
      await run([server.url, "--data"]),
      success("\x1b[1mbold\x9b\n"),
    );
  });

  test("--json escapes control characters", async () => {
    await using server = new HttpServer(() =>
      eventResponse("data: \x1b\x7f\x9b\n\n")
    );
    const { stdout } = await run([server.url, "--json"]);
    assertStringIncludes(stdout, String.raw`"data":"\u001b\u007f\u009b"`);
    assertEquals(JSON.parse(stdout).data, "\x1b\x7f\x9b");
  });

  test("--comments prints comments", async () => {
    const stream = ": first\n\ndata: 1\n\n";
    await using server = new HttpServer(() => eventResponse(stream));
    const { stdout } = await run(["--comments", server.url]);
    assertMatch(stdout, /^: first\n\nmessage .*\n1\n\n$/);
    assertEquals(
      await run(["--comments", "--json", server.url]),
      success('{"comment":"first"}\n{"event":"message","data":"1","id":""}\n'),
    );
  });

  test("--comments also prints comments after the last event", async () => {
    const comments = Array.from({ length: 1000 }, (_, i) => `${i}`);
    const stream = comments.map((comment) => `: ${comment}\n`).join("");
    await using server = new HttpServer(() => eventResponse(stream));
    const { stdout } = await run(["--comments", server.url]);
    assertEquals(
      stdout,
      comments.map((comment) => `: ${comment}\n\n`).join(""),
    );
  });

  test("sse prints each event and comment as soon as it arrives", async () => {
    const stream = new OpenResponse();
    await using server = new HttpServer(() => stream.response);
    await using program = new Program(runtime, [
      "--json",
      "--comments",
      server.url,
    ]);
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

  test("-d sends a form with POST, as curl does", async () => {
    const { method, headers, body } = await requestOf(["-d", "a=1\n2"]);
    assertEquals(method, "POST");
    assertEquals(body, "a=1\n2");
    assertEquals(
      headers.get("content-type"),
      "application/x-www-form-urlencoded",
    );
    assertEquals(headers.get("content-length"), "5");
  });

  test("-X sets the method", async () => {
    assertEquals((await requestOf(["-X", "DELETE"])).method, "DELETE");
    const { method, body } = await requestOf(["-X", "PUT", "-d", "1"]);
    assertEquals([method, body], ["PUT", "1"]);
  });

  test("-H sets headers and overrides default headers", async () => {
    const { headers } = await requestOf([
      "-d{}",
      "-Hcontent-type: application/json",
      ...["-H", "Accept: application/json, text/event-stream"],
      ...["-H", "X-Twice: 1", "-H", "X-Twice:2"],
      ...["-H", "X-Colon: a:b;c "],
    ]);
    assertEquals(headers.get("content-type"), "application/json");
    assertEquals(headers.get("accept"), "application/json, text/event-stream");
    assertEquals(headers.get("x-twice"), "1, 2");
    assertEquals(headers.get("x-colon"), "a:b;c");
  });

  test("-H encodes values as UTF-8", async () => {
    await using server = await RawServer.listen((connection) =>
      connection.end()
    );
    await run(["-H", "X-Name: Zoë ☃", server.url]);
    assertEquals(server.connections[0].header("X-Name"), "Zoë ☃");
  });

  test("-d @- sends standard input unchanged", async () => {
    const input = "{\r\n\0ü}\n";
    assertEquals((await requestOf(["-d", "@-"], input)).body, input);
  });

  test("-d @FILE sends a file unchanged", async () => {
    await using server = new HttpServer(() => eventResponse(""));
    const args = ["-d", "@LICENSE", server.url];
    const permissions = ["--allow-net", "--allow-read=LICENSE"];
    await using program = new Program(runtime, args, { permissions });
    assertEquals(await program.end(), success(""));
    const file = new URL("../../LICENSE", import.meta.url);
    assertEquals(server.requests[0].body, await Deno.readTextFile(file));
  });

  test("-d @FILE reports a file that it cannot read", async () => {
    const reason = runtime.name === "Deno" ? /--allow-read/ : /ENOENT/;
    const { code, stdout, stderr } = await run(["-d", "@missing.json", url]);
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertMatch(stderr, /^sse: .*missing\.json.*\n$/);
    assertMatch(stderr, reason);
  });

  test("--last-event-id sets the Last-Event-ID header", async () => {
    const { headers } = await requestOf(["--last-event-id", "41"]);
    assertEquals(headers.get("last-event-id"), "41");
  });

  test("--until ends at the matching event and closes the connection", async () => {
    const stream = new OpenResponse("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n");
    await using server = new HttpServer(() => stream.response);
    assertEquals(
      await run(["--data", "--until", "[DONE]", server.url]),
      success("1\n"),
    );
    await stream.cancelled;
  });

  test("--until fails if the stream ends before the matching event", async () => {
    await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
    assertEquals(await run(["--data", "--until", "[DONE]", server.url]), {
      ...failure(1, "Expected `until` to be met, but the stream ended"),
      stdout: "1\n",
    });
  });

  test("--max-events ends after that many events and closes the connection", async () => {
    const stream = new OpenResponse("data: 1\n\ndata: 2\n\ndata: 3\n\n");
    await using server = new HttpServer(() => stream.response);
    assertEquals(
      await run(["--data", "--max-events", "2", server.url]),
      success("1\n2\n"),
    );
    await stream.cancelled;
  });

  test("--reconnect continues after the last event and reports each attempt", async () => {
    await using server = new HttpServer(
      () => eventResponse("retry: 1\nid: 7\ndata: 1\n\n"),
      () => new Response("Wait", { status: 503 }),
      () => eventResponse("id: 8\ndata: 2\n\n"),
      () => new Response(null, { status: 204 }),
    );
    const args = ["--data", "--reconnect", "-d", "@-", server.url];
    assertEquals(await run(args, "again"), {
      code: 0,
      stdout: "1\n2\n",
      stderr: [
        "Expected more events, but the stream ended; connecting again in 1 ms",
        "Expected a status of 2xx, got 503 Service Unavailable: Wait; " +
        "connecting again in 100 ms",
        "Expected more events, but the stream ended; connecting again in 1 ms",
      ].map((message) => `sse: ${message}\n`).join(""),
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

  test("--idle-timeout fails if the server sends no data in time", async () => {
    const stream = new OpenResponse();
    await using server = new HttpServer(() => stream.response);
    assertEquals(
      await run(["--idle-timeout", "0.5", server.url]),
      failure(1, "Expected a byte within 500 ms, but none arrived"),
    );
    await stream.cancelled;
  });

  test("--idle-timeout fails if no response arrives in time", async () => {
    await using server = await RawServer.listen(() => {});
    assertEquals(
      await run(["--idle-timeout", ".3", server.url]),
      failure(1, "Expected response headers within 300 ms, but none arrived"),
    );
    await server.connections[0].disconnected;
  });

  test("sse reports an HTTP error in one line with the start of the body", async () => {
    await using server = new HttpServer(() =>
      new Response('{\n  "error": "\x1b[31mkey"\n}\n' + "x".repeat(1e6), {
        status: 401,
      })
    );
    const { code, stdout, stderr } = await run([server.url]);
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertStringIncludes(
      stderr,
      "sse: Expected a status of 2xx, got 401 Unauthorized: " +
        String.raw`{ "error": "\u001b[31mkey" } xxx`,
    );
    assertMatch(stderr, /^[^\n]{200,300}…\n$/);
  });

  test("sse reports an HTTP error even if its body never ends", async () => {
    await using server = await RawServer.listen((connection) =>
      connection.send(
        "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\nSorry",
      )
    );
    assertEquals(
      await run([server.url]),
      failure(1, "Expected a status of 2xx, got 404 Not Found: Sorry"),
    );
  });

  test("sse reports an unexpected content type with the start of the body", async () => {
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

  test("sse exits with 0 after status 204", async () => {
    await using server = new HttpServer(() =>
      new Response(null, { status: 204 })
    );
    assertEquals(await run([server.url]), success(""));
  });

  test("sse reports a refused connection in one line", async () => {
    const server = new HttpServer(() => eventResponse(""));
    await server[Symbol.asyncDispose]();
    const { code, stderr } = await run([server.url]);
    assertEquals(code, 1);
    assertMatch(stderr, /^sse: .*127\.0\.0\.1:\d+.*refused.*\n$/i);
  });

  test("sse prints the events, then an error, if the connection breaks", async () => {
    await using server = await RawServer.listen(async (connection) => {
      // With `Connection: close`, this body would be complete on Node 20.
      const head = eventStreamHead.replace("Connection: close\r\n", "");
      await connection.send(head);
      await connection.chunk("data: 1\n\n");
    });
    await using program = new Program(runtime, ["--data", server.url]);
    assertEquals(await program.readLine(), "1");
    server.connections[0].end();
    const { code, stdout, stderr } = await program.end();
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertMatch(stderr, /^sse: Expected more events, but .+\n$/);
  });

  test("sse uses http: if the URL has no scheme", async () => {
    await using server = new HttpServer(() => eventResponse("data: 1\n\n"));
    assertEquals(
      await run(["--data", server.url.replace("http://", "") + "a?b=http://c"]),
      success("1\n"),
    );
    assertEquals(server.requests[0].path, "/a?b=http://c");
  });

  for (
    const [args, message] of [
      [[], "Expected one URL, got 0"],
      [[url, url], "Expected one URL, got 2"],
      [["-d1", "-d2", url], "Expected one -d, got 2"],
      [["ftp://a/"], 'Expected an HTTP URL, got "ftp://a/"'],
      [["http://"], 'Expected an HTTP URL, got "http://"'],
      [
        ["http://u:secret@a:99999/?secret"],
        'Expected an HTTP URL, got "…@a:99999/?…"',
      ],
      [
        ["u:secret@a:99999/#secret"],
        'Expected an HTTP URL, got "…@a:99999/?…"',
      ],
      [["--nonsense", url], "Unknown option '--nonsense'"],
      [["--until"], "Option '--until <value>' argument missing"],
      [
        ["--data", "--json", url],
        "Expected one of --data and --json, got 2",
      ],
      [
        ["--data", "--comments", url],
        "Expected one of --data and --comments, got 2",
      ],
      [
        ["--max-events", "0", url],
        'Expected --max-events as an integer above 0, got "0"',
      ],
      [
        ["--max-events", "1.5", url],
        'Expected --max-events as an integer above 0, got "1.5"',
      ],
      [
        ["--idle-timeout", "soon", url],
        'Expected --idle-timeout as seconds above 0, got "soon"',
      ],
      [
        ["--idle-timeout", "0.0", url],
        'Expected --idle-timeout as seconds above 0, got "0.0"',
      ],
      [["-H", "nonsense", url], 'Expected -H "NAME: VALUE", got "nonsense"'],
      [["-H", "Accept: ", url], 'Expected -H "NAME: VALUE", got "Accept: …"'],
      [["-H", "a: 1\n2", url], 'Expected -H "NAME: VALUE", got "a: …"'],
      [
        ["--last-event-id", "a\nb", url],
        String
          .raw`Expected lastEventId to be free of control characters and at most 8192 bytes, got "a\nb"`,
      ],
    ] as const
  ) {
    test(`sse rejects invalid arguments: ${args.join(" ") || "none"}`, async () => {
      assertEquals(
        await run([...args]),
        failure(2, `${message} (see --help)`),
      );
    });
  }

  test("sse rejects a body with the method GET", async () => {
    const { code, stdout, stderr } = await run(["-X", "GET", "-d", "", url]);
    assertEquals({ code, stdout }, { code: 2, stdout: "" });
    assertMatch(
      stderr,
      /^sse: .*GET\/HEAD.* cannot have body.* \(see --help\)\n$/,
    );
  }, { ignore: runtime.name === "Bun" }); // Bun sends it.

  test("--help fits on a screen and lists every option", async () => {
    const { code, stdout, stderr } = await run(["--help"]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    const lines = stdout.split("\n");
    // The empty line at the end stands for the line of the prompt.
    assertLessOrEqual(lines.length, 24);
    for (const line of lines) assertLessOrEqual(line.length, 80);
    const source = await Deno.readTextFile(
      new URL("../../src/cli.ts", import.meta.url),
    );
    const options = source.matchAll(/^ +"?([\w-]+)"?: \{ type: "/gm).toArray();
    assertEquals(options.length, 13);
    for (const [, name] of options) assertStringIncludes(stdout, ` --${name} `);
  });

  test("--version prints the version", async () => {
    assertEquals(await run(["--version"]), success(`sse ${config.version}\n`));
  });

  for (const [what, next] of [["event", "data: 2\n\n"], ["comment", ": 2\n"]]) {
    test(`sse exits without an error at the next ${what} if its output is closed`, async () => {
      const stream = new OpenResponse("data: 1\n\n");
      await using server = new HttpServer(() => stream.response);
      await using program = new Program(runtime, [
        "--json",
        "--comments",
        server.url,
      ]);
      await program.readLine();
      await program.closeStdout();
      const { cancelled } = stream;
      // A process that another test starts has a copy of the pipe for a moment,
      // so that a write succeeds.
      for (let sent = 0; sent < 3; sent++) {
        stream.send(next);
        if (await settlesWithin(1, cancelled)) break;
      }
      assertEquals(await program.end(), success(""));
    });
  }

  // Windows has no SIGINT.
  const noInterrupts = Deno.build.os === "windows";

  test("sse closes the connection and exits on SIGINT", async () => {
    const stream = new OpenResponse("data: 1\n\n");
    await using server = new HttpServer(() => stream.response);
    await using program = new Program(runtime, ["--data", server.url]);
    await program.readLine();
    program.interrupt();
    assertEquals(await program.end(), { code: 130, stdout: "", stderr: "" });
    await stream.cancelled;
  }, { ignore: noInterrupts });

  test("sse exits on SIGINT while its output is not read", async () => {
    const stream = new OpenResponse(`data: 1\ndata: ${"x".repeat(4e6)}\n\n`);
    await using server = new HttpServer(() => stream.response);
    await using program = new Program(runtime, ["--data", server.url]);
    await program.readLine();
    program.interrupt();
    assertEquals((await program.end()).code, 130);
    await stream.cancelled;
  }, { ignore: noInterrupts });

  test("sse exits on SIGINT while it waits for a response", async () => {
    await using server = await RawServer.listen(() => {});
    await using program = new Program(runtime, [server.url]);
    const connection = await server.connection();
    program.interrupt();
    assertEquals(await program.end(), { code: 130, stdout: "", stderr: "" });
    await connection.disconnected;
  }, { ignore: noInterrupts });

  function testInTerminal(name: string, fn: () => Promise<void>): void {
    const reason = noTerminal ? " (skipped: no util-linux `script` here)" : "";
    test(name + reason, fn, { ignore: noTerminal });
  }

  async function runInTerminal(args: string[]): Promise<string> {
    await using program = new Program(runtime, args, { terminal: true });
    const { code, stdout } = await program.end();
    assertEquals(code, 0);
    return stdout.replaceAll("\r\n", "\n");
  }

  testInTerminal(
    "sse escapes control characters from the server in a terminal",
    async () => {
      const evil = "\x1b]0;\x07\x9b2J\x7f\x01";
      const spelled = String.raw`\u001b]0;\u0007\u009b2J\u007f\u0001`;
      const stream = `: ${evil}\n` +
        `event: ${evil}\nid: ${evil}\ndata: ${evil}\n\n` +
        `data: {"a": "\x9b2J\x7f"}\n\n`;
      await using server = new HttpServer(() => eventResponse(stream));
      for (
        const args of [["--comments"], ["--data"], ["--json", "--comments"]]
      ) {
        const text = await runInTerminal([...args, server.url]);
        assertStringIncludes(text, spelled);
        // deno-lint-ignore no-control-regex
        assertFalse(/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text), text);
      }
    },
  );

  testInTerminal("sse exits on Ctrl-C in a terminal", async () => {
    const stream = new OpenResponse("data: 1\n\n");
    await using server = new HttpServer(() => stream.response);
    const args = ["--data", server.url];
    await using program = new Program(runtime, args, { terminal: true });
    await program.readLine();
    await program.type("\x03");
    assertEquals((await program.end()).code, 130);
    await stream.cancelled;
  });

  test("--comments applies backpressure while its output is not read", async () => {
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
    await using _program = new Program(runtime, ["--comments", server.url]);
    let before = -1;
    // Waits until the buffers of pipes and sockets are full.
    while (before !== sent || sent === 0) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assertLess(sent, 1000);
  });

  test("--reconnect reports an ID that cannot be sent back, without pointing to --help", async () => {
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
}
