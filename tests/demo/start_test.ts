import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse } from "../support/open_response.ts";
import { Page, run, start } from "./start.ts";

Deno.test("start reads the stream at a URL, as the command-line tool does", async () => {
  await using server = new HttpServer(() =>
    eventResponse('data: {"n":1}\n\ndata: 2\n\n')
  );
  assertEquals(await run("--data", server.url), {
    code: 0,
    stdout: '{"n":1}\n2\n',
    stderr: "",
  });
});

Deno.test("start exits with the status of the command-line tool", async () => {
  const { code, stderr } = await run("--data", "ftp://example.com/");
  assertEquals(code, 2);
  assertStringIncludes(
    stderr,
    'Expected an HTTP URL, got "ftp://example.com/"',
  );
});

Deno.test("start serves the page and its module on the next free port", async () => {
  await using first = await Page.servedBy(start(["--page"]));
  await using second = await Page.servedBy(start(["--page"]));
  assert(first.url !== second.url);
  for (const { url } of [first, second]) {
    const page = await (await fetch(url)).text();
    assertStringIncludes(page, "<h1>Break this stream</h1>");
    const module = await (await fetch(`${url}sse.js`)).text();
    assertStringIncludes(module, "connectSse");
  }
});

const hasScript = await new Deno.Command("script", { args: ["--version"] })
  .output().then(
    ({ stdout }) => new TextDecoder().decode(stdout).includes("util-linux"),
    () => false,
  );

Deno.test({
  name: "start serves the page if it runs in a terminal" +
    (hasScript ? "" : " (not run: no util-linux `script` here)"),
  ignore: !hasScript,
  async fn() {
    const command = `exec '${Deno.execPath()}' task --quiet start`;
    const child = new Deno.Command("script", {
      args: ["-qec", command, "/dev/null"],
      cwd: new URL("../../", import.meta.url),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await using page = await Page.servedBy(child);
    const { status, body } = await fetch(page.url);
    await body?.cancel();
    assertEquals(status, 200);
  },
});
