/** Tests the statements of traps.md that Deno can test. */
import { assertEquals, assertRejects } from "@std/assert";
import { connectSse } from "../../mod.ts";
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
  await deadline(runBlock("traps", "maxAttempts: 10"), "the end");
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

/** A response as React Native's `fetch` returns it. */
function withoutBody(): Response {
  const response = eventResponse("data: a\n\n");
  Object.defineProperty(response, "body", { value: undefined });
  return response;
}

Deno.test("traps: a response without a body stream is a TypeError", async () => {
  const sse = await connectSse("http://localhost/", { fetch: withoutBody });
  await assertRejects(() => sse.next(), TypeError, "React Native");
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
