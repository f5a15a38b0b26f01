// What id is sent, and what becomes of one that cannot be.

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

/** What `text` is as a header: its UTF-8 bytes, a character each. */
const bytesOf = (text: string) =>
  String.fromCharCode(...new TextEncoder().encode(text));

/** The ids that are sent, where the stream sets this one. */
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

Deno.test("an id of 8 KiB is sent, counted in UTF-8", async () => {
  for (const id of ["x".repeat(8192), "☃".repeat(2730) + "é"]) {
    assertEquals(await sentAfter(id), [null, bytesOf(id)]);
  }
});

Deno.test("an id with a tab is sent", async () => {
  assertEquals(await sentAfter("a\tb"), [null, "a\tb"]);
});

const unsendable = {
  "of 8 KiB and a byte": "x".repeat(8193),
  "of 8 KiB and a byte in UTF-8": "☃".repeat(2730) + "éx",
  "of ten million characters": "x".repeat(1e7),
  "with a control character": "a\x01b",
};
for (const [what, id] of Object.entries(unsendable)) {
  Deno.test(`an id ${what} ends a stream that would reconnect, and says why`, async () => {
    const { fetch, requests } = inTurn(
      () => eventResponse(`id: ${id}\ndata: a\n\n`),
    );
    await using sse = await connectSse(url, {
      fetch,
      reconnect: { initialDelay: 0, shouldReconnect: () => true },
    });
    assertEquals((await sse.next()).value?.id.length, id.length);
    const error = await assertSseError(sse.next(), "reconnect-failed");
    assertStringIncludes(error.message, "last event ID");
    assertStringIncludes(error.message, `${id.length} characters`);
    assertEquals(error.message.length < 500, true);
    assertEquals((error.cause as SseError).code, "truncated");
    assertStrictEquals(error.response, sse.response);
    assertEquals(await sse.next(), done);
    assertEquals(requests.length, 1);
  });

  Deno.test(`an id ${what} ends a stream that reconnect() is called on`, async () => {
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

  Deno.test(`an id ${what} is read where nothing reconnects`, async () => {
    await using sse = await connectSse(url, {
      fetch: () => eventResponse(`id: ${id}\ndata: a\n\ndata: b\n\n`),
    });
    assertEquals((await sse.next()).value?.data, "a");
    assertEquals((await sse.next()).value?.id, id);
    assertEquals(await sse.next(), done);
  });

  Deno.test(`an id ${what} is refused as an option, and sends nothing`, async () => {
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

Deno.test("an id that is too long is sent nowhere once the stream has taken it back", async () => {
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

Deno.test("a Last-Event-ID header stands in for an option that is empty, and for no other", async () => {
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

Deno.test("a Last-Event-ID header may begin with a BOM, which is a part of the id", async () => {
  const id = "\ufeffa";
  const { fetch, requests } = inTurn(() => eventResponse("data: a\n\n"));
  await using sse = await connectSse(url, {
    fetch,
    headers: { "Last-Event-ID": bytesOf(id) },
  });
  assertEquals(sse.lastEventId, id);
  assertEquals(requests[0].headers.get("last-event-id"), bytesOf(id));
});
