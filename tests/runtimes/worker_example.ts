/** Runs `examples/worker.ts` in workerd, between an upstream and a browser. */
import { connectSse } from "../../mod.ts";
import { HttpServer } from "../support/http_server.ts";
import { OpenResponse } from "../support/open_response.ts";
import { startListeningProcess } from "../support/listening_process.ts";
import { assertEquals } from "./assert.ts";
import { output } from "./install.ts";

/**
 * Runs the example. Throws if it does not behave as expected.
 *
 * @param binary The binary of workerd.
 * @param directory The directory for the files that workerd needs.
 * @param compatibilityDate The date whose version of workerd to emulate.
 */
export async function runWorkerExample(
  binary: string | URL,
  directory: string,
  compatibilityDate: string,
): Promise<void> {
  await output(Deno.execPath(), [
    "bundle",
    "--quiet",
    `--output=${directory}/example.mjs`,
    new URL(import.meta.resolve("../../examples/worker.ts")).pathname,
  ]);
  const stream = new OpenResponse(
    'event: internal\ndata: {}\n\nid: 1\ndata: {"n":1,"secret":"x"}\n\n',
  );
  await using upstream = new HttpServer(
    () => stream.response,
    () => new Response("Who are you?", { status: 401 }),
  );
  await using worker = await serveWorker(binary, directory, {
    compatibilityDate,
    upstreamUrl: upstream.url,
  });

  const browser = await connectSse(worker.url, { lastEventId: "0 ☃" });
  const { value: event } = await browser.next();
  assertEquals(
    { ...event },
    { event: "message", data: '{"n":1}', id: "1", retry: undefined },
    "the event",
  );
  const { headers } = await upstream.request();
  assertEquals(headers.get("authorization"), "Bearer secret", "the token");
  const id = Uint8Array.from(
    headers.get("last-event-id") ?? "",
    (char) => char.charCodeAt(0),
  );
  assertEquals(new TextDecoder().decode(id), "0 ☃", "Last-Event-ID");

  // workerd notices a disconnected browser only when it writes.
  await browser.close();
  const writing = setInterval(() => stream.send("data: {}\n\n"), 50);
  await stream.cancelled.finally(() => clearInterval(writing));

  const refused = await fetch(worker.url);
  assertEquals(refused.status, 401, "the status");
  assertEquals(await refused.text(), "Who are you?", "the body");
}

/** Serves the example on a port of its own, until it is disposed. */
async function serveWorker(
  binary: string | URL,
  directory: string,
  { compatibilityDate, upstreamUrl }: {
    compatibilityDate: string;
    upstreamUrl: string;
  },
) {
  await Deno.writeTextFile(
    `${directory}/example.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "example.mjs", esModule = embed "example.mjs")],
      bindings = [
        (name = "UPSTREAM_URL", text = "${upstreamUrl}"),
        (name = "UPSTREAM_TOKEN", text = "secret"),
      ],
      compatibilityDate = "${compatibilityDate}")),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", service = "main")],
);
`,
  );
  const args = ["serve", "--control-fd=1", `${directory}/example.capnp`];
  return await startListeningProcess(binary, args);
}
