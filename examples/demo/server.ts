// The demo's server: streams the job, and breaks the connection on request.
//
//   GET  /events?visitor=ID   streams the job's events after Last-Event-ID
//   POST /cut?visitor=ID      ends the connections in the middle of an event
//   POST /stall?visitor=ID    keeps the connections open, but sends no more data
//   POST /kill?visitor=ID     ends the connections, and then answers /events
//                             with status 503 for four seconds
//
// A fault affects only the connections of its visitor. With `&speed=4`, the job
// and the 503 period are four times as fast.

import { lastEventIdOf, sseResponse } from "@x/sse";
import { events, job } from "./job.ts";

type Fault = "cut" | "stall" | "kill";

/** The connection to a visitor: passes bytes through until it gets a fault. */
class Connection extends TransformStream<Uint8Array, Uint8Array> {
  readonly visitor: string;
  fault?: Fault;

  constructor(visitor: string) {
    const disconnected = Promise.withResolvers<void>();
    super({
      transform: (bytes, controller) => {
        switch (this.fault) {
          case undefined:
            return controller.enqueue(bytes);
          case "stall":
            return disconnected.promise;
          case "cut":
            controller.enqueue(bytes.subarray(0, bytes.length / 2));
        }
        controller.error(new FaultError());
      },
      cancel: () => disconnected.resolve(),
    });
    this.visitor = visitor;
  }
}

/** Makes `Deno.serve` close a connection before the response is complete. */
class FaultError extends Error {}

const connections = new Set<Connection>();
/** The visitors that get status 503. */
const unavailableFor = new Set<string>();

/** Answers requests with other paths with status 404. */
export function handler(
  request: Request,
  { completed }: Deno.ServeHandlerInfo,
): Response {
  const { pathname, searchParams } = new URL(request.url);
  const visitor = searchParams.get("visitor") ?? "";
  const speed = Number(searchParams.get("speed") ?? 1);

  switch (`${request.method} ${pathname}`) {
    case "GET /events": {
      if (unavailableFor.has(visitor)) {
        return new Response(null, { status: 503 });
      }
      const after = Number(lastEventIdOf(request));
      if (after >= events.length) return new Response(null, { status: 204 });

      const connection = new Connection(visitor);
      connections.add(connection);
      const remove = () => connections.delete(connection);
      completed.then(remove, remove);
      const response = sseResponse(job(after, speed));
      return new Response(response.body!.pipeThrough(connection), response);
    }
    case "POST /kill":
      unavailableFor.add(visitor);
      setTimeout(() => unavailableFor.delete(visitor), 4000 / speed);
      return breakConnections(visitor, "kill");
    case "POST /cut":
      return breakConnections(visitor, "cut");
    case "POST /stall":
      return breakConnections(visitor, "stall");
    default:
      return new Response(null, { status: 404 });
  }
}

function breakConnections(visitor: string, fault: Fault): Response {
  for (const connection of connections) {
    if (connection.visitor === visitor) connection.fault = fault;
  }
  return new Response(null, { status: 204 });
}

/** Prints errors, except the faults that the demo causes. */
export function onError(error: unknown): Response {
  if (!(error instanceof FaultError)) console.error(error);
  return new Response(null, { status: 500 });
}
