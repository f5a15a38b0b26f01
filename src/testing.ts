/**
 * A server that follows a script, for the tests of programs that read event
 * streams: it stalls, breaks the connection, refuses requests and resumes on
 * demand, without a port and without a network.
 *
 * ```sh
 * deno add jsr:@x/sse       # Deno
 * npm install @x/sse        # Node, Bun, Cloudflare Workers, bundlers
 * ```
 *
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { SseScript } from "@x/sse/testing";
 * import { assertEquals } from "@std/assert";
 *
 * Deno.test("the client reconnects, and continues after the last event", async () => {
 *   const server = new SseScript(
 *     [{ retry: 1 }, { id: "1", data: "half" }, "cut"],
 *     [{ id: "2", data: "all" }, { data: "[DONE]" }],
 *   );
 *   const sse = await connectSse("http://localhost/", {
 *     fetch: server.fetch,
 *     reconnect: true,
 *     until: "[DONE]",
 *   });
 *   const data = await Array.fromAsync(sse, (event) => event.data);
 *   assertEquals(data, ["half", "all"]);
 *   assertEquals(server.requests[1].lastEventId, "1");
 * });
 * ```
 *
 * {@linkcode SseScript} has no assertions and needs no test runner. Pass its
 * `fetch` to a client, for example to `EventSource` of `@x/sse/event-source` or
 * to an LLM vendor's SDK. It is also the handler of a server:
 * `Deno.serve(server.fetch)`.
 *
 * The guide
 * [testing](https://github.com/x/sse/blob/main/examples/guides/testing.md) has
 * a recipe for each fault, and for fake time. The other entry points are in the
 * [README](https://github.com/x/sse/blob/main/README.md).
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html}
 *
 * @module
 */

import { check, numberOption } from "./internal/check.ts";
import { MAX_TIMER_DELAY } from "./internal/wait.ts";
import { lastEventIdOf } from "./last_event_id.ts";
import { encodeSse, type SseMessage, utf8 } from "./write/encoder.ts";

export type { SseMessage } from "./write/encoder.ts";

/**
 * A step of a {@linkcode SseScript}, which is one of these:
 *
 * - A message, such as `{ data: "Hello" }` or `{ comment: "busy" }`, is written.
 * - `{ bytes }` is written as it is: half an event, other line ends, invalid
 *   UTF-8.
 * - `{ wait }` waits for that many milliseconds, from 0 to 2³¹ − 1.
 * - `{ status, headers, body }` sends the headers, and then the body if there is
 *   one. All three are optional. The default status is 200. The default content
 *   type is `text/event-stream`, and with a `body` that of a `Response`, which is
 *   `text/plain`. This step must be the first one that does not wait. If another
 *   step comes first, the default headers are sent.
 * - `"stall"` sends nothing more, and keeps the connection open until the client
 *   leaves. As the first step, it does not even send the headers.
 * - `"cut"` breaks the connection. As the first step, it refuses it.
 *
 * A step with fields of two kinds, such as `{ wait: 100, data: "Hello" }`, is an
 * error.
 *
 * @example A server that is busy, then slow, then fails within an event
 * ```ts
 * import { SseScript, type SseStep } from "@x/sse/testing";
 *
 * const busy: SseStep[] = [
 *   { status: 429, headers: { "Retry-After": "20" }, body: "Slow down" },
 * ];
 * const slow: SseStep[] = [{ wait: 5000 }, { json: { n: 1 } }];
 * const broken: SseStep[] = [{ data: "1" }, { bytes: "data: 2" }, "cut"];
 *
 * const server = new SseScript(busy, slow, broken);
 * ```
 */
export type SseStep =
  | SseMessage
  | { bytes: string | Uint8Array }
  | { wait: number }
  | {
    status?: number | undefined;
    headers?: ResponseInit["headers"] | undefined;
    body?: string | undefined;
  }
  | "stall"
  | "cut";

/**
 * The steps of one connection. When they end, the response ends. They are read on
 * demand, so a generator may be endless. It is closed when the connection is over.
 *
 * A function is called with the request, and returns the steps. If it or a
 * generator throws, the connection breaks. The client gets the exception as the
 * reason, for example as the `cause` of an `SseError`.
 *
 * @example Continue after the client's last event
 * ```ts
 * import { SseScript, type SseScriptConnection } from "@x/sse/testing";
 *
 * const feed: SseScriptConnection = function* ({ lastEventId }) {
 *   for (let n = Number(lastEventId) + 1;; n++) {
 *     yield { id: String(n), data: `event ${n}` };
 *     if (n % 3 === 0) yield "cut";
 *   }
 * };
 *
 * const server = new SseScript(feed, feed, feed);
 * ```
 */
export type SseScriptConnection =
  | Iterable<SseStep>
  | AsyncIterable<SseStep>
  | ((request: SseScriptRequest) => Iterable<SseStep> | AsyncIterable<SseStep>);

/**
 * A request that a {@linkcode SseScript} has received.
 *
 * @example Check the requests of a client
 * ```ts
 * import { connectSse } from "@x/sse";
 * import { SseScript } from "@x/sse/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const server = new SseScript([{ data: "Hello" }, "stall"]);
 * const sse = await connectSse("http://localhost/chat", {
 *   method: "POST",
 *   body: "Greet me",
 *   fetch: server.fetch,
 * });
 * await sse.next();
 * await sse.close();
 *
 * const [request] = server.requests;
 * assertEquals(request.method, "POST");
 * assertEquals(request.body, "Greet me");
 * assertEquals(request.outcome, "left");
 * ```
 */
export interface SseScriptRequest {
  /** The method, such as `"GET"`. */
  readonly method: string;
  /** The whole URL. */
  readonly url: string;
  /** The headers, without those that only the runtime's own `fetch` adds. */
  readonly headers: Headers;
  /** The body as text. It is `""` if there is none, or until it has arrived. */
  readonly body: string;
  /** The id after which the client asks to continue, or `""`. */
  readonly lastEventId: string;
  /** The time of the request: `Date.now()`, which fake time can control. */
  readonly time: number;
  /**
   * The state of the connection:
   *
   * - `"open"`: it is open.
   * - `"ended"`: the client has read the whole response.
   * - `"cut"`: the script has broken it, by `"cut"` or an exception.
   * - `"left"`: the client has left before the end: it has aborted the request,
   *   or has closed the response. Many clients do that after the last event, or
   *   with the body of a refusal.
   */
  readonly outcome: "open" | "ended" | "cut" | "left";
}

/**
 * A server that follows a script. Pass its `fetch` to the program under test, and
 * check its `requests` afterwards.
 *
 * The nth connection of the script answers the nth request. If there is one
 * request too many, the answer has status 410 and a text that says so.
 * `connectSse` and `EventSource` do not try again after this status.
 *
 * The script continues only while the client reads. So the events before a
 * `"cut"` always arrive, and `{ wait }` starts when the client reads on.
 *
 * A redirect is returned, not followed, and the `url` of the response is `""`.
 *
 * Servers and tools have these limits:
 *
 * - **A server** that has `fetch` as its handler cannot refuse a connection: a
 *   `"cut"` as the first step is an exception, and the client gets status 500.
 *   The server reads ahead of its client, and notices later that a client has
 *   left: a Worker only when it writes, and `node:http`, with the adapter of the
 *   guide on servers, only after the headers. `Deno.serve` prints each `"cut"`,
 *   each client that leaves, and a warning about `request.signal`, which has no
 *   effect here.
 * - **msw** also turns a `"cut"` as the first step into status 500, and ends the
 *   stream without an error at a later one. Use `http.all(url, ({ request }) =>
 *   script.fetch(request))`.
 * - **Fake time**: `advanceTimersByTimeAsync` of vitest plays all steps in one
 *   call. `FakeTime` of `@std/testing` and the timers of `node:test` need a tick
 *   for each `{ wait }`, and between the ticks a turn of the event loop, which
 *   `tickAsync` of `FakeTime` includes.
 *
 * @example A server that stops sending, with fake time
 * ```ts
 * import { connectSse, SseError } from "@x/sse";
 * import { SseScript } from "@x/sse/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { FakeTime } from "@std/testing/time";
 *
 * Deno.test("a silent server becomes an error after 30 seconds", async () => {
 *   using time = new FakeTime();
 *   const server = new SseScript([{ data: "1" }, "stall"]);
 *   const sse = await connectSse("http://localhost/", {
 *     fetch: server.fetch,
 *     idleTimeout: 30_000,
 *   });
 *   await sse.next();
 *   const failed = assertRejects(() => sse.next(), SseError);
 *   await time.tickAsync(30_000);
 *   assertEquals((await failed).code, "idle-timeout");
 *   assertEquals(server.requests[0].outcome, "left");
 * });
 * ```
 *
 * @example A real server, for a client that has no option `fetch`
 * ```ts
 * import { SseScript } from "@x/sse/testing";
 *
 * const script = new SseScript([{ data: "1" }, { wait: 10 }, "cut"]);
 * await using server = Deno.serve({ port: 0 }, script.fetch);
 * const url = `http://localhost:${server.addr.port}/`;
 * ```
 */
export class SseScript {
  readonly #connections: readonly SseScriptConnection[];

  /** The requests that have been received, in order. */
  readonly requests: readonly SseScriptRequest[] = [];

  /**
   * Creates a server.
   *
   * @param connections The steps of each connection, in the order of the
   * requests.
   */
  constructor(...connections: SseScriptConnection[]) {
    this.#connections = connections;
  }

  /**
   * Answers a request. Use it as the `fetch` of a client or as the handler of a
   * server. It can be called without its object.
   *
   * If it is the `fetch` of a client, a `"cut"` before the headers rejects the
   * promise with a `TypeError`, and one after the headers errors the body with it.
   * If the request's signal aborts, the reason of the signal is used instead.
   *
   * If it is the handler of a server, a `"cut"` as the first step throws, so most
   * servers respond with status 500.
   *
   * @param input The request or its URL.
   * @param init The options of the request. The second argument that servers
   * pass to their handlers is ignored.
   * @returns The response. Resolves when the script sends the headers.
   * @throws {TypeError} If the script breaks the connection before the headers,
   * or a step is invalid. An error of a step after the headers, such as a second
   * status, errors the body instead.
   * @throws {RangeError} If a `wait` or the status is out of range.
   */
  readonly fetch = async (
    input: Request | URL | string,
    // Not `RequestInit`, as servers pass other objects to their handlers.
    init?: object,
  ): Promise<Response> => {
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const connection = new Connection(request);
    const number = (this.requests as SseScriptRequest[])
      .push(connection.record);
    const count = this.#connections.length;
    return await connection.respond(
      this.#connections[number - 1] ??
        [{ status: 410, body: `Expected ${count} requests, got ${number}` }],
    );
  };
}

type Head = Extract<SseStep, { status?: number | undefined }>;
type Outcome = SseScriptRequest["outcome"];

/** The statuses of responses that cannot have a body. */
const NULL_BODY_STATUSES = [204, 205, 304];

/**
 * The connections that are open. In Node, the signal of a request does not abort
 * after the request was garbage-collected, and the client may not reference it.
 */
const openConnections = /* @__PURE__ */ new Set<Connection>();

/** One connection, which is also the source of its response's body. */
class Connection implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> {
  readonly record: {
    -readonly [K in keyof SseScriptRequest]: SseScriptRequest[K];
  };
  readonly #request: Request;
  /** The headers, then the bytes. */
  #output!: AsyncGenerator<Head | Uint8Array<ArrayBuffer>, undefined>;
  /** Rejects the promise of the response, or errors its body. */
  #fail!: (reason: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Ends a wait or a stall. */
  #resume: (() => void) | undefined;

  constructor(request: Request) {
    const { method, url, headers } = request;
    this.#request = request;
    this.record = {
      method,
      url,
      // A copy, because a server may release those of its request.
      headers: new Headers(headers),
      body: "",
      lastEventId: lastEventIdOf(request),
      time: Date.now(),
      outcome: "open",
    };
    openConnections.add(this);
    request.signal.addEventListener("abort", this);
  }

  /** The listener of the request's signal. */
  handleEvent(): void {
    this.#end("left");
    this.#fail(this.#request.signal.reason);
  }

  /** Plays the steps. Resolves when the script sends the headers. */
  respond(steps: SseScriptConnection): Promise<Response> {
    this.#output = this.#play(steps);
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#output.next()
        // If the client has left, there is no head, and the promise is settled.
        .then(({ value }) => this.#responseOf(value as Head))
        .then(resolve, (error) => {
          this.#end("cut");
          reject(error);
        });
    });
  }

  /** Turns the steps into the headers, which always come first, and bytes. */
  async *#play(
    steps: SseScriptConnection,
  ): AsyncGenerator<Head | Uint8Array<ArrayBuffer>, undefined> {
    try {
      this.record.body = await this.#request.text();
      if (typeof steps === "function") steps = steps(this.record);
      let head: Head | undefined;
      for await (const step of steps) {
        if (step === "cut") {
          throw new TypeError("The script cut the connection");
        }
        if (step === "stall") {
          await this.#pause();
        } else if ("wait" in step) {
          checkFields(step, ["wait"]);
          await this.#pause(step.wait);
        } else if (isHead(step)) {
          checkFields(step, ["status", "headers", "body"]);
          check(head === undefined, "headers before other steps", "more");
          yield head = step;
          if (step.body) yield utf8.encode(step.body);
        } else {
          if (head === undefined) yield head = {};
          if ("bytes" in step) checkFields(step, ["bytes"]);
          const bytes = "bytes" in step ? step.bytes : encodeSse(step);
          yield typeof bytes === "string"
            ? utf8.encode(bytes)
            : bytes as Uint8Array<ArrayBuffer>;
        }
        if (this.record.outcome !== "open") return;
      }
      if (head === undefined) yield {};
      this.#end("ended");
    } catch (error) {
      this.#end("cut");
      throw error;
    }
  }

  /** Waits for a time or without limit, but only until the connection is over. */
  #pause(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.record.outcome !== "open") return resolve();
      this.#resume = resolve;
      if (ms !== undefined) {
        numberOption({ wait: ms }, "wait", 0, 0, MAX_TIMER_DELAY);
        this.#timer = setTimeout(resolve, ms);
      }
    });
  }

  #responseOf({ status = 200, headers, body }: Head): Response {
    const init = { status, headers: new Headers(headers) };
    if (NULL_BODY_STATUSES.includes(status)) {
      const response = new Response(body, init); // Throws if there is a body.
      this.#end("ended");
      return response;
    }
    if (!init.headers.has("Content-Type")) {
      init.headers.set(
        "Content-Type",
        body === undefined ? "text/event-stream" : "text/plain;charset=UTF-8",
      );
    }
    return new Response(new ReadableStream(this, { highWaterMark: 0 }), init);
  }

  start(controller: ReadableStreamDefaultController): void {
    this.#fail = (reason) => controller.error(reason);
  }

  async pull(
    controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): Promise<void> {
    const { done, value } = await this.#output.next();
    if (done) controller.close();
    else controller.enqueue(value as Uint8Array<ArrayBuffer>);
  }

  /** Called when the client cancels the body. */
  cancel(): void {
    this.#end("left");
  }

  #end(outcome: Outcome): void {
    if (this.record.outcome !== "open") return;
    this.record.outcome = outcome;
    openConnections.delete(this);
    this.#request.signal.removeEventListener("abort", this);
    clearTimeout(this.#timer);
    this.#resume?.();
    this.#output.return(undefined).catch(() => {});
  }
}

function isHead(step: Exclude<SseStep, string>): step is Head {
  return "status" in step || "headers" in step || "body" in step;
}

/** Throws if a step has another field, which would be ignored. */
function checkFields(step: object, fields: string[]): void {
  const other = Object.keys(step).find((name) => !fields.includes(name));
  check(other === undefined, `a step with only ${fields.join(", ")}`, other);
}
