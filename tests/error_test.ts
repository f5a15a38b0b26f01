// Error messages never contain passwords or queries of URLs.

import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { connectSse, SseError } from "../mod.ts";
import { reasonOf } from "../src/error.ts";
import { withoutSecrets } from "../src/internal/quote.ts";
import {
  EventSource,
  type EventSourceErrorEvent,
} from "../src/event_source.ts";
import { runScript } from "./support/run_script.ts";
import { once } from "./runtimes/heard.ts";

const SECRETS = /=secret|hunter2/;
const address = "user:hunter2@127.0.0.1:9/path?key=secret#secret";

Deno.test("withoutSecrets keeps only scheme, host and path of URLs", () => {
  const texts = {
    "": "",
    "no URL at all: a@b?c": "no URL at all: a@b?c",
    "http://h/p": "http://h/p",
    "at http://h/p?k=secret#f, so": "at http://h/p?… so",
    "at http://h/p#secret": "at http://h/p?…",
    "at https://u:secret@h:8/p/@x/y": "at https://h:8/p/@x/y",
    "ftp://u@h and ws://u:a'b(c)@h?secret": "ftp://h and ws://h?…",
    'got "http://h?secret"': 'got "http://h?…',
    "http://u:p@q@h/": "http://h/",
  };
  for (const [text, expected] of Object.entries(texts)) {
    assertEquals(withoutSecrets(text), expected);
  }
});

Deno.test("withoutSecrets runs in linear time", async () => {
  // In quadratic time it would run for hours, so it runs in a process that can be
  // stopped.
  await runScript(`
    import { withoutSecrets } from ${
    JSON.stringify(import.meta.resolve("../src/internal/quote.ts"))
  };
    for (const part of ["://", "a", "@", "?", "://@", ":", "/", "a:b@"]) {
      withoutSecrets(part.repeat(2_000_000));
      withoutSecrets("http://" + part.repeat(2_000_000));
    }
    // In cubic time, each of these would take a second.
    const text = "http::".repeat(400);
    for (let i = 0; i < 100; i++) withoutSecrets(text + i);
  `);
});

Deno.test("connectSse rejects with a network error without secrets", async () => {
  for (const scheme of ["http", "https"]) {
    const { message, cause } = await assertRejects(
      () => connectSse(`${scheme}://${address}`),
      SseError,
    );
    assert(cause !== undefined);
    assertStringIncludes(message, "127.0.0.1:9/path");
    assertFalse(SECRETS.test(message), message);
  }
});

Deno.test("connectSse rejects an unsupported URL scheme without secrets in the message", async () => {
  const { message } = await assertRejects(
    () => connectSse(`htp://${address}`),
    TypeError,
  );
  assertStringIncludes(message, "htp://127.0.0.1:9/path");
  assertFalse(SECRETS.test(message), message);
});

Deno.test("SseConnection.next() rejects without secrets in the message if the stream fails", async () => {
  const body = new ReadableStream({
    pull() {
      throw new Error(`lost http://${address}`);
    },
  });
  await using sse = await connectSse("http://in.process/", {
    fetch: () =>
      new Response(body, { headers: { "content-type": "text/event-stream" } }),
  });
  const { message } = await assertRejects(() => sse.next(), SseError);
  assertStringIncludes(message, "lost http://127.0.0.1:9/path");
  assertFalse(SECRETS.test(message), message);
});

Deno.test("EventSource reports errors without secrets in the messages", async () => {
  const source = new EventSource(`http://${address}`);
  const { message } = await once(source, "error") as EventSourceErrorEvent;
  source.close();
  assertStringIncludes(message!, "127.0.0.1:9/path");
  assertFalse(SECRETS.test(message!), message);
  try {
    new EventSource("http://user:hunter2@h:99999/?key=secret");
  } catch (error) {
    assertFalse(SECRETS.test((error as Error).message), `${error}`);
    return;
  }
  throw new Error("Expected a SyntaxError");
});

Deno.test("reasonOf terminates if causes form a cycle", () => {
  const first = new Error("first");
  const second = new Error("second", { cause: first });
  first.cause = second;
  assert(["first", "second"].includes(reasonOf(first)));
  const self = new Error("self");
  self.cause = self;
  assertEquals(reasonOf(self), "self");
});

Deno.test("reasonOf describes any thrown value", () => {
  const values = [undefined, null, 5, "text", Symbol("x"), {}];
  assertEquals(
    values.map(reasonOf),
    ["undefined", "null", "5", "text", "Symbol(x)", "[object Object]"],
  );
  assertEquals(reasonOf(Object.create(null)), "object");
});

Deno.test("connectSse rejects an invalid URL without secrets in the error", async () => {
  const wrong = `http://user:hunter2@127.0.0.1:99999/path?key=secret`;
  for (const input of [wrong, () => wrong]) {
    const error = await assertRejects(() => connectSse(input), TypeError);
    assertFalse(SECRETS.test(`${error.stack} ${error.cause}`), error.message);
    assertStringIncludes(error.message, "127.0.0.1:99999/path");
  }
});

Deno.test("SseConnection.next() rejects a wrong content type without the secrets in it", async () => {
  const sse = await connectSse("http://in.process/", {
    fetch: () =>
      new Response("", {
        headers: { "content-type": `text/html; at="http://${address}"` },
      }),
  });
  const error = await assertRejects(() => sse.next(), SseError);
  assertFalse(SECRETS.test(error.message), error.message);
});

Deno.test("reasonOf returns the first reason of an AggregateError, which has no message in Node", () => {
  const refused = (address: string) =>
    new Error(`connect ECONNREFUSED ${address}`);
  const cause = new AggregateError([refused("::1:9"), refused("127.0.0.1:9")]);
  assertEquals(
    reasonOf(new TypeError("fetch failed", { cause })),
    "connect ECONNREFUSED ::1:9",
  );
  assertEquals(reasonOf(new AggregateError([], "all failed")), "all failed");
  assertEquals(reasonOf(new AggregateError(["text"])), "AggregateError");
});

Deno.test("reasonOf returns the innermost message that is not empty", () => {
  const outer = new TypeError("fetch failed", { cause: new Error() });
  assertEquals(reasonOf(outer), "fetch failed");
  assertEquals(reasonOf(new Error()), "Error");
});

Deno.test("SseError does not print its response, whose URL may contain a secret", () => {
  const response = new Response();
  Object.defineProperty(response, "url", { value: "http://h/?token=secret" });
  const error = new SseError("status", "No", { response, body: "b" });
  assertEquals(error.response, response);
  assertFalse(Deno.inspect(error).includes("secret"), Deno.inspect(error));
  assertStringIncludes(Deno.inspect(error), 'body: "b"');
  assertEquals(Object.keys(error), ["code", "body"]);
});

Deno.test("an SseError of another copy of the module counts as one", async () => {
  const foreign = Object.assign(new Error("no token"), {
    name: "SseError",
    code: "network",
  });
  let calls = 0;
  const sse = await connectSse(() => {
    if (calls++ === 0) throw foreign;
    return "http://in.process/";
  }, {
    fetch: () => new Response(null, { status: 204 }),
    reconnect: { initialDelay: 0 },
  });
  assertEquals((await sse.next()).done, true);
  assertEquals(calls, 2);
});
