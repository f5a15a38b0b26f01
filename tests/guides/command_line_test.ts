/** Runs the commands of command_line.md against the guide's server. */
import { assert, assertEquals } from "@std/assert";
import { HttpServer } from "../support/http_server.ts";
import { deadline } from "../support/deadline.ts";
import { runBlock } from "../support/guide.ts";

const guide = await Deno.readTextFile(
  new URL("../../examples/guides/command_line.md", import.meta.url),
);
const sessions = [...guide.matchAll(/^```console\n(.*?)^```$/gms)]
  .map(([, session]) => session);

/** Replaces the times of events, which differ in each run. */
function withoutTimes(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "TIME");
}

/** Runs a shell script in which `sse` is this module's command. */
async function runShell(script: string): Promise<string> {
  const sse =
    `sse() { "${Deno.execPath()}" run --no-prompt -N src/cli.ts "$@"; }`;
  const child = new Deno.Command("bash", {
    args: ["-c", `${sse}\n${script}`],
    cwd: new URL("../..", import.meta.url),
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = await deadline(child.output(), "the commands to end", 20);
  return new TextDecoder().decode(output.stdout);
}

Deno.test("command_line: the guide has console sessions", () => {
  assert(sessions.length >= 4);
});

for (const session of sessions) {
  const commands = session.split("\n").filter((it) => it.startsWith("$ "))
    .map((it) => it.slice(2));
  Deno.test({
    name: `command_line: the output is that of the guide: ${commands[0]}`,
    ignore: Deno.build.os === "windows",
    async fn() {
      const { default: app } = await runBlock("command_line", "lastEventIdOf");
      await using server = new HttpServer(({ method, path, headers, body }) =>
        app.fetch(
          new Request(new URL(path, "http://localhost"), {
            method,
            headers,
            body: body || null,
          }),
        )
      );
      const { host } = new URL(server.url);
      // Prints each command as the guide does, and its errors in their place.
      const script = commands.map((command) => {
        const run = command.replace("localhost:8123", host);
        const shown = `'$ ${command.replaceAll("'", "'\\''")}'`;
        const isStatus = command.startsWith("echo ");
        return isStatus
          ? `s=$?; printf '%s\\n' ${shown} "$s"`
          : `printf '%s\\n' ${shown}; ${run} 2>&1`;
      }).join("\n");
      assertEquals(
        withoutTimes(await runShell(script)).trimEnd(),
        withoutTimes(session).trimEnd(),
      );
    },
  });
}
