/** Tests the statements of traps.md that Deno can test. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectSse, SseDecoder, SseError } from "../../mod.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { eventResponse } from "../support/open_response.ts";
import { blockOf, withPackage } from "./programs.ts";

Deno.test("traps: the first program continues a stream that was cut off", async () => {
  using server = answer((_, index) =>
    eventResponse(
      index === 0
        ? "retry: 1\nid: 1\ndata: a\n\n"
        : "data: b\n\ndata: [DONE]\n\n",
    )
  );
  using output = logged();
  await deadline(runBlock("traps", "maxAttempts: 10 }"), "the end");
  assertEquals(output.lines, [["a"], ["b"]]);
  assertEquals(server.requests[1].headers.get("Last-Event-ID"), "1");
});

Deno.test("traps: the Worker's handler serves posted messages", async () => {
  const { default: worker } = await runBlock("traps", "export default");
  await using sse = await connectSse("http://localhost/", {
    fetch: worker.fetch,
  });
  const posted = await worker.fetch(
    new Request("http://localhost/", { method: "POST", body: "Hello" }),
  );
  assertEquals(posted.status, 204);
  assertEquals(await dataOf(sse, 1), ["Hello"]);
});

const OVERLOADED = '{"error": {"message": "overloaded"}}';

Deno.test("traps: an error that is no event is malformed, and no event for a parser", async () => {
  const texts = [OVERLOADED, "error: overloaded\n\n", "<html>overloaded"];
  for (const text of texts) {
    assertEquals(new SseDecoder().decode(`${text}\n\n`), []);
    let requests = 0;
    const sse = await connectSse("http://localhost/", {
      fetch() {
        requests++;
        return eventResponse(text);
      },
      reconnect: true,
    });
    const error = await assertRejects(() => sse.next(), SseError);
    assertEquals([error.code, requests], ["malformed", 1]);
    assertEquals(error.body, text.trim());
    assertStringIncludes(error.message, text.trim());
  }
});

Deno.test("traps: the client repeats a request if the error says that it is temporary", async () => {
  using server = answer((_, index) =>
    eventResponse(
      index === 0 ? `retry: 1\n${OVERLOADED}` : "data: a\n\ndata: [DONE]\n\n",
    )
  );
  using output = logged();
  await deadline(runBlock("traps", 'includes("overloaded")'), "the end");
  assertEquals(output.lines, [["a"]]);
  assertEquals(server.requests.length, 2);
});

Deno.test("traps: the client throws an error that does not say that it is temporary", async () => {
  using server = answer(() => eventResponse('{"error": "no such model"}'));
  const error = await assertRejects(
    () => runBlock("traps", 'includes("overloaded")'),
    SseError,
  );
  assertEquals([error.code, server.requests.length], ["malformed", 1]);
});

/** A response as React Native's `fetch` returns it. */
function withoutBody(): Response {
  const response = eventResponse("data: a\n\n");
  Object.defineProperty(response, "body", { value: undefined });
  return response;
}

Deno.test("traps: a response without a body stream is a TypeError", async () => {
  for (const reconnect of [false, true]) {
    const sse = await connectSse("http://localhost/", {
      fetch: withoutBody,
      reconnect,
    });
    await assertRejects(
      () => sse.next(),
      TypeError,
      "Expected body to be a ReadableStream (in React Native, use expo/fetch)",
    );
  }
});

Deno.test("traps: the program for Expo works with a substitute for `expo/fetch`", async () => {
  const requests: Request[] = [];
  const expo = {
    // deno-lint-ignore require-await
    async fetch(url: string, init: RequestInit) {
      requests.push(new Request(url, init));
      return eventResponse("data: a\n\n");
    },
  };
  Object.assign(globalThis, { expo });
  const code = (await blockOf("traps", "expo/fetch")).replace(
    /^import .* from "expo\/fetch";$/m,
    "const expoFetch = globalThis.expo.fetch;",
  );
  using output = logged();
  await import(
    `data:text/javascript,${encodeURIComponent(withPackage(code))}`
  );
  assertEquals(output.lines, [["a"]]);
  const [{ url, headers }] = requests;
  assertEquals(url, "https://example.com/events");
  assertEquals(headers.get("Accept"), "text/event-stream");
});
