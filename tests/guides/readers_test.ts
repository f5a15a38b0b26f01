/** Blocks of the guides that read, against what their servers may do. */
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

Deno.test("llm_chat: a busy API is asked again, until its answer begins", async () => {
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

Deno.test("llm_chat: half an answer is no answer, and is not asked for again", async () => {
  using api = answer(() => eventResponse(chunks(token("Hel"))));
  const error = await assertRejects(() => runBlock("llm_chat", CHAT), SseError);
  assertEquals(error.code, "truncated");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: an error in the stream throws what it says", async () => {
  using api = answer(() =>
    eventResponse(chunks({ error: { message: "Overloaded" } }))
  );
  const error = await assertRejects(() => runBlock("llm_chat", CHAT));
  assertIsError(error, Error, "Overloaded");
  assertEquals(api.requests.length, 1);
});

Deno.test("llm_chat: tool calls are put together from their pieces", async () => {
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

Deno.test("mcp: the tool is called once, and its answer gone on with", async () => {
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

Deno.test("mcp: without an id the tool is not called again", async () => {
  using server = answer(() => eventResponse(chunks({ method: "progress" })));
  using _ = logged();
  const error = await assertRejects(() => runBlock("mcp", MCP));
  assertIsError(error, Error, "without an answer");
  assertEquals(server.requests.length, 1);
});

Deno.test("mcp: an answer without a stream is taken", async () => {
  using _ = answer(() => Response.json({ id: 1, result: "at once" }));
  using output = logged();
  await runBlock("mcp", MCP);
  assertEquals(output.lines, [["at once"]]);
});

/** Gives token 1, 2, 3 … */
function tokens(accepts: (token: number, index: number) => boolean) {
  let given = 0;
  let index = 0;
  return answer(({ url, headers }) => {
    if (url.endsWith("/token")) {
      return Response.json({ access_token: ++given });
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

Deno.test("tokens_that_expire: the stream goes on with a fresh one", async () => {
  // Each token is good for one connection.
  using _ = tokens((token, index) => token === index + 1);
  using output = logged();
  await runBlock("tokens_that_expire", TOKENS);
  assertEquals(output.lines, [["1", "null"], ["2", "1"], ["3", "2"]]);
});

Deno.test("tokens_that_expire: one that never worked, or a fresh one that is refused, ends it", async () => {
  for (const good of [0, 1]) {
    using api = tokens((_, index) => index < good);
    using _ = logged();
    const error = await assertRejects(
      () => runBlock("tokens_that_expire", TOKENS),
      SseError,
    );
    assertEquals([error.code, error.body], ["status", "Expired"]);
    const asked = api.requests.filter(({ url }) => url.endsWith("/token"));
    assertEquals(asked.length, good + 1);
  }
});

Deno.test("tokens_that_expire: a token is used for as long as it is good", async () => {
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
