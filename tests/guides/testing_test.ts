/** Runs the programs of testing.md, and tests its other statements. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { connectSse, SseError, sseResponse } from "../../mod.ts";
import { SseScript, type SseScriptConnection } from "../../src/testing.ts";
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

/** What a client with `until` reads from the steps of a fault in the table. */
const outcomes: Record<string, string> = {
  "The server cannot be reached": "network",
  "It sends no headers": "connect-timeout",
  "It sends nothing after the headers": "idle-timeout",
  "It stops halfway": "1 idle-timeout",
  "It breaks the connection": "1 network",
  "It breaks it within an event": "1 network",
  "It ends too early": "1 truncated",
  "It is busy": "status",
  "It fails, and then works": "status",
  "It refuses the client": "status",
  "It says that the stream is over": "",
  "It sends a page instead": "content-type",
  "It sends an error that is no event": "malformed",
  "Chunks end anywhere, with other line ends": "one truncated",
};

/** Returns the faults in the table, with the code of their steps. */
async function faults(): Promise<[fault: string, steps: string][]> {
  const file = new URL("../../examples/guides/testing.md", import.meta.url);
  const rows = (await Deno.readTextFile(file)).matchAll(
    /^\| (\S.*?) +\| .*?`(.*?)`.*\|$/gm,
  );
  return [...rows].map(([, fault, steps]) => [fault, steps]);
}

Deno.test("testing: the steps of the table produce their faults", async () => {
  const codes = new Map(await faults());
  for (const [fault, expected] of Object.entries(outcomes)) {
    const steps: SseScriptConnection[] = new Function(
      `return [${codes.get(fault)}]`,
    )();
    const { fetch } = new SseScript(...steps);
    const read: string[] = [];
    try {
      const sse = await connectSse(url, {
        fetch,
        idleTimeout: 20,
        until: "[DONE]",
      });
      for await (const { data } of sse) read.push(data);
    } catch (error) {
      read.push(error instanceof SseError ? error.code : `${error}`);
    }
    assertEquals(read.join(" "), expected, fault);
  }
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
