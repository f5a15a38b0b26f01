// The stream of the demo, and what can happen to it. All of it goes over HTTP:
//
//   GET  /events?visitor=ID   the stream, which goes on after Last-Event-ID
//   POST /cut?visitor=ID      breaks it in the middle of an event
//   POST /stall?visitor=ID    leaves it open, but lets no more bytes through
//   POST /kill?visitor=ID     hangs up, and is away for four seconds
//
// For each visitor it is as if nobody else were there. With `&speed=4`, all of it
// is four times as fast.

import { lastEventIdOf, sseResponse } from "@x/sse";
import { events, job } from "./job.ts";

/** The way to a visitor: lets bytes through until something happens to it. */
class Connection extends TransformStream<Uint8Array, Uint8Array> {
  readonly visitor: string;
  fault?: "cut" | "stall" | "kill";

  constructor(visitor: string) {
    const left = Promise.withResolvers<void>();
    super({
      transform: (bytes, controller) => {
        switch (this.fault) {
          case undefined:
            return controller.enqueue(bytes);
          case "stall":
            return left.promise;
          case "cut":
            controller.enqueue(bytes.subarray(0, bytes.length / 2));
        }
        controller.error(new HungUp());
      },
      cancel: () => left.resolve(),
    });
    this.visitor = visitor;
  }
}

/** What makes `Deno.serve` close a connection in mid-response. */
class HungUp extends Error {}

const connections = new Set<Connection>();
/** The visitors for whom the server is away. */
const away = new Set<string>();

/** Answers what is not for the demo's server with 404. */
export function handler(
  request: Request,
  { completed }: Deno.ServeHandlerInfo,
): Response {
  const { pathname, searchParams } = new URL(request.url);
  const visitor = searchParams.get("visitor") ?? "";
  const speed = Number(searchParams.get("speed") ?? 1);

  switch (`${request.method} ${pathname}`) {
    case "GET /events": {
      if (away.has(visitor)) return new Response(null, { status: 503 });
      const after = Number(lastEventIdOf(request));
      if (after >= events.length) return new Response(null, { status: 204 });

      const connection = new Connection(visitor);
      connections.add(connection);
      const forget = () => connections.delete(connection);
      completed.then(forget, forget);
      const response = sseResponse(job(after, speed));
      return new Response(response.body!.pipeThrough(connection), response);
    }
    case "POST /kill":
      away.add(visitor);
      setTimeout(() => away.delete(visitor), 4000 / speed);
      return breakConnections(visitor, "kill");
    case "POST /cut":
      return breakConnections(visitor, "cut");
    case "POST /stall":
      return breakConnections(visitor, "stall");
    default:
      return new Response(null, { status: 404 });
  }
}

function breakConnections(
  visitor: string,
  fault: Connection["fault"],
): Response {
  for (const connection of connections) {
    if (connection.visitor === visitor) connection.fault = fault;
  }
  return new Response(null, { status: 204 });
}

/** Tells of errors, but not of those that the demo is about. */
export function onError(error: unknown): Response {
  if (!(error instanceof HungUp)) console.error(error);
  return new Response(null, { status: 500 });
}
