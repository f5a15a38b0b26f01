import { assertEquals } from "@std/assert";
import { connectSse, lastEventIdOf, sseResponse } from "../mod.ts";
import { HttpServer } from "./support/http_server.ts";

const url = "http://localhost/";

/** The value by which a header carries the bytes. */
function header(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

for (
  const [what, address, headers, expected] of [
    ["none", url, {}, ""],
    ["an empty header", url, { "Last-Event-ID": "" }, ""],
    ["a header", url, { "Last-Event-ID": "7" }, "7"],
    ["UTF-8", url, { "last-event-id": header("7 é☃🎉") }, "7 é☃🎉"],
    ["a BOM", url, { "Last-Event-ID": header("\uFEFF7") }, "\uFEFF7"],
    ["what is no UTF-8", url, { "Last-Event-ID": "\xe9" }, "\xe9"],
    ["a query", url + "?lastEventId=%E2%98%83+7", {}, "☃ 7"],
    ["a query with underscores", url + "?a=b&last_event_id=7", {}, "7"],
    ["an empty query", url + "?lastEventId=&last_event_id=7", {}, "7"],
    [
      "a header, of which a query is the older",
      url + "?lastEventId=6",
      { "Last-Event-ID": "7" },
      "7",
    ],
    [
      "a query beside an empty header",
      url + "?lastEventId=6",
      { "Last-Event-ID": "" },
      "6",
    ],
  ] satisfies [string, string, HeadersInit, string][]
) {
  Deno.test(`lastEventIdOf reads ${what}`, () => {
    assertEquals(lastEventIdOf(new Request(address, { headers })), expected);
  });
}

Deno.test("lastEventIdOf reads what connectSse sends, over the network", async () => {
  const ids: string[] = [];
  await using server = new HttpServer(({ headers, path }) => {
    ids.push(lastEventIdOf(new Request(new URL(path, url), { headers })));
    return sseResponse([]);
  });
  for (const lastEventId of ["7", "é☃🎉", "a b"]) {
    await (await connectSse(server.url, { lastEventId })).close();
  }
  assertEquals(ids, ["7", "é☃🎉", "a b"]);
});
