/** Tests the guides' client code with different server responses. */
import { assertEquals, assertIsError, assertRejects } from "@std/assert";
import { SseError } from "../../mod.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { eventResponse } from "../support/open_response.ts";

function chunks(...values: unknown[]): string {
  return values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("");
}

const DONE = "data: [DONE]\n\n";
const busy = () =>
  new Response("Busy", { status: 503, headers: { "Retry-After": "0" } });
const token = (content: string) => ({ choices: [{ delta: { content } }] });

const CHAT = "Greet the world.";

Deno.test("llm_chat: the client retries a busy API until the answer starts", async () => {
  using api = answer((_, index) =>
    [
      eventResponse("retry: 1\n\n"),
      busy(),
      eventResponse(
        chunks(token("Hel"), token("lo"), { choices: [] }) + DONE,
      ),
    ][index]
  );
  using output = logged();
  await runBlock("llm_chat", CHAT);
  assertEquals(output.lines, [["Hello"]]);
  const bodies = await Promise.all(api.requests.map((it) => it.json()));
  assertEquals(bodies.map(({ stream }) => stream), [true, true, true]);
});

Deno.test("llm_chat: the client throws without a retry if the answer is truncated", async () => {
  using api = answer(() => eventResponse(chunks(token("Hel"))));
  const error = await assertRejects(() => runBlock("llm_chat", CHAT), SseError);
  assertEquals(error.code, "truncated");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: the client throws the message of an error in the stream", async () => {
  using api = answer(() =>
    eventResponse(chunks({ error: { message: "Overloaded" } }))
  );
  const error = await assertRejects(() => runBlock("llm_chat", CHAT));
  assertIsError(error, Error, "Overloaded");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: the client assembles tool calls from their fragments", async () => {
  const call = (...tool_calls: unknown[]) => ({
    choices: [{ delta: { tool_calls } }],
  });
  using _ = answer(() =>
    eventResponse(
      chunks(
        { choices: [{ delta: { role: "assistant", content: null } }] },
        call({ index: 0, id: "a", function: { name: "add", arguments: "" } }),
        call({ index: 0, function: { arguments: '{"a": 1,' } }),
        call({ index: 1, id: "b", function: { name: "now", arguments: "" } }),
        call({ index: 0, function: { arguments: ' "b": 2}' } }),
        { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
      ) + DONE,
    )
  );
  using output = logged();
  await runBlock("llm_chat", "tool_calls");
  assertEquals(output.lines, [["add", { a: 1, b: 2 }], ["now", {}]]);
});

const MCP = "callTool";

Deno.test("mcp: the client calls the tool once and resumes its answer", async () => {
  using server = answer((_, index) =>
    [
      eventResponse("id: 1\nretry: 1\ndata:\n\n"),
      eventResponse(
        `id: 2 ☃\ndata: ${JSON.stringify({ method: "progress" })}\n\n`,
      ),
      eventResponse(chunks({ id: 1, result: 42 })),
    ][index]
  );
  using output = logged();
  await runBlock("mcp", MCP);
  assertEquals(output.lines, [["progress", undefined], [42]]);
  const { requests } = server;
  assertEquals(requests.map(({ method }) => method), ["POST", "GET", "GET"]);
  assertEquals(requests[1].headers.get("Last-Event-ID"), "1");
  assertEquals(
    requests[2].headers.get("Mcp-Session-Id"),
    "from the answer to initialize",
  );
});

Deno.test("mcp: the client throws without another call if the stream ends without an ID", async () => {
  using server = answer(() => eventResponse(chunks({ method: "progress" })));
  using _ = logged();
  const error = await assertRejects(() => runBlock("mcp", MCP));
  assertIsError(error, Error, "without an answer");
  assertEquals(server.requests.length, 1);
});

Deno.test("mcp: the client accepts a JSON response instead of a stream", async () => {
  using _ = answer(() => Response.json({ id: 1, result: "at once" }));
  using output = logged();
  await runBlock("mcp", MCP);
  assertEquals(output.lines, [["at once"]]);
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

Deno.test("tokens_that_expire: the client continues the stream with a new token", async () => {
  // Each token is valid for one connection.
  using _ = tokens((token, index) => token === index + 1);
  using output = logged();
  await runBlock("tokens_that_expire", TOKENS);
  assertEquals(output.lines, [["1", "null"], ["2", "1"], ["3", "2"]]);
});

Deno.test("tokens_that_expire: the client throws if the first token or a new one is rejected", async () => {
  for (const accepted of [0, 1]) {
    using api = tokens((_, index) => index < accepted);
    using _ = logged();
    const error = await assertRejects(
      () => runBlock("tokens_that_expire", TOKENS),
      SseError,
    );
    assertEquals([error.code, error.body], ["status", "Expired"]);
    const tokenRequests = api.requests.filter(({ url }) =>
      url.endsWith("/token")
    );
    assertEquals(tokenRequests.length, accepted + 1);
  }
});

Deno.test("tokens_that_expire: the client reuses a token until it expires", async () => {
  using api = answer(({ url }) =>
    url.endsWith("/token")
      ? Response.json({ access_token: "secret", expires_in: 60 })
      : eventResponse(
        api.requests.length < 4 ? "retry: 1\ndata: 1\n\n" : DONE,
      )
  );
  using _ = logged();
  await runBlock("tokens_that_expire", "goodUntil");
  assertEquals(
    api.requests.map(({ url }) => new URL(url).pathname),
    ["/token", "/events", "/events", "/events"],
  );
});
