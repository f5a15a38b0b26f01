/** Tests the programs of daemons.md with local servers. */
import {
  assert,
  assertEquals,
  assertIsError,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, SseError } from "../../mod.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { HttpServer, type ReceivedRequest } from "../support/http_server.ts";
import { microtasks } from "../support/microtasks.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { blockOf } from "./programs.ts";

const DONE = "data: [DONE]\n\n";
const end = () => new Response(null, { status: 204 });

/** Turns off `console.warn` and `console.error`, until disposed. */
function quiet() {
  const { warn, error } = console;
  console.warn = console.error = () => {};
  return {
    [Symbol.dispose]() {
      Object.assign(console, { warn, error });
    },
  };
}

/** Serves the events 1 to 3, two for each connection, and then 204. */
function threeEvents({ path, headers }: ReceivedRequest): Response {
  const seen = Number(headers.get("last-event-id") ?? 0);
  const event = (n: number) => `id: ${n}\ndata: ${path.slice(1)} ${n}\n\n`;
  if (seen === 3) return end();
  return eventResponse(
    "retry: 1\n\n" + event(seen + 1) + (seen < 2 ? event(seen + 2) : ""),
  );
}

/** Resolves when the health endpoint answers with this status. */
async function healthOf(
  { health }: { health: () => Response },
  status: number,
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  async function poll() {
    while (!stop) {
      const response = health();
      const body = await response.json();
      if (response.status === status) return body;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  let stop = false;
  try {
    return await deadline(poll(), `the status ${status}`);
  } finally {
    stop = true;
  }
}

const DAEMON = "startDaemon(";

Deno.test("daemons: the daemon follows each feed to its end and resumes after a restart", async () => {
  await using directory = await temporaryDirectory();
  await using server = new HttpServer(threeEvents);
  using _ = quiet();
  const { startDaemon } = await runBlock("daemons", DAEMON);
  const handled: string[] = [];
  const options = {
    feeds: { a: `${server.url}a`, b: `${server.url}b` },
    handle: ({ data }: { data: string }) => void handled.push(data),
    directory: directory.path,
    signal: new AbortController().signal,
  };
  const first = startDaemon(options);
  await deadline(first.stopped, "the end of both feeds");
  assertEquals(handled.sort(), ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"]);
  const { a } = await healthOf(first, 200);
  assertEquals([a.state, a.events, a.reconnects, a.restarts], [
    "ended",
    3,
    2,
    0,
  ]);

  const sent = server.requests.length;
  const second = startDaemon(options);
  await deadline(second.stopped, "the end of both feeds");
  assertEquals(
    server.requests.slice(sent).map((it) => it.headers.get("last-event-id")),
    ["3", "3"],
  );
  assertEquals(handled.length, 6);
});

Deno.test("daemons: an event whose handling fails arrives again after the restart of its feed", async () => {
  await using directory = await temporaryDirectory();
  await using server = new HttpServer(threeEvents);
  using _ = quiet();
  const { startDaemon } = await runBlock("daemons", DAEMON);
  const handled: string[] = [];
  let failures = 0;
  const daemon = startDaemon({
    feeds: { a: `${server.url}a` },
    handle({ id, data }: { id: string; data: string }) {
      if (id === "2" && failures++ === 0) throw new Error("no database");
      handled.push(data);
    },
    directory: directory.path,
    signal: new AbortController().signal,
    restartDelay: 1,
  });
  await deadline(daemon.stopped, "the end of the feed");
  assertEquals(handled, ["a 1", "a 2", "a 3"]);
  const { a } = await healthOf(daemon, 200);
  assertEquals(a.restarts, 1);
});

Deno.test("daemons: an error of a handler is printed even if the daemon is being stopped", async () => {
  await using directory = await temporaryDirectory();
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  using errors = logged("error");
  const { startDaemon } = await runBlock("daemons", DAEMON);
  const stop = new AbortController();
  const daemon = startDaemon({
    feeds: { a: server.url },
    handle() {
      stop.abort();
      throw new Error("no database");
    },
    directory: directory.path,
    signal: stop.signal,
  });
  await deadline(daemon.stopped, "the daemon to stop");
  assertEquals(errors.lines.map(([, error]) => String(error)), [
    "Error: no database",
  ]);
});

Deno.test("daemons: the health endpoint reports a feed that fails until it recovers", async () => {
  await using directory = await temporaryDirectory();
  const stream = new OpenResponse(":\n");
  const recovered = new OpenResponse(":\n");
  let isDown = true;
  await using server = new HttpServer(({ path }) =>
    path === "/good"
      ? stream.response
      : isDown
      ? new Response("Moved", { status: 404 })
      : recovered.response
  );
  using _ = quiet();
  const { startDaemon } = await runBlock("daemons", DAEMON);
  const stop = new AbortController();
  const daemon = startDaemon({
    feeds: { good: `${server.url}good`, bad: `${server.url}bad` },
    handle() {},
    directory: directory.path,
    signal: stop.signal,
    restartDelay: 20,
  });
  const { bad } = await healthOf(daemon, 503);
  assertEquals(bad.state, "failed");
  assertStringIncludes(bad.lastError, "404");
  isDown = false;
  await healthOf(daemon, 200);
  stop.abort();
  await deadline(daemon.stopped, "the daemon to stop");
});

Deno.test("daemons: the health endpoint reports a handler that hangs", async () => {
  await using directory = await temporaryDirectory();
  const stream = new OpenResponse("data: 1\n\n");
  await using server = new HttpServer(() => stream.response);
  const { startDaemon } = await runBlock("daemons", DAEMON);
  const stop = new AbortController();
  const called = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const daemon = startDaemon({
    feeds: { a: server.url },
    handle() {
      called.resolve();
      return promise;
    },
    directory: directory.path,
    signal: stop.signal,
    maxSilence: 20,
  });
  await deadline(called.promise, "a call of the handler");
  const { a } = await healthOf(daemon, 503);
  assertEquals([a.state, a.lastError], ["open", undefined]);
  stop.abort();
  resolve();
  await deadline(daemon.stopped, "the daemon to stop");
});

/** Writes a program of the guide to a file, with another URL for its feeds. */
async function writeProgram(directory: string, text: string, url: string) {
  const code = await blockOf("daemons", text);
  const file = `${directory}/program.ts`;
  await Deno.writeTextFile(
    file,
    code.replaceAll("https://example.com/", url).replace("8080", "0"),
  );
  return file;
}

/** Runs a program with these permissions in its directory. */
function runProgram(
  file: string,
  permissions: string[],
  env: Record<string, string> = {},
): Deno.ChildProcess {
  const importMap = import.meta.resolve("../offline/import_map.json");
  return new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, `--import-map=${importMap}`, file],
    cwd: file.replace(/[^/]*$/, ""),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Reads a stream. `until` returns the first line that contains a text. */
function linesOf(stream: ReadableStream<BufferSource>) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  return {
    async until(text: string): Promise<string> {
      while (!printed.includes(text)) {
        const { done, value } = await deadline(reader.read(), text);
        assert(!done, `The program ended: ${printed}`);
        printed += value;
      }
      return printed.split("\n").find((line) => line.includes(text))!;
    },
    cancel: () => reader.cancel(),
  };
}

Deno.test({
  name: "daemons: the program serves its health and stops at SIGTERM",
  ignore: Deno.build.os === "windows", // It has no SIGTERM.
  async fn() {
    await using directory = await temporaryDirectory();
    const event = "id: 7\ndata: hello\n\n";
    const streams = [new OpenResponse(event), new OpenResponse(event)];
    await using server = new HttpServer(
      () => streams[0].response,
      () => streams[1].response,
    );
    const file = await writeProgram(directory.path, DAEMON, server.url);
    await using child = runProgram(
      file,
      ["--allow-net", "--allow-read", "--allow-write"],
    );
    const lines = linesOf(child.stdout);
    const errors = linesOf(child.stderr);
    await lines.until("orders 7 hello");
    await lines.until("prices 7 hello");
    const listening = await errors.until("Listening on");
    const port = listening.match(/:(\d+)/)![1];
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assertEquals(response.status, 200);
    const health = await response.json();
    assertEquals(Object.keys(health), ["orders", "prices"]);
    assertEquals(health.orders.state, "open");

    child.kill("SIGTERM");
    const { code } = await deadline(child.status, "the program to end");
    await lines.cancel();
    await errors.cancel();
    assertEquals(code, 0);
    for (const name of ["orders", "prices"]) {
      const id = await Deno.readTextFile(`${directory.path}/state/${name}.id`);
      assertEquals(id, "7");
    }
  },
});

Deno.test("daemons: maxAttempts never ends a feed that sends one event per connection", async () => {
  let connections = 0;
  const attempts: number[] = [];
  const sse = await connectSse("http://localhost/", {
    fetch: () =>
      ++connections > 20 ? end() : eventResponse("retry: 0\ndata: 1\n\n"),
    reconnect: {
      maxAttempts: 2,
      onReconnect: ({ attempt }) => void attempts.push(attempt),
    },
  });
  const events = await Array.fromAsync(sse);
  assertEquals(events.length, 20);
  assertEquals(attempts, Array(20).fill(1));
});

/**
 * Reads a feed that sends a heartbeat and is cut after `ms`, until it fails or
 * there were ten connections. Returns the number of connections.
 */
async function connectionsCutAfter(ms: number): Promise<number> {
  using time = new FakeTime();
  let connections = 0;
  const sse = await connectSse("http://localhost/", {
    fetch() {
      if (++connections === 10) return end();
      const stream = new OpenResponse(":\n");
      setTimeout(() => stream.end(), ms);
      return stream.response;
    },
    reconnect: { maxAttempts: 2 },
  });
  let isOver = false;
  const reading = sse.next().then(() => {}, ({ code }) => {
    assertEquals(code, "reconnect-failed");
  }).finally(() => isOver = true);
  while (!isOver) {
    await microtasks(50);
    await time.nextAsync();
  }
  await reading;
  return connections;
}

Deno.test("daemons: a quiet connection resets maxAttempts if it stays open for longer than maxDelay", async () => {
  assertEquals(await connectionsCutAfter(20_000), 3);
  assertEquals(await connectionsCutAfter(60_000), 10);
});

/** Sends an event named `error` in each of the first connections. */
const failing = (connections: number) => (_: unknown, index: number) =>
  index < connections
    ? new OpenResponse("retry: 1\nevent: error\ndata: no database\n\n").response
    : eventResponse("id: 1\ndata: a\n\n" + DONE);

Deno.test("daemons: the client reconnects after an event that reports an error", async () => {
  using server = answer(failing(1));
  using output = logged();
  const { warn } = console;
  const warnings: string[] = [];
  console.warn = (text) => void warnings.push(text);
  try {
    await deadline(runBlock("daemons", "sse.reconnect(new Error"), "the end");
  } finally {
    console.warn = warn;
  }
  assertEquals(output.lines, [["1", "a"]]);
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0], "Attempt 1 in 1 ms: ");
  assertStringIncludes(warnings[0], "no database");
  assertEquals(server.requests.length, 2);
});

Deno.test("daemons: an event that reports an error after each request does not reset maxAttempts", async () => {
  let requests = 0;
  const attempts: number[] = [];
  const sse = await connectSse("http://localhost/", {
    fetch: (request) => failing(9)(request, requests++),
    until: "[DONE]",
    reconnect: {
      maxAttempts: 2,
      onReconnect({ attempt, error }) {
        assertEquals(error.code, "rejected");
        assertIsError(error.cause, Error, "no database");
        attempts.push(attempt);
      },
    },
  });
  const reading = async () => {
    for await (const { event, data } of sse) {
      if (event === "error") sse.reconnect(new Error(data));
    }
  };
  const error = await assertRejects(reading, SseError);
  assertEquals(error.code, "reconnect-failed");
  assertEquals([requests, attempts], [3, [1, 2]]);
});

Deno.test("daemons: sse.state is open, connecting after a failure, and closed at the end", async () => {
  const states: unknown[] = [];
  const stream = new OpenResponse("retry: 1\ndata: a\n\n");
  let requests = 0;
  const sse = await connectSse("http://localhost/", {
    fetch: () => requests++ === 0 ? stream.response : eventResponse(DONE),
    until: "[DONE]",
    reconnect: { onReconnect: () => void states.push(sse.state) },
  });
  states.push(sse.state);
  await dataOf(sse, 1);
  stream.fail(new Error("reset"));
  await sse.next();
  states.push(sse.state);
  assertEquals(states, ["open", "connecting", "closed"]);
});

Deno.test("daemons: only the cause of an error contains the query of the URL", async () => {
  const server = new HttpServer(end);
  await server[Symbol.asyncDispose]();
  const error = await assertRejects(
    () => connectSse(`${server.url}?token=secret`),
    SseError,
  );
  assert(!String(error).includes("secret"), String(error));
  assertStringIncludes(Deno.inspect(error), "secret");
});

Deno.test("daemons: the client that counts its attempts fails after 100 in an hour", async () => {
  using server = answer(() => eventResponse("retry: 0\ndata: 1\n\n"));
  using _ = logged();
  const error = await assertRejects(() => runBlock("daemons", "HOUR"));
  assertIsError(error, Error, "More than 100 reconnects");
  assertEquals((error.cause as SseError).code, "truncated");
  assertEquals(server.requests.length, 101);
});

Deno.test("daemons: false from shouldReconnect ends a feed without `until` as if complete", async () => {
  const options = {
    fetch: () => eventResponse("data: 1\n\n"),
    reconnect: { shouldReconnect: () => false },
  };
  const sse = await connectSse("http://localhost/", options);
  assertEquals((await Array.fromAsync(sse)).length, 1);

  const withEnd = await connectSse("http://localhost/", {
    ...options,
    until: "[DONE]",
  });
  await assertRejects(() => Array.fromAsync(withEnd), SseError, "the stream");
});

/**
 * Issues the tokens 1, 2, 3 …, and serves a stream to those that are accepted.
 */
function tokens(accepts: (token: number, index: number) => boolean) {
  let issued = 0;
  let index = 0;
  return answer(({ url, headers }) => {
    if (url.endsWith("/token")) {
      return Response.json({ access_token: ++issued });
    }
    const token = Number(headers.get("Authorization")?.split(" ")[1]);
    if (!accepts(token, index)) return new Response("Expired", { status: 401 });
    index++;
    return eventResponse(
      `retry: 1\nid: ${index}\ndata: ${headers.get("Last-Event-ID")}\n\n` +
        (index === 3 ? DONE : ""),
    );
  });
}

const TOKENS = "hasWorked = true";

Deno.test("daemons: the client continues the stream with a new token", async () => {
  // Each token is valid for one connection.
  using _ = tokens((token, index) => token === index + 1);
  using output = logged();
  await runBlock("daemons", TOKENS);
  assertEquals(output.lines, [["1", "null"], ["2", "1"], ["3", "2"]]);
});

Deno.test("daemons: the client throws if the first token or a new one is rejected", async () => {
  for (const accepted of [0, 1]) {
    using api = tokens((_, index) => index < accepted);
    using _ = logged();
    const error = await assertRejects(
      () => runBlock("daemons", TOKENS),
      SseError,
    );
    assertEquals(
      [error.code, error.response?.status, error.body],
      ["status", 401, "Expired"],
    );
    const tokenRequests = api.requests.filter(({ url }) =>
      url.endsWith("/token")
    );
    assertEquals(tokenRequests.length, accepted + 1);
  }
});

Deno.test("daemons: the client throws the error of the token server after a 401", async () => {
  let issued = 0;
  using _ = answer(({ url }) =>
    !url.endsWith("/token")
      ? issued === 1 && ++issued
        ? eventResponse("retry: 1\n\n")
        : new Response("Expired", { status: 401 })
      : issued++ === 0
      ? Response.json({ access_token: "1" })
      : new Response("Busy", { status: 503 })
  );
  const error = await assertRejects(() => runBlock("daemons", TOKENS));
  assertIsError(error, Error, "No token: 503");
});

Deno.test("daemons: the client uses a token until it expires", async () => {
  using api = answer(({ url }) =>
    url.endsWith("/token")
      ? Response.json({ access_token: "secret", expires_in: 60 })
      : eventResponse(
        api.requests.length < 4 ? "retry: 1\ndata: 1\n\n" : DONE,
      )
  );
  using _ = logged();
  await runBlock("daemons", "validUntil");
  assertEquals(
    api.requests.map(({ url }) => new URL(url).pathname),
    ["/token", "/events", "/events", "/events"],
  );
});

Deno.test("daemons: the client survives a token server that is down for a moment", async () => {
  // Each token has expired before the next attempt.
  let tokenRequests = 0;
  let connections = 0;
  using _ = answer(({ url }) => {
    if (!url.endsWith("/token")) {
      return eventResponse(
        ++connections === 1 ? "retry: 1\nid: 1\ndata: 1\n\n" : DONE,
      );
    }
    return ++tokenRequests === 2
      ? new Response("Busy", { status: 503 })
      : Response.json({ access_token: tokenRequests, expires_in: 0 });
  });
  using output = logged();
  await runBlock("daemons", "validUntil");
  assertEquals(output.lines, [["1", "1"]]);
  assertEquals([tokenRequests, connections], [3, 2]);
});

// deno-lint-ignore no-explicit-any
type Exported = any;

/** Receives what OpenTelemetry exports, as JSON. */
class Collector extends HttpServer {
  readonly spans: Exported[];
  readonly metrics: Exported[];
  #waiting: Set<() => void>;

  constructor() {
    const spans: Exported[] = [];
    const metrics: Exported[] = [];
    const waiting = new Set<() => void>();
    super(({ path, body }) => {
      const exported = JSON.parse(body);
      const of = (name: string) =>
        (exported[`resource${name}`] ?? []).flatMap((it: Exported) =>
          it[`scope${name}`]
        );
      if (path === "/v1/traces") {
        for (const { spans: all } of of("Spans")) spans.push(...all);
      }
      if (path === "/v1/metrics") {
        for (const { metrics: all } of of("Metrics")) metrics.push(...all);
      }
      for (const wake of waiting) wake();
      return Response.json({});
    });
    this.spans = spans;
    this.metrics = metrics;
    this.#waiting = waiting;
  }

  /** Returns the spans with this name, when there are `count` of them. */
  async spansNamed(name: string, count: number): Promise<Exported[]> {
    const { promise, resolve } = Promise.withResolvers<Exported[]>();
    const check = () => {
      const found = this.spans.filter((span) => span.name === name);
      if (found.length >= count) resolve(found);
    };
    this.#waiting.add(check);
    check();
    try {
      return await deadline(promise, `${count} spans "${name}"`, 10);
    } finally {
      this.#waiting.delete(check);
    }
  }

  /** The sum of the newest data points of a counter. */
  sum(name: string): number | undefined {
    const points = this.metrics.findLast((it) => it.name === name)?.sum
      ?.dataPoints;
    return points?.reduce(
      (sum: number, { asInt, asDouble }: Exported) =>
        sum + Number(asInt ?? asDouble),
      0,
    );
  }
}

Deno.test("daemons: the span of fetch ends at the headers, and the program's spans cover the stream", async () => {
  await using directory = await temporaryDirectory();
  await using collector = new Collector();
  const stream = new OpenResponse("id: 2\ndata: two\n\n");
  await using server = new HttpServer(
    () => eventResponse("retry: 1\nid: 1\ndata: one\n\n"),
    () => stream.response,
    end,
  );
  const file = await writeProgram(directory.path, "startSpan", server.url);
  await using child = runProgram(file, ["--allow-net"], {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url.slice(0, -1),
    OTEL_BSP_SCHEDULE_DELAY: "10",
  });
  const output = child.output();
  await server.request(1);
  // The stream of the second request is open, and its span has been exported.
  const fetches = await collector.spansNamed("GET", 2);
  assertEquals(fetches.length, 2);
  const [lost] = await collector.spansNamed("feed connection", 1);
  assertEquals(collector.spans.length, 3);
  const attribute = (name: string) =>
    lost.attributes.find(({ key }: { key: string }) => key === name)?.value
      .stringValue;
  assertEquals(attribute("error.type"), "truncated");
  assertEquals(attribute("url.full"), `${server.url}orders`);
  assertEquals(lost.status.code, 2);

  stream.end();
  const { code, stdout, stderr } = await deadline(output, "the end", 10);
  const decoder = new TextDecoder();
  assertEquals(decoder.decode(stderr), "");
  assertEquals(decoder.decode(stdout), "one\ntwo\n");
  assertEquals(code, 0);
  await collector.spansNamed("feed connection", 2);
  assertEquals(collector.sum("feed.events"), 2);
  assertEquals(collector.sum("feed.reconnects"), 2);
});
