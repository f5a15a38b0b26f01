// No message holds a password or the query of a URL.

import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { connectSse, SseError } from "../mod.ts";
import { reasonOf, withoutSecrets } from "../src/error.ts";
import {
  EventSource,
  type EventSourceErrorEvent,
} from "../src/event_source.ts";
import { runScript } from "./support/run_script.ts";
import { once } from "./runtimes/heard.ts";

const SECRETS = /=secret|hunter2/;
const query = "user:hunter2@127.0.0.1:9/path?key=secret#secret";

Deno.test("withoutSecrets leaves nothing of URLs but scheme, host and path", () => {
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

Deno.test("withoutSecrets takes linear time", async () => {
  // Where it took quadratic time, it would take hours: so it can be stopped.
  await runScript(`
    import { withoutSecrets } from ${
    JSON.stringify(import.meta.resolve("../src/error.ts"))
  };
    for (const part of ["://", "a", "@", "?", "://@", ":", "/", "a:b@"]) {
      withoutSecrets(part.repeat(2_000_000));
      withoutSecrets("http://" + part.repeat(2_000_000));
    }
  `);
});

Deno.test("a network error's message has no secret, whatever the runtime's own says", async () => {
  for (const scheme of ["http", "https"]) {
    const { message, cause } = await assertRejects(
      () => connectSse(`${scheme}://${query}`),
      SseError,
    );
    assert(cause !== undefined);
    assertStringIncludes(message, "127.0.0.1:9/path");
    assertFalse(SECRETS.test(message), message);
  }
});

Deno.test("the message about a URL that no fetch takes has no secret", async () => {
  const { message } = await assertRejects(
    () => connectSse(`htp://${query}`),
    TypeError,
  );
  assertStringIncludes(message, "htp://127.0.0.1:9/path");
  assertFalse(SECRETS.test(message), message);
});

Deno.test("a broken stream's message has no secret", async () => {
  const body = new ReadableStream({
    pull() {
      throw new Error(`lost http://${query}`);
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

Deno.test("EventSource's messages have no secret", async () => {
  const source = new EventSource(`http://${query}`);
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

Deno.test("reasonOf ends where causes form a circle", () => {
  const first = new Error("first");
  const second = new Error("second", { cause: first });
  first.cause = second;
  assert(["first", "second"].includes(reasonOf(first)));
  const self = new Error("self");
  self.cause = self;
  assertEquals(reasonOf(self), "self");
});

Deno.test("reasonOf says something of whatever was thrown", () => {
  const values = [undefined, null, 5, "text", Symbol("x"), {}];
  assertEquals(
    values.map(reasonOf),
    ["undefined", "null", "5", "text", "Symbol(x)", "[object Object]"],
  );
  assertEquals(reasonOf(Object.create(null)), "object");
});

Deno.test("what is no URL is told without its secrets", async () => {
  const wrong = `http://user:hunter2@127.0.0.1:99999/path?key=secret`;
  for (const input of [wrong, () => wrong]) {
    const error = await assertRejects(() => connectSse(input), TypeError);
    assertFalse(SECRETS.test(`${error.stack} ${error.cause}`), error.message);
    assertStringIncludes(error.message, "127.0.0.1:99999/path");
  }
});

Deno.test("a content type is told without the secrets in it", async () => {
  const sse = await connectSse("http://in.process/", {
    fetch: () =>
      new Response("", {
        headers: { "content-type": `text/html; at="http://${query}"` },
      }),
  });
  const error = await assertRejects(() => sse.next(), SseError);
  assertFalse(SECRETS.test(error.message), error.message);
});
