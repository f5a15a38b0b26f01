import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { connectSse, type ServerSentEvent } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { HttpServer } from "../support/http_server.ts";
import { done, url } from "../support/in_process.ts";
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
  await assertSseError(sse.next(), "truncated");
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

Deno.test("until is compared at the end of the body also if the event exceeds maxEventSize", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    maxEventSize: 10,
    fetch: () => eventResponse("id:1234567\ndata"),
  });
  await assertSseError(sse.next(), "truncated");
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
