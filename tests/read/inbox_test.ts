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

Deno.test("until as a string ends the stream before the event with that data, and disconnects", async () => {
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

Deno.test("until as a string is compared with the whole data", async () => {
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

Deno.test("until as an empty string is met by empty data", async () => {
  await using sse = await connectSse(url, {
    until: "",
    fetch: () => eventResponse("data: a\n\ndata\n\ndata: b\n\n"),
  });
  assertEquals(await Array.fromAsync(sse, (event) => event.data), ["a"]);
});

Deno.test("until as a function yields the event it accepts, and disconnects", async () => {
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

Deno.test("until as a function is asked once of each event, up to the one it accepts", async () => {
  const asked: ServerSentEvent[] = [];
  await using sse = await connectSse(url, {
    until(event) {
      asked.push(event);
      return event.data === "b";
    },
    fetch: () => eventResponse("data: a\n\ndata: b\n\ndata: c\n\n"),
  });
  const got = await Array.fromAsync(sse);
  assertEquals(got.map((event) => event.data), ["a", "b"]);
  assertEquals(asked.length, 2);
  assertStrictEquals(asked[0], got[0]);
  assertStrictEquals(asked[1], got[1]);
});

Deno.test("until ends every overlapping next() after the one that met it", async () => {
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
  Deno.test(`until as ${kind} makes a body that ends without it truncated`, async () => {
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

Deno.test("until makes an empty body truncated", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => eventResponse(""),
  });
  await assertSseError(sse.next(), "truncated");
});

Deno.test("until leaves 204 the end, without an error", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => new Response(null, { status: 204 }),
  });
  assertEquals(await sse.next(), done);
});

Deno.test("until leaves a broken connection a network error", async () => {
  const stream = new OpenResponse("data: a\n\n");
  await using sse = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  await sse.next();
  stream.fail(new Error("cable cut"));
  await assertSseError(sse.next(), "network");
});

Deno.test("until that is not met leaves close() an end without an error", async () => {
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

Deno.test("until that throws rejects next() with what it threw, and disconnects", async () => {
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

Deno.test("until that throws at an event that waited rejects next() too", async () => {
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
for (const [text, isMet] of Object.entries(unfinished)) {
  for (const size of [Infinity, 1]) {
    const how = size === 1 ? ", a byte at a time" : "";
    Deno.test(`until is ${isMet ? "" : "not "}met by ${JSON.stringify(text)} at the body's end${how}`, async () => {
      const stream = new OpenResponse();
      const chunks = size === 1 ? [...text] : [text];
      for (const chunk of chunks) stream.send(chunk);
      stream.end();
      await using sse = await connectSse(url, {
        until: "[DONE]",
        fetch: () => stream.response,
      });
      assertEquals((await sse.next()).value?.data, "a");
      if (isMet) assertEquals(await sse.next(), done);
      else await assertSseError(sse.next(), "truncated");
      assertEquals(await sse.next(), done);
      assertEquals([sse.lastEventId, sse.reconnectionTime], ["", undefined]);
    });
  }
}

Deno.test("until is met by data of several lines at the body's end, and by empty data", async () => {
  for (const [until, text] of [["a\nb", "data: a\ndata: b"], ["", "data"]]) {
    await using sse = await connectSse(url, {
      until,
      fetch: () => eventResponse(text),
    });
    assertEquals(await sse.next(), done);
  }
});

Deno.test("until is not met by an unfinished event where the body breaks off, or for a function", async () => {
  const stream = new OpenResponse("data: a\n\ndata: [DONE]");
  await using broken = await connectSse(url, {
    until: "[DONE]",
    fetch: () => stream.response,
  });
  await broken.next();
  stream.fail(new Error("cable cut"));
  await assertSseError(broken.next(), "network");
  await using asked = await connectSse(url, {
    until: ({ data }) => data === "[DONE]",
    fetch: () => eventResponse("data: [DONE]\n"),
  });
  await assertSseError(asked.next(), "truncated");
});

Deno.test("until as an empty string is not met where an unfinished event has no data", async () => {
  for (const text of ["", "event: a\n", "id: 1", ":"]) {
    await using sse = await connectSse(url, {
      until: "",
      fetch: () => eventResponse(text),
    });
    await assertSseError(sse.next(), "truncated");
  }
});

Deno.test("until is looked for at the end of an event as large as it may be", async () => {
  await using sse = await connectSse(url, {
    until: "[DONE]",
    maxEventSize: 10,
    fetch: () => eventResponse("id:1234567\ndata"),
  });
  await assertSseError(sse.next(), "truncated");
});

Deno.test("until that throws leaves lastEventId at what was handed out", async () => {
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

Deno.test("an unfinished event that does not meet until leaves its id and retry behind", async () => {
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
  Deno.test(`a body that is ${body} reconnects, or is truncated where until is not met`, async () => {
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
    await using goal = await connectSse(url, { fetch, until: "[DONE]" });
    await assertSseError(goal.next(), "truncated");
  });
}
