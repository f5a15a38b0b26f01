import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  connectSse,
  type ConnectSseOptions,
  type ServerSentEvent,
  type SseConnection,
  type SseError,
} from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { allData } from "../support/data_of.ts";
import { done, events, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";

Deno.test("until as a string ends the stream before the matching event, and closes the connection", async () => {
  const stream = new OpenResponse(
    "data: a\n\ndata: [DONE]\n\ndata: after\n\n",
  );
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, { until: "[DONE]" });
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals(await sse.next(), done);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("until as a string must equal the whole data", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () =>
      eventResponse(
        "data: [DONE] \n\ndata: x[DONE]\n\ndata: [DONE]\ndata\n\ndata:[DONE]\n\n",
      ),
  });
  assertEquals(
    await Array.fromAsync(sse, (event) => event.data),
    ["[DONE] ", "x[DONE]", "[DONE]\n"],
  );
});

Deno.test("until as an empty string matches empty data", async () => {
  await using sse = await connectSse(url, {
    until: "",
    fetch: () => eventResponse("data: a\n\ndata\n\ndata: b\n\n"),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["a"]);
});

Deno.test("until as a function ends the stream after the matching event, and closes the connection", async () => {
  const stream = new OpenResponse(
    "data: a\n\nevent: end\ndata: b\n\ndata: c\n\n",
  );
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, {
    until: (event) => event.event === "end",
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertEquals((await sse.next()).value?.data, "b");
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("until as a function is called once with each event, up to the matching one", async () => {
  const seen: ServerSentEvent[] = [];
  await using sse = await connectSse(url, {
    until(event) {
      seen.push(event);
      return event.data === "b";
    },
    fetch: () => eventResponse("data: a\n\ndata: b\n\ndata: c\n\n"),
  });
  const got = await Array.fromAsync(sse);
  assertEquals(got.map((event) => event.data), ["a", "b"]);
  assertEquals(seen.length, 2);
  assertStrictEquals(seen[0], got[0]);
  assertStrictEquals(seen[1], got[1]);
});

Deno.test("until ends all overlapping calls of next() after the matching event", async () => {
  const stream = new OpenResponse();
  await using sse = await connectSse(url, {
    until: (event) => event.data === "a",
    fetch: () => stream.response,
  });
  const results = [sse.next(), sse.next(), sse.next()];
  stream.send("data: a\n\ndata: b\n\n");
  const [first, ...others] = await Promise.all(results);
  assertEquals(first.value?.data, "a");
  assertEquals(others, [done, done]);
});

for (
  const [kind, until] of [
    ["a string", "[DONE]"],
    ["a function", (event: ServerSentEvent) => event.data === "[DONE]"],
  ] as const
) {
  Deno.test(`until as ${kind} makes next() reject as truncated if the body ends without a match`, async () => {
    await using server = new HttpServer(() =>
      eventResponse("data: a\n\ndata: [DONE")
    );
    await using sse = await connectSse(server.url, { until });
    assertEquals((await sse.next()).value?.data, "a");
    const error = await assertSseError(sse.next(), "truncated");
    assertStringIncludes(error.message, "until");
    assertEquals(await sse.next(), done);
  });
}

Deno.test("until makes next() reject as truncated if the body is empty", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => eventResponse(""),
  });
  const error = await assertSseError(sse.next(), "truncated");
  assertMatch(error.message, /^Expected `until` to be met/);
});

Deno.test("until does not make next() reject if the status is 204", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => new Response(null, { status: 204 }),
  });
  assertEquals(await sse.next(), done);
});

Deno.test("until does not change the network error of a failed connection", async () => {
  const stream = new OpenResponse("data: a\n\n");
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  await sse.next();
  stream.fail(new Error("cable cut"));
  await assertSseError(sse.next(), "network");
});

Deno.test("until does not make next() reject if close() ends the stream", async () => {
  const stream = new OpenResponse("data: a\n\n");
  const sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  await sse.next();
  const pending = sse.next();
  await sse.close();
  assertEquals(await pending, done);
});

Deno.test("until that throws rejects next() with its error, and closes the connection", async () => {
  const thrown = new Error("mine");
  const stream = new OpenResponse("data: a\n\ndata: b\n\n");
  await using server = new HttpServer(() => stream.response);
  await using sse = await connectSse(server.url, {
    until() {
      throw thrown;
    },
  });
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

Deno.test("until that throws at a buffered event rejects next(), too", async () => {
  const thrown = new Error("mine");
  const stream = new OpenResponse("data: a\n\ndata: b\n\ndata: c\n\n");
  await using sse = await connectSse(url, {
    until(event) {
      if (event.data === "b") throw thrown;
      return false;
    },
    fetch: () => stream.response,
  });
  assertEquals((await sse.next()).value?.data, "a");
  assertStrictEquals(await assertRejects(() => sse.next()), thrown);
  await stream.cancelled;
  assertEquals(await sse.next(), done);
});

const unfinished: Record<string, boolean> = {
  "data: a\n\ndata: [DONE]": true,
  "data: a\n\ndata:[DONE]\n": true,
  "data: a\n\ndata: [DONE]\r": true,
  "data: a\n\ndata: [DONE]\r\n": true,
  "data: a\n\nid: 5\nevent: end\ndata: [DONE]\n: c\n": true,
  "data: a\n\ndata: [DONE]\nid: 5": true,
  "data: a\n\ndata: [DONE]\nda": true,
  "data: a\n\ndata: [DONE": false,
  "data: a\n\ndata: [DONE]x": false,
  "data: a\n\ndata: [DONE]\ndata": false,
  "data: a\n\ndata: [DONE]\ndata:": false,
  "data: a\n\ndata: x\ndata: [DONE]": false,
  "data: a\n\nevent: [DONE]": false,
  "data: a\n\n: [DONE]": false,
  "data: a\n\ndatax: [DONE]": false,
  "data: a\n\n[DONE]": false,
};
for (const [text, matches] of Object.entries(unfinished)) {
  for (const size of [Infinity, 1]) {
    const how = size === 1 ? ", one byte at a time" : "";
    Deno.test(`until ${matches ? "matches" : "does not match"} at the end of the body ${JSON.stringify(text)}${how}`, async () => {
      const stream = new OpenResponse();
      const chunks = size === 1 ? [...text] : [text];
      for (const chunk of chunks) stream.send(chunk);
      stream.end();
      await using sse = await connectSse(url, {
        until: "[DONE]",
        fetch: () => stream.response,
      });
      assertEquals((await sse.next()).value?.data, "a");
      if (matches) assertEquals(await sse.next(), done);
      else await assertSseError(sse.next(), "truncated");
      assertEquals(await sse.next(), done);
      assertEquals([sse.lastEventId, sse.reconnectionTime], ["", undefined]);
    });
  }
}

Deno.test("until matches unfinished data of several lines, and empty data, at the end of the body", async () => {
  for (const [until, text] of [["a\nb", "data: a\ndata: b"], ["", "data"]]) {
    await using sse = await connectSse(url, {
      until,
      fetch: () => eventResponse(text),
    });
    assertEquals(await sse.next(), done);
  }
});

Deno.test("until does not match an unfinished event if the connection fails", async () => {
  const stream = new OpenResponse("data: a\n\ndata: [DONE]");
  await using broken = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  await broken.next();
  stream.fail(new Error("cable cut"));
  await assertSseError(broken.next(), "network");
});

Deno.test("until as an empty string does not match an unfinished event without data", async () => {
  for (const text of ["", "event: a\n", "id: 1", ":"]) {
    await using sse = await connectSse(url, {
      until: "",
      fetch: () => eventResponse(text),
    });
    await assertSseError(sse.next(), "truncated");
  }
});

Deno.test("until that throws leaves lastEventId at the last delivered event", async () => {
  const fault = new Error("not this one");
  await using sse = await connectSse(url, {
    fetch: () => eventResponse("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"),
    until({ id }) {
      if (id === "2") throw fault;
      return false;
    },
  });
  await sse.next();
  assertStrictEquals(await assertRejects(() => sse.next()), fault);
  assertEquals(sse.lastEventId, "1");
});

Deno.test("SseConnection drops the id and retry of an unfinished event that does not match until", async () => {
  const { fetch, requests } = inTurn(
    () => eventResponse("id: 1\ndata: a\n\nid: 2\nretry: 50"),
    () => eventResponse("data: [DONE]"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  assertEquals(await Array.fromAsync(sse, ({ data }) => data), ["a"]);
  assertEquals(requests[1].headers.get("last-event-id"), "1");
  assertEquals(sse.reconnectionTime, undefined);
});

for (const body of ["null", "empty"]) {
  Deno.test(`SseConnection reconnects after a body that is ${body}, or rejects it as truncated if until is set`, async () => {
    const { fetch, requests } = inTurn(
      () =>
        new Response(body === "null" ? null : "", {
          headers: { "content-type": "text/event-stream" },
        }),
      () => eventResponse("data: a\n\n"),
    );
    await using sse = await connectSse(url, {
      fetch,
      reconnect: { initialDelay: 0 },
    });
    assertEquals((await sse.next()).value?.data, "a");
    requests.length = 0;
    await using withUntil = await connectSse(url, { fetch, until: "[DONE]" });
    await assertSseError(withUntil.next(), "truncated");
  });
}

for (const [text, matches] of Object.entries(unfinished)) {
  Deno.test(`until as a function is asked at the end of the body ${JSON.stringify(text)}`, async () => {
    await using sse = await connectSse(url, {
      until: ({ data }) => data === "[DONE]",
      fetch: () => eventResponse(text),
    });
    assertEquals((await sse.next()).value?.data, "a");
    if (matches) assertEquals((await sse.next()).value?.data, "[DONE]");
    else await assertSseError(sse.next(), "truncated");
    assertEquals(await sse.next(), done);
  });
}

Deno.test("until as a function is not called at the end of the body without an unfinished event", async () => {
  const seen: string[] = [];
  for (const text of ["", "data: a\n\n", "event: b\n", ": c", "id: 1"]) {
    await using sse = await connectSse(url, {
      until: ({ data }) => !seen.push(data),
      fetch: () => eventResponse(text),
    });
    await assertSseError(allData(sse), "truncated");
  }
  assertEquals(seen, ["a"]);
});

Deno.test("an unfinished event that meets until sets lastEventId, and one that does not keeps it", async () => {
  for (const end of ["b", "c"]) {
    await using sse = await connectSse(url, {
      until: ({ data }) => data === "b",
      fetch: () => eventResponse(`id: 1\ndata: a\n\nid: 2\ndata: ${end}`),
    });
    assertEquals((await sse.next()).value?.id, "1");
    if (end === "b") {
      const { value } = await sse.next();
      assertEquals([value?.id, sse.lastEventId], ["2", "2"]);
    } else {
      await assertSseError(sse.next(), "truncated");
      assertEquals(sse.lastEventId, "1");
    }
  }
});

Deno.test("an unfinished event that meets until is returned, and not asked for twice", async () => {
  const seen: string[] = [];
  await using sse = await connectSse(url, {
    until: ({ data }) => seen.push(data) > 0,
    fetch: () => eventResponse("data: b"),
  });
  assertEquals((await sse.next()).value?.data, "b");
  assertEquals(await sse.next(), done);
  assertEquals(seen, ["b"]);
});

Deno.test("an unfinished event for which until throws counts as cut off", async () => {
  const until = ({ data }: ServerSentEvent) => JSON.parse(data).done === true;
  for (const end of ['{"done":tr', "{"]) {
    await using sse = await connectSse(url, {
      until,
      fetch: () => eventResponse(`data: {}\n\ndata: ${end}`),
    });
    assertEquals((await sse.next()).value?.data, "{}");
    await assertSseError(sse.next(), "truncated");
  }
});

Deno.test("an unfinished event that does not meet until is requested again by a reconnect", async () => {
  const { fetch, requests } = inTurn(
    events("id: 1\ndata: a\n\nid: 2\ndata: b"),
    events("id: 2\ndata: b\n\nid: 3\ndata: end"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: ({ data }) => data === "end",
    reconnect: { initialDelay: 0 },
  });
  assertEquals(await allData(sse), ["a", "b", "end"]);
  assertEquals(requests[1].headers.get("Last-Event-ID"), "1");
  assertEquals(sse.lastEventId, "3");
});

Deno.test("nothing follows if until closes the connection for an unfinished event", async () => {
  const reason = new Error("enough");
  for (const how of ["close()", "abort"]) {
    for (const reconnect of [false, { initialDelay: 0 }]) {
      const controller = new AbortController();
      const { fetch, requests } = inTurn(events("data: a"));
      await using sse: SseConnection = await connectSse(url, {
        fetch,
        reconnect,
        signal: controller.signal,
        until: () => {
          if (how === "abort") controller.abort(reason);
          else sse.close();
          return false;
        },
      });
      if (how === "abort") {
        assertStrictEquals(await assertRejects(() => sse.next()), reason);
      }
      assertEquals(await sse.next(), done);
      assertEquals(sse.state, "closed");
      assertEquals(requests.length, 1);
    }
  }
});

Deno.test("reconnect() in until for an unfinished event is what happens next", async () => {
  const reason = new Error("unfinished");
  const reconnected: unknown[] = [];
  const connect = async (
    reconnect: ConnectSseOptions["reconnect"],
    error?: Error,
  ) => {
    const { fetch } = inTurn(events("data: a"), events("data: end\n\n"));
    const sse: SseConnection = await connectSse(url, {
      fetch,
      reconnect,
      until: ({ data }) => {
        if (data === "a") sse.reconnect(error);
        return data === "end";
      },
    });
    return sse;
  };
  const onReconnect = ({ error }: { error: SseError }) =>
    void reconnected.push(error.cause);
  const policy = { initialDelay: 0, onReconnect };

  await using now = await connect(policy);
  assertEquals(await allData(now), ["end"]);
  assertEquals(reconnected, []);

  await using rejected = await connect(policy, reason);
  assertEquals(await allData(rejected), ["end"]);
  assertEquals(reconnected, [reason]);

  await using failed = await connect(false, reason);
  const error = await assertSseError(failed.next(), "rejected");
  assertStrictEquals(error.cause, reason);
  assertEquals(await failed.next(), done);
});

Deno.test("next() rejects with a TypeError if until returns a promise", async () => {
  for (const text of ["data: a\n\n", "data: a"]) {
    const stream = eventResponse(text);
    await using sse = await connectSse(url, {
      // deno-lint-ignore require-await
      until: (async () => false) as unknown as () => boolean,
      fetch: () => stream,
    });
    await assertRejects(() => sse.next(), TypeError, "until");
    assertEquals(await sse.next(), done);
  }
});

const answers = {
  '{"error":{"code":400}}': '{"error":{"code":400}}',
  '{"error":{"code":400}}\n': '{"error":{"code":400}}',
  ': PROCESSING\n\n: PROCESSING\n\n{"error": "No"}': '{"error": "No"}',
  'error: {"code":400}\n\n': 'error: {"code":400}',
  "<html>\n<p>Bad\n": "<html>\n<p>Bad",
  "id: 1\nretry: 5\n\n{}": "{}",
  "event: error\n{}": "{}",
};
for (const [text, body] of Object.entries(answers)) {
  for (const until of [undefined, "[DONE]", () => false]) {
    Deno.test(`next() rejects as malformed the body ${JSON.stringify(text)} with until: ${until}`, async () => {
      const response = eventResponse(text);
      await using sse = await connectSse(url, { until, fetch: () => response });
      const error = await assertSseError(sse.next(), "malformed");
      assertEquals(error.body, body);
      assertStringIncludes(error.message, body.replace("\n", " "));
      assertStrictEquals(error.response, response);
      assertEquals(await sse.next(), done);
    });
  }
}

Deno.test("next() rejects as malformed if until as a string ends a stream without events", async () => {
  const stream = new OpenResponse(
    'error: {"code":400}\n\ndata: [DONE]\n\ndata: after\n\n',
  );
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  const error = await assertSseError(sse.next(), "malformed");
  assertEquals(error.body, 'error: {"code":400}');
  await stream.cancelled;
  assertEquals(await sse.next(), done);

  await using unfinished = await connectSse(url, {
    until: "[DONE]",
    fetch: events("error: 1\ndata: [DONE]"),
  });
  await assertSseError(unfinished.next(), "malformed");
});

Deno.test("a stream with events ends as usual although it has other text", async () => {
  for (const text of ["{}\ndata: a\n\n", "data: a\n\n{}\n", "data: a\n\n{}"]) {
    await using sse = await connectSse(url, { fetch: events(text) });
    assertEquals(await allData(sse), ["a"]);
  }
  await using ended = await connectSse(url, {
    until: "[DONE]",
    fetch: events("{}\ndata: a\n\ndata: [DONE]\n\n"),
  });
  assertEquals(await allData(ended), ["a"]);
});

Deno.test("a truncated stream quotes its other text", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: events('data: a\n\nerror: {"code":"\x1b[31m"}\n\n'),
  });
  await sse.next();
  const error = await assertSseError(sse.next(), "truncated");
  assertEquals(error.body, 'error: {"code":"\x1b[31m"}');
  assertStringIncludes(error.message, 'error: {"code":"\\u001b[31m"}');
});

Deno.test("a stream without events is empty if it has unknown fields, comments or a cut-off field", async () => {
  for (const text of ["", "ping: 1\n\n", ": c\n\n", "dat", "data", "id: 1"]) {
    await using sse = await connectSse(url, { fetch: events(text) });
    assertEquals(await allData(sse), [], JSON.stringify(text));
  }
});

Deno.test("a malformed response ends the stream although reconnect is on", async () => {
  const { fetch, requests } = inTurn(
    events("data: a\n\n"),
    events('{"error": "No"}'),
  );
  await using sse = await connectSse(url, {
    fetch,
    reconnect: { initialDelay: 0 },
  });
  assertEquals((await sse.next()).value?.data, "a");
  await assertSseError(sse.next(), "malformed");
  assertEquals(requests.length, 2);
});

Deno.test("shouldReconnect can retry a malformed response, also one that until as a string ends", async () => {
  const { fetch } = inTurn(
    events('{"error": "No"}'),
    events("error: 1\n\ndata: [DONE]\n\n"),
    events("data: a\n\ndata: [DONE]\n\n"),
  );
  const bodies: unknown[] = [];
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: {
      initialDelay: 0,
      maxDelay: 0,
      shouldReconnect: ({ code, body }) =>
        code === "malformed" && bodies.push(body) > 0,
    },
  });
  assertEquals(await allData(sse), ["a"]);
  assertEquals(bodies, ['{"error": "No"}', "error: 1"]);
});

Deno.test("next() rejects as malformed a response that is opened before the events of the previous one were returned", async () => {
  const { fetch, requests } = inTurn(
    () => new OpenResponse("data: a\n\ndata: b\n\n").response,
    events('{"error":"Overloaded"}'),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  await sse.next();
  sse.reconnect();
  while (sse.state === "connecting") {
    await new Promise((resolve) => setTimeout(resolve));
  }
  assertEquals((await sse.next()).value?.data, "b"); // Of the first connection.
  await assertSseError(sse.next(), "malformed");
  assertEquals(requests.length, 2);
});

Deno.test("an async until that rejects causes no unhandled rejection", async () => {
  await using sse = await connectSse(url, {
    until: (() => Promise.reject(new Error("mine"))) as unknown as () =>
      boolean,
    fetch: events("data: a\n\n"),
  });
  await assertRejects(() => sse.next(), TypeError, "until");
  await new Promise((resolve) => setTimeout(resolve));
});
