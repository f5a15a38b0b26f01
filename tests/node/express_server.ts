/** A variant of examples/node.ts for Express, with a log and a push source. */
// @ts-types="npm:@types/express@5.0.3"
import express from "npm:express@5.1.0";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sseResponse } from "../../mod.ts";
import { MemoryEventLog, resume } from "../../src/event_log/mod.ts";

const log = new MemoryEventLog();
let listeners = 0;
const app = express();

app.get("/listeners", (_request, response) => {
  response.send(String(listeners));
});
app.post("/", async (request, response) => {
  await log.append({ json: request.query });
  response.status(204).end();
});
app.get("/log", async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const lastEventId = request.get("Last-Event-ID");
  const headers = new Headers();
  if (lastEventId !== undefined) headers.set("Last-Event-ID", lastEventId);
  listeners++;
  await send(sseResponse(resume(log, new Request(url, { headers }))), response);
  listeners--;
});
app.get("/push", async (_request, response) => {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const timer = setInterval(() => writer.write({ data: "push" }), 5);
  writer.closed.catch(() => {}).finally(() => {
    clearInterval(timer);
    listeners--;
  });
  listeners++;
  await send(sseResponse(readable), response);
});

async function send(from: Response, to: express.Response): Promise<void> {
  to.setHeaders(from.headers);
  to.flushHeaders();
  // Fails when the client leaves.
  await pipeline(Readable.fromWeb(from.body as never), to).catch(() => {});
}

const server = app.listen(0, () => {
  console.log((server.address() as { port: number }).port);
});
