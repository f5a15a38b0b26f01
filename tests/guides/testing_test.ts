/** Runs the programs of testing.md, and tests its other statements. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { connectSse, sseResponse } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { blocksOf } from "./programs.ts";

const url = "http://localhost/";

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

/** Runs `deno test` for a file. Returns its output. */
async function runTests(
  directory: string,
  code: string,
  config: unknown,
  permissions: string[] = [],
): Promise<{ code: number; output: string }> {
  await Deno.writeTextFile(`${directory}/own_test.ts`, code);
  await Deno.writeTextFile(`${directory}/deno.json`, JSON.stringify(config));
  const importMap = import.meta.resolve("../offline/import_map.json");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--no-check", `--import-map=${importMap}`],
      ...[...permissions, "own_test.ts"],
    ],
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

/** Maps a part of each program to the number of its tests. */
const programs: Record<string, number> = {
  "// follow_test.ts": 1,
  "maxEventSize": 9,
  "FakeTime": 2,
  "// countdown_test.ts": 2,
  "Deno.serve": 1,
};
for (const [text, count] of Object.entries(programs)) {
  Deno.test(`testing: the program with ${text} passes`, async () => {
    await using directory = await temporaryDirectory();
    const blocks = (await blocksOf("testing"))
      .filter((block) => block.includes(text));
    assertEquals(blocks.length, 1);
    const { code, output } = await runTests(
      directory.path,
      blocks[0],
      { test: { sanitizeOps: true, sanitizeResources: true } },
      text === "Deno.serve" ? ["--allow-net"] : [],
    );
    assertStringIncludes(output, `${count} passed`);
    assertEquals(code, 0);
  });
}

Deno.test("testing: all programs are tested", async () => {
  const blocks = (await blocksOf("testing"))
    .filter((block) => block.includes("Deno.test("));
  assertEquals(blocks.length, Object.keys(programs).length);
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
