/**
 * Tests the statements of testing.md that its programs do not test. The programs
 * are tests, which `deno task test:docs` runs.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectSse, SseError, sseResponse } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { blockOf } from "./programs.ts";

const url = "http://localhost/";

const faults: Record<string, () => Response | Promise<Response>> = {
  "network": () => Promise.reject(new Error("cable cut")),
  "status": () => new Response("Expired", { status: 401 }),
  "content-type": () => new Response("<html>"),
  "malformed": () => eventResponse('{"error": "busy"}'),
  "connect-timeout": () => new Promise(() => {}),
};
for (const [code, fetch] of Object.entries(faults)) {
  Deno.test(`testing: a fault of a response has its code: ${code}`, async () => {
    const error = await assertRejects(async () => {
      const sse = await connectSse(url, { fetch, connectTimeout: 5 });
      await sse.next();
    }, SseError);
    assertEquals(error.code, code);
  });
}

Deno.test("testing: an error of the controller drops what was enqueued and not read", async () => {
  const stream = new OpenResponse("data: 1\n\n");
  stream.fail(new Error("reset"));
  const sse = await connectSse(url, { fetch: () => stream.response });
  const error = await assertRejects(() => sse.next(), SseError);
  assertEquals(error.code, "network");
});

Deno.test("testing: close() waits until the source of the server is closed", async () => {
  let isClosed = false;
  const source: AsyncIterableIterator<{ data: string }> = {
    next: () => Promise.resolve({ done: false, value: { data: "1" } }),
    async return() {
      await new Promise((resolve) => setTimeout(resolve, 5));
      isClosed = true;
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  const sse = await connectSse(url, { fetch: () => sseResponse(source) });
  await sse.next();
  await sse.close();
  assertEquals(isClosed, true);
});

/** Runs `deno test` for a file, without permissions. Returns its output. */
async function runTests(
  directory: string,
  code: string,
  config: unknown,
): Promise<{ code: number; output: string }> {
  await Deno.writeTextFile(`${directory}/own_test.ts`, code);
  await Deno.writeTextFile(`${directory}/deno.json`, JSON.stringify(config));
  const importMap = import.meta.resolve("../offline/import_map.json");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", `--import-map=${importMap}`, "own_test.ts"],
    cwd: directory,
    env: { NO_COLOR: "1" },
  });
  const { code: status, stdout, stderr } = await deadline(
    child.output(),
    "deno test",
    20,
  );
  const decoder = new TextDecoder();
  return {
    code: status,
    output: decoder.decode(stdout) + decoder.decode(stderr),
  };
}

Deno.test("testing: the first program needs no permission", async () => {
  await using directory = await temporaryDirectory();
  const program = await blockOf("testing", "countdown_test.ts");
  const { code, output } = await runTests(directory.path, program, {});
  assertStringIncludes(output, "2 passed");
  assertEquals(code, 0);
});

Deno.test("testing: a connection that is left open fails a test only if Deno looks for leaks", async () => {
  await using directory = await temporaryDirectory();
  const leaking = `import { connectSse, sseResponse } from "@x/sse";
Deno.test("leaks", async () => {
  const source = new TransformStream().readable;
  const sse = await connectSse("http://localhost/", {
    fetch: () => sseResponse(source, { heartbeat: 1000 }),
  });
  sse.next();
  await new Promise((resolve) => setTimeout(resolve));
});`;
  const byDefault = await runTests(directory.path, leaking, {});
  assertEquals(byDefault.code, 0, byDefault.output);
  const { code, output } = await runTests(directory.path, leaking, {
    test: { sanitizeOps: true, sanitizeResources: true },
  });
  assertStringIncludes(
    output,
    "Leaks detected:\n  - A timer was started in this test",
  );
  assertEquals(code, 1);
});
