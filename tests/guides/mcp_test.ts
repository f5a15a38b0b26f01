/** Tests the programs of mcp.md against servers of the MCP SDK, and mcp.ts. */
import {
  assert,
  assertEquals,
  assertIsError,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  createMcpHandler,
  McpServer,
} from "npm:@modelcontextprotocol/server@2.4.0";
import { z } from "npm:zod@4.6.7";
import { connectSse, SseError } from "../../mod.ts";
import { McpServer as OlderMcpServer } from "../sdk/mcp_sdk.ts";
import { registerInterruptedAdd, serve } from "../sdk/mcp_server.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { run } from "../support/run_example.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

const URL_OF_SERVER = "https://example.com/mcp";
const info = { name: "test", version: "1.0.0" };

const events = (...messages: unknown[]) =>
  messages.map((it) => `data: ${JSON.stringify(it)}\n\n`).join("");
const result = (id: number, text: string) => ({
  jsonrpc: "2.0",
  id,
  result: { content: [{ type: "text", text }], resultType: "complete" },
});
const progress = { jsonrpc: "2.0", method: "notifications/progress" };

// Revision 2026-07-28.

const NEW = '"tools/call",\n          params';

/** Returns a handler of the SDK with a tool that reports its progress or not. */
function newServer() {
  let calls = 0;
  const handler = createMcpHandler(() => {
    const mcp = new McpServer(info);
    mcp.registerTool(
      "add",
      {
        inputSchema: z.object({
          a: z.number(),
          b: z.number(),
          steps: z.number(),
        }),
      },
      async ({ a, b, steps }, { mcpReq }) => {
        calls++;
        for (let step = 1; step <= steps; step++) {
          await mcpReq.notify({
            method: "notifications/progress",
            params: {
              progressToken: mcpReq._meta!.progressToken!,
              progress: step,
            },
          });
        }
        return { content: [{ type: "text", text: String(a + b) }] };
      },
    );
    return mcp;
  });
  return {
    handler,
    get calls() {
      return calls;
    },
  };
}

Deno.test("mcp: the client of 2026-07-28 calls a tool of an SDK server that answers with a stream or with JSON", async () => {
  const { callTool } = await runBlock("mcp", NEW);
  const { handler } = newServer();
  const types: (string | null)[] = [];
  using _ = answer(async (request) => {
    const response = await handler.fetch(request);
    types.push(response.headers.get("Content-Type"));
    return response;
  });
  using output = logged("error");
  for (const steps of [2, 0]) {
    const { content } = await callTool(URL_OF_SERVER, "add", {
      a: 1,
      b: 2,
      steps,
    });
    assertEquals(content, [{ type: "text", text: "3" }]);
  }
  assertEquals(types, ["text/event-stream", "application/json"]);
  assertEquals(
    output.lines,
    [1, 2].map((step) => [
      "notifications/progress",
      { progressToken: 1, progress: step },
    ]),
  );
  await handler.close();
});

Deno.test("mcp: the client of 2026-07-28 throws the protocol errors of an SDK server", async () => {
  const { callTool } = await runBlock("mcp", NEW);
  const { handler } = newServer();
  const statuses: number[] = [];
  let change = (_headers: Headers) => {};
  using _ = answer(async (request) => {
    const headers = new Headers(request.headers);
    change(headers);
    const response = await handler.fetch(new Request(request, { headers }));
    statuses.push(response.status);
    return response;
  });
  const unknown = await assertRejects(() =>
    callTool(URL_OF_SERVER, "unknown", {})
  );
  assertIsError(unknown, Error, "Tool unknown not found (-32602)");
  change = (headers) => headers.set("Mcp-Name", "other");
  const mismatch = await assertRejects(() =>
    callTool(URL_OF_SERVER, "add", {})
  );
  assertIsError(mismatch, Error, "(-32020)");
  assertEquals(statuses, [200, 400]);
  await handler.close();
});

Deno.test("mcp: the client of 2026-07-28 sends a lost call again only if maxCalls allows it, with a new id", async () => {
  const { callTool } = await runBlock("mcp", NEW);
  using _output = logged("error");
  const lost = () => eventResponse("retry: 1\n" + events(progress));
  {
    using server = answer(lost);
    const call = deadline(callTool(URL_OF_SERVER, "add", {}), "the error");
    const error = await assertRejects(() => call, SseError);
    assertEquals(error.code, "truncated");
    assertEquals(server.requests.length, 1);
  }
  {
    using server = answer(() => Promise.reject(new TypeError("reset")));
    const error = await assertRejects(
      () => callTool(URL_OF_SERVER, "add", {}),
      SseError,
    );
    assertEquals(error.code, "network");
    assertEquals(server.requests.length, 1);
  }
  {
    const { handler } = newServer();
    using server = answer((request, index) =>
      index < 2 ? lost() : handler.fetch(request)
    );
    const args = { a: 1, b: 2, steps: 1 };
    const { content } = await callTool(URL_OF_SERVER, "add", args, 3);
    assertEquals(content[0].text, "3");
    const bodies = await Promise.all(server.requests.map((it) => it.json()));
    assertEquals(bodies.map(({ id }) => id - bodies[0].id), [0, 1, 2]);
    await handler.close();
  }
  using server = answer(lost);
  const call = deadline(callTool(URL_OF_SERVER, "add", {}, 3), "the error");
  await assertRejects(() => call, SseError);
  assertEquals(server.requests.length, 3);
});

Deno.test("mcp: the client of 2026-07-28 throws if the server needs an answer of the user", async () => {
  const { callTool } = await runBlock("mcp", NEW);
  using _ = answer(async (request) => {
    const { id } = await request.json();
    return Response.json({ id, result: { resultType: "input_required" } });
  });
  await assertRejects(
    () => callTool(URL_OF_SERVER, "add", {}),
    Error,
    "Unknown type of result: input_required",
  );
});

Deno.test("mcp: an SDK server of 2026-07-28 cancels a call when the connection closes", async () => {
  const cancelled = Promise.withResolvers<void>();
  const handler = createMcpHandler(() => {
    const mcp = new McpServer(info);
    mcp.registerTool("wait", {}, async ({ mcpReq }) => {
      mcpReq.signal.addEventListener("abort", () => cancelled.resolve());
      await mcpReq.notify({
        method: "notifications/progress",
        params: { progressToken: 1, progress: 1 },
      });
      await cancelled.promise;
      return { content: [] };
    });
    return mcp;
  }, { keepAliveMs: 0 });
  const sse = await connectSse(newRequest("tools/call", { name: "wait" }), {
    fetch: handler.fetch,
  });
  const { value } = await sse.next();
  assertEquals(value?.json<{ method: string }>().method, progress.method);
  assertEquals(value?.id, ""); // Events of this revision have no ids.
  await sse.close();
  await deadline(cancelled.promise, "the call to be canceled");
  await handler.close();
});

Deno.test("mcp: close() stops the reading of a JSON answer, and the signal does not", async () => {
  const headers = { "content-type": "application/json" };
  const answers = [1, 2].map(() => new OpenResponse('{"id": 1', { headers }));
  await using server = new HttpServer(
    () => answers[0].response,
    () => answers[1].response,
  );
  const controller = new AbortController();
  const { signal } = controller;
  const first = await connectSse(server.url, { signal });
  controller.abort();
  answers[0].send("}");
  answers[0].end();
  assertEquals(await first.response.json(), { id: 1 });

  const second = await connectSse(server.url);
  const stopped = assertRejects(() => second.response.json());
  await second.close();
  await deadline(stopped, "the error");
  await answers[1].cancelled;
});

/** Returns a request of the revision 2026-07-28, or of another version. */
function newRequest(
  method: string,
  params: { name?: string },
  version = "2026-07-28",
): Request {
  return new Request(URL_OF_SERVER, {
    method: "POST",
    headers: {
      "Accept": "application/json, text/event-stream",
      "Content-Type": "application/json",
      "MCP-Protocol-Version": version,
      "Mcp-Method": method,
      ...(params.name === undefined ? {} : { "Mcp-Name": params.name }),
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": version,
          "io.modelcontextprotocol/clientCapabilities": {},
          progressToken: 1,
        },
      },
    }),
  });
}

Deno.test("mcp: the first program runs as a command", async () => {
  await using server = new HttpServer(({ body }) =>
    Response.json(result(JSON.parse(body).id, "3"))
  );
  await using directory = await temporaryDirectory();
  const guide = new URL("../../examples/guides/mcp.md", import.meta.url);
  const blocks = (await Deno.readTextFile(guide)).matchAll(
    /^```ts\n(.*?)^```$/gms,
  );
  const [block] = [...blocks].map(([, code]) => code).filter((code) =>
    code.includes("import.meta.main")
  );
  await Deno.writeTextFile(`${directory.path}/mcp.ts`, block);
  const imports = { "@x/sse": import.meta.resolve("../../mod.ts") };
  const map = encodeURIComponent(JSON.stringify({ imports }));
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net",
      `--import-map=data:application/json,${map}`,
      `${directory.path}/mcp.ts`,
      server.url,
      "add",
      '{"a": 1, "b": 2}',
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stderr: "null",
  }).output();
  assertEquals(code, 0);
  assertStringIncludes(new TextDecoder().decode(stdout), 'text: "3"');
  const { params } = JSON.parse((await server.request()).body);
  assertEquals([params.name, params.arguments], ["add", { a: 1, b: 2 }]);
});

// Revision 2025-11-25.

const OLD = '"notifications/initialized"';

/**
 * Answers requests to open and to close a session. Passes others to `call`,
 * with their index from 0.
 */
function oldServer(call: (request: Request, index: number) => Response) {
  let calls = 0;
  return answer(async (request) => {
    if (request.method === "DELETE") return new Response(null, { status: 204 });
    if (request.method === "GET") return call(request, calls++);
    const { id, method } = await request.clone().json();
    if (method === "initialize") {
      return Response.json(
        { id, result: { protocolVersion: "2025-11-25" } },
        { headers: { "Mcp-Session-Id": "session-1" } },
      );
    }
    return id === undefined
      ? new Response(null, { status: 202 })
      : call(request, calls++);
  });
}

Deno.test("mcp: the client of 2025-11-25 resumes the answer of an SDK server that closes the stream during a call", async () => {
  const { callTool } = await runBlock("mcp", OLD);
  const mcp = new OlderMcpServer(info);
  const add = registerInterruptedAdd(mcp);
  await using server = await serve(mcp);
  using output = logged("error");
  const { content } = await callTool(server.url, "add", { a: 1, b: 2 });
  assertEquals(content, [{ type: "text", text: "3" }]);
  assertEquals(output.lines.length, 2);
  assertEquals(add.calls, 1);
  assertEquals(
    server.requests.map(({ method, headers }) => [
      method,
      headers.get("mcp-session-id"),
      headers.has("last-event-id"),
    ]),
    [
      ["POST", null, false],
      ["POST", "session-1", false],
      ["POST", "session-1", false],
      ["GET", "session-1", true],
      ["DELETE", "session-1", false],
    ],
  );
});

const primers = {
  "an event with empty data": "retry: 1\nid: 1\ndata:\n\n",
  "an id: block without data": "retry: 1\nid: 1\n\n",
};
for (const [what, primer] of Object.entries(primers)) {
  Deno.test(`mcp: the client of 2025-11-25 resumes after ${what}, and calls the tool once`, async () => {
    const { callTool } = await runBlock("mcp", OLD);
    using server = oldServer((_, index) =>
      [
        eventResponse(primer),
        new Response("Wait", { status: 503, headers: { "Retry-After": "0" } }),
        eventResponse(`id: 2 ☃\n${events(progress)}`),
        // A request of the server with the id of the client's request.
        eventResponse(events({ id: 2, method: "ping" }, result(2, "3"))),
      ][index]
    );
    using output = logged("error");
    const { content } = await callTool(URL_OF_SERVER, "add", {});
    assertEquals(content[0].text, "3");
    assertEquals(output.lines.map(([method]) => method), [
      "notifications/progress",
      "ping",
    ]);
    const sent = server.requests.slice(2).map(({ method, headers }) => [
      method,
      headers.get("Last-Event-ID") && headers.get("Mcp-Session-Id"),
    ]);
    assertEquals(sent, [
      ["POST", null],
      ...Array(3).fill(["GET", "session-1"]),
      ["DELETE", null],
    ]);
    assertEquals(server.requests[3].headers.get("Last-Event-ID"), "1");
    assertEquals(server.requests[4].headers.get("Last-Event-ID"), "1");
  });
}

Deno.test("mcp: the client of 2025-11-25 does not call the tool again if the stream has no id", async () => {
  const { callTool } = await runBlock("mcp", OLD);
  using _output = logged("error");
  const lost: [() => Response, string][] = [
    [() => eventResponse(events(progress)), "without an answer to tools/call"],
    [
      () => {
        throw new TypeError("reset");
      },
      "reset",
    ],
    [() => new Response("Busy", { status: 503 }), "503"],
  ];
  for (const [response, expected] of lost) {
    using server = oldServer(response);
    const call = deadline(callTool(URL_OF_SERVER, "add", {}), "the error");
    await assertRejects(() => call, Error, expected);
    assertEquals(server.requests.slice(2).map(({ method }) => method), [
      "POST",
      "DELETE",
    ]);
  }
});

Deno.test("mcp: the client of 2025-11-25 accepts JSON, and throws JSON-RPC errors and the status of an expired session", async () => {
  const { callTool } = await runBlock("mcp", OLD);
  {
    using _ = oldServer(() => Response.json(result(2, "3")));
    const { content } = await callTool(URL_OF_SERVER, "add", {});
    assertEquals(content[0].text, "3");
  }
  {
    const error = { code: -32602, message: "No such tool" };
    using _ = oldServer(() => eventResponse(events({ id: 2, error })));
    await assertRejects(
      () => callTool(URL_OF_SERVER, "add", {}),
      Error,
      "No such tool (-32602)",
    );
  }
  using server = oldServer((_, index) =>
    index === 0
      ? eventResponse("retry: 1\nid: 1\n\n")
      : new Response("Expired", { status: 404 })
  );
  const error = await assertRejects(
    () => callTool(URL_OF_SERVER, "add", {}),
    SseError,
  );
  assertEquals([error.code, error.response?.status], ["status", 404]);
  assertEquals(server.requests.length, 5);
});

Deno.test("mcp: both clients throw if the answer is JSON without a result", async () => {
  const refusal = () =>
    Response.json({ detail: "Who are you?" }, { status: 401 });
  for (const [block, serve] of [[NEW, answer], [OLD, oldServer]] as const) {
    const { callTool } = await runBlock("mcp", block);
    using _ = serve(refusal);
    const call = () => callTool(URL_OF_SERVER, "add", {});
    await assertRejects(call, Error, "Who are you?");
  }
});

Deno.test("mcp: the client of 2025-11-25 returns the result if the session cannot be closed", async () => {
  const { callTool } = await runBlock("mcp", OLD);
  using log = logged("error");
  using _ = answer(async (request) => {
    if (request.method === "DELETE") throw new TypeError("reset");
    const { id } = await request.json();
    if (id === undefined) return new Response(null, { status: 202 });
    const init = { headers: { "Mcp-Session-Id": "session-1" } };
    return id === 1
      ? Response.json({ id, result: { protocolVersion: "2025-11-25" } }, init)
      : Response.json(result(2, "3"));
  });
  const { content } = await callTool(URL_OF_SERVER, "add", {});
  assertEquals(content[0].text, "3");
  assertStringIncludes(String(log.lines), "reset");
});

Deno.test("mcp: the client of 2025-11-25 works without a session, also with an SDK server of 2026-07-28", async () => {
  const { callTool } = await runBlock("mcp", OLD);
  const { handler } = newServer();
  const responses: Response[] = [];
  using server = answer(async (request) => {
    const response = await handler.fetch(request);
    responses.push(response.clone());
    return response;
  });
  using _output = logged("error");
  const { content } = await callTool(URL_OF_SERVER, "add", {
    a: 1,
    b: 2,
    steps: 1,
  });
  assertEquals(content, [{ type: "text", text: "3" }]);
  const texts = await Promise.all(responses.map((it) => it.text()));
  assertStringIncludes(texts[2], "notifications/progress");
  assert(!/^id/m.test(texts.join("")), "The events have no ids");
  assertEquals(
    server.requests.map(({ method, headers }) => [
      method,
      headers.has("Mcp-Session-Id"),
    ]),
    Array(3).fill(["POST", false]),
  );
  const get = await handler.fetch(
    new Request(URL_OF_SERVER, { headers: { Accept: "text/event-stream" } }),
  );
  await get.body?.cancel();
  assertEquals(get.status, 405);
  await handler.close();
});

Deno.test("mcp: the answers to a request of 2026-07-28 show the revision of a server", async () => {
  const modern = [-32020, -32021, -32022];
  const { handler } = newServer();
  const newer = await handler.fetch(
    newRequest("tools/call", { name: "add" }, "1900-01-01"),
  );
  assertEquals(newer.status, 400);
  const { error } = await newer.json();
  assertEquals(error.code, -32022);
  assert(error.data.supported.includes("2026-07-28"));
  await handler.close();

  await using server = await serve(new OlderMcpServer(info));
  const older = await fetch(
    new Request(server.url, newRequest("tools/call", { name: "add" })),
  );
  assertEquals(older.status, 400);
  const body = await older.json();
  assert(!modern.includes(body.error.code), JSON.stringify(body));
});

// Streams without a call.

Deno.test("mcp: the subscription reloads the tools at each change and after each reconnect, until the server ends it", async () => {
  const { watchTools } = await runBlock("mcp", "subscriptions/acknowledged");
  const { handler } = newServer();
  using server = answer((request, index) =>
    index === 0
      ? eventResponse(
        "retry: 1\n" +
          events({ method: "notifications/subscriptions/acknowledged" }),
      )
      : handler.fetch(request)
  );
  const reloads = Array.from(
    { length: 3 },
    () => Promise.withResolvers<void>(),
  );
  let reloaded = 0;
  const watching = watchTools(
    URL_OF_SERVER,
    () => reloads[reloaded++].resolve(),
  );
  await deadline(reloads[1].promise, "the reload after the reconnect");
  handler.notify.toolsChanged();
  await deadline(reloads[2].promise, "the reload after the change");
  await handler.close();
  await deadline(watching, "the end of the subscription");
  const bodies = await Promise.all(server.requests.map((it) => it.json()));
  assertEquals(bodies.map(({ id }) => id), [1, 2]);
  assertEquals(
    server.requests.map(({ headers }) => headers.get("Last-Event-ID")),
    [null, null],
  );
});

Deno.test("mcp: the subscription throws the server's error, and the reason of an abort", async () => {
  const { watchTools } = await runBlock("mcp", "subscriptions/acknowledged");
  const error = { code: -32603, message: "Subscription limit reached" };
  {
    using _ = answer(() => eventResponse(events({ id: 1, error })));
    await assertRejects(
      () => watchTools(URL_OF_SERVER, () => {}),
      Error,
      "Subscription limit reached (-32603)",
    );
  }
  const stream = new OpenResponse();
  using _ = answer(() => stream.response);
  const controller = new AbortController();
  const watching = watchTools(URL_OF_SERVER, () => {}, controller.signal);
  controller.abort(new Error("enough"));
  await assertRejects(() => watching, Error, "enough");
});

/** Opens a session of the revision 2025-11-25. Returns its headers. */
async function openSession(url: string) {
  const headers = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
  };
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: info,
  };
  const initialized = await fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 0,
      method: "initialize",
      params,
    }),
  });
  await initialized.text();
  const sessionId = initialized.headers.get("Mcp-Session-Id")!;
  return { ...headers, "Mcp-Session-Id": sessionId };
}

Deno.test("mcp: an SDK server of 2025-11-25 continues a call when the connection closes, and cancels it after notifications/cancelled", async () => {
  const mcp = new OlderMcpServer(info);
  let finish = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  mcp.registerTool("wait", {}, async ({ signal, sendNotification }) => {
    signal.addEventListener("abort", () => cancelled.resolve());
    await sendNotification({
      method: "notifications/progress",
      params: { progressToken: 1, progress: 1 },
    });
    await Promise.race([finish.promise, cancelled.promise]);
    return { content: [{ type: "text", text: "finished" }] };
  });
  await using server = await serve(mcp);
  const headers = await openSession(server.url);
  const post = (message: unknown) => ({
    method: "POST",
    headers,
    body: JSON.stringify(message),
  });
  const call = (id: number) =>
    post({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: "wait", arguments: {} },
    });

  const first = await connectSse(server.url, call(1));
  while ((await first.next()).value?.data === "");
  await first.close();
  finish.resolve();
  const resumed = await connectSse(server.url, {
    headers,
    lastEventId: first.lastEventId,
  });
  const { value } = await deadline(resumed.next(), "the result");
  assertStringIncludes(value!.data, "finished");
  await resumed.close();

  finish = Promise.withResolvers();
  const second = await connectSse(server.url, call(2));
  const notified = await fetch(
    server.url,
    post({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: 2 },
    }),
  );
  await notified.body?.cancel();
  await deadline(cancelled.promise, "the call to be canceled");
  await second.close();
});

Deno.test("mcp: the GET stream of 2025-11-25 receives the notifications of an SDK server", async () => {
  const { listen } = await runBlock(
    "mcp",
    "onMessage(event.json());\n  }\n}\n",
  );
  const mcp = new OlderMcpServer(info, {
    capabilities: { tools: { listChanged: true } },
  });
  await using server = await serve(mcp);
  const { "Mcp-Session-Id": sessionId } = await openSession(server.url);
  const controller = new AbortController();
  const message = Promise.withResolvers<{ method: string }>();
  const { signal } = controller;
  const listening = listen(server.url, sessionId, message.resolve, signal);
  listening.catch(message.reject);
  await server.request(1);
  await mcp.server.sendToolListChanged();
  const { method } = await deadline(message.promise, "a message");
  assertEquals(method, "notifications/tools/list_changed");
  controller.abort(new Error("enough"));
  await assertRejects(() => listening, Error, "enough");
});

Deno.test("mcp: the GET stream of 2025-11-25 resumes, and throws status 405", async () => {
  const { listen } = await runBlock(
    "mcp",
    "onMessage(event.json());\n  }\n}\n",
  );
  {
    using server = answer((_, index) =>
      [
        eventResponse("retry: 1\nid: 7\ndata:\n\n"),
        eventResponse(`id: 8\n${events(progress)}`),
        new Response(null, { status: 204 }),
      ][index]
    );
    const messages: unknown[] = [];
    await listen(URL_OF_SERVER, "s", (it: unknown) => messages.push(it));
    assertEquals(messages, [progress]);
    assertEquals(
      server.requests.map(({ headers }) => headers.get("Last-Event-ID")),
      [null, "7", "8"],
    );
  }
  using server = answer(() => new Response(null, { status: 405 }));
  const error = await assertRejects(
    () => listen(URL_OF_SERVER, "s", () => {}),
    SseError,
  );
  assertEquals([error.code, error.response?.status], ["status", 405]);
  assertEquals(server.requests.length, 1);
});

Deno.test("mcp: readSse returns the id and the delay for the request that continues the stream", async () => {
  using server = answer(() => eventResponse(events(result(1, "3"))));
  using output = logged();
  await runBlock("mcp", "readSse");
  assertEquals(output.lines, [[{ method: "ping" }], [result(1, "3")]]);
  assertEquals(
    server.requests.map(({ headers }) => headers.get("Last-Event-ID")),
    ["1"],
  );
});

Deno.test("mcp.ts resumes after an id: block without data, and calls the tool once", async () => {
  await using server = new HttpServer(
    ({ body }) =>
      Response.json({
        id: JSON.parse(body).id,
        result: { protocolVersion: "2025-11-25" },
      }),
    () => new Response(null, { status: 202 }),
    () => eventResponse("retry: 1\nid: 1\n\n"),
    () => eventResponse(events(result(2, "3"))),
  );
  const { code, stdout } = await run("mcp.ts", [server.url, "add"]);
  assertEquals([code, stdout], [0, "3\n"]);
  // The server has no sessions, so there is none to close.
  assertEquals(
    server.requests.map(({ method, headers }) => [
      method,
      headers.get("last-event-id"),
    ]),
    [["POST", null], ["POST", null], ["POST", null], ["GET", "1"]],
  );
});
