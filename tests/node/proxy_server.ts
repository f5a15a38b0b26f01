/** Serves examples/worker.ts with `node:http`, which it does not know itself. */
import { createServer } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import worker from "../../examples/worker.ts";

const server = createServer(async ({ url }, outgoing) => {
  const request = new Request(`http://localhost${url}`);
  const { status, headers, body } = await worker.fetch(request, {
    UPSTREAM_URL: process.env.UPSTREAM_URL!,
    UPSTREAM_TOKEN: "secret",
  });
  outgoing.statusCode = status;
  outgoing.setHeaders(headers);
  outgoing.flushHeaders();
  await pipeline(Readable.fromWeb(body as never), outgoing).catch(() => {});
});
server.listen(0, () => {
  console.log((server.address() as { port: number }).port);
});
