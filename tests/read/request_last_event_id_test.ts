// The ids that are sent as `Last-Event-ID`, and the errors for ids that cannot
// be sent.

import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { connectSse, type SseError } from "../../mod.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import { done, url } from "../support/in_process.ts";
import { inTurn } from "../support/in_turn.ts";
import { eventResponse } from "../support/open_response.ts";

/** Returns a text as a header value: one character for each UTF-8 byte. */
const bytesOf = (text: string) =>
  String.fromCharCode(...new TextEncoder().encode(text));

/** Returns the `Last-Event-ID` of each request if the stream sets this id. */
async function sentAfter(id: string): Promise<(string | null)[]> {
  const { fetch, requests } = inTurn(
    () => eventResponse(`id: ${id}\ndata: a\n\n`),
    () => eventResponse("data: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  for await (const _ of sse);
  return requests.map(({ headers }) => headers.get("last-event-id"));
}

Deno.test("SseConnection sends an id of 8 KiB, measured in UTF-8", async () => {
  for (const id of ["x".repeat(8192), "☃".repeat(2730) + "é"]) {
    assertEquals(await sentAfter(id), [null, bytesOf(id)]);
  }
});

Deno.test("SseConnection sends an id that contains a tab", async () => {
  assertEquals(await sentAfter("a\tb"), [null, "a\tb"]);
});

const unsendable = {
  "of 8 KiB and one byte": "x".repeat(8193),
  "of 8 KiB and one byte in UTF-8": "☃".repeat(2730) + "éx",
  "of ten million characters": "x".repeat(1e7),
  "with a control character": "a\x01b",
};
for (const [what, id] of Object.entries(unsendable)) {
  Deno.test(`SseConnection.next() rejects with "reconnect-failed" after an id ${what}`, async () => {
    const { fetch, requests } = inTurn(
      () => eventResponse(`id: ${id}\ndata: a\n\n`),
    );
    await using sse = await connectSse(url, {
      fetch,
      reconnect: { initialDelay: 0, shouldReconnect: () => true },
    });
    assertEquals((await sse.next()).value?.id.length, id.length);
    const error = await assertSseError(sse.next(), "reconnect-failed");
    assertStringIncludes(error.message, "lastEventId");
    assertStringIncludes(error.message, "at most 8192 bytes, got ");
    assertEquals(error.message.length < 500, true);
    assertEquals((error.cause as SseError).code, "truncated");
    assertStrictEquals(error.response, sse.response);
    assertEquals(await sse.next(), done);
    assertEquals(requests.length, 1);
  });

  Deno.test(`SseConnection.reconnect() ends the stream with "reconnect-failed" after an id ${what}`, async () => {
    const { fetch, requests } = inTurn(
      () => eventResponse(`id: ${id}\ndata: a\n\ndata: b\n\n`),
    );
    await using sse = await connectSse(url, { fetch, reconnect: true });
    assertEquals((await sse.next()).value?.data, "a");
    sse.reconnect();
    assertEquals((await sse.next()).value?.data, "b");
    const { cause } = await assertSseError(sse.next(), "reconnect-failed");
    assertEquals(cause, undefined);
    assertEquals(requests.length, 1);
  });

  Deno.test(`SseConnection reads an id ${what} if reconnect is off`, async () => {
    await using sse = await connectSse(url, {
      fetch: () => eventResponse(`id: ${id}\ndata: a\n\ndata: b\n\n`),
    });
    assertEquals((await sse.next()).value?.data, "a");
    assertEquals((await sse.next()).value?.id, id);
    assertEquals(await sse.next(), done);
  });

  Deno.test(`connectSse rejects a lastEventId ${what} without sending a request`, async () => {
    const { fetch, requests } = inTurn(() => eventResponse(""));
    const { message } = await assertRejects(
      () => connectSse(url, { fetch, lastEventId: id }),
      TypeError,
      "lastEventId",
    );
    assertEquals(message.length < 500, true);
    assertEquals(requests.length, 0);
  });
}

Deno.test("SseConnection reconnects after an id that is too long if a later id replaces it", async () => {
  const { fetch, requests } = inTurn(
    () => eventResponse(`id: ${"x".repeat(1e5)}\ndata: a\n\nid: 1\n\n`),
    () => eventResponse("data: [DONE]\n\n"),
  );
  await using sse = await connectSse(url, {
    fetch,
    until: "[DONE]",
    reconnect: { initialDelay: 0 },
  });
  for await (const _ of sse);
  assertEquals(requests[1].headers.get("last-event-id"), "1");
});

Deno.test("connectSse uses a Last-Event-ID header only if lastEventId is empty or undefined", async () => {
  for (const [lastEventId, sent] of [["", "5"], [undefined, "5"], ["6", "6"]]) {
    const { fetch, requests } = inTurn(() => eventResponse("data: a\n\n"));
    await using sse = await connectSse(url, {
      fetch,
      lastEventId,
      headers: { "Last-Event-ID": "5" },
    });
    assertEquals(requests[0].headers.get("last-event-id"), sent);
    assertEquals((await sse.next()).value?.id, sent);
  }
});

Deno.test("connectSse keeps a BOM at the start of a Last-Event-ID header as part of the id", async () => {
  const id = "\ufeffa";
  const { fetch, requests } = inTurn(() => eventResponse("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    headers: { "Last-Event-ID": bytesOf(id) },
  });
  assertEquals(sse.lastEventId, id);
  assertEquals(requests[0].headers.get("last-event-id"), bytesOf(id));
});
