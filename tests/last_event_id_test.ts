import { assertEquals } from "@std/assert";
import { connectSse, lastEventIdOf, sseResponse } from "../mod.ts";
import { headerValue } from "../src/last_event_id.ts";
import { HttpServer } from "./support/http_server.ts";

const url = "http://localhost/";

/** Returns a header value that carries the text as UTF-8. */
function header(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

for (
  const [what, address, headers, expected] of [
    ["no ID as an empty string", url, {}, ""],
    ["an empty header as an empty string", url, { "Last-Event-ID": "" }, ""],
    ["a header", url, { "Last-Event-ID": "7" }, "7"],
    ["UTF-8 in a header", url, { "last-event-id": header("7 é☃🎉") }, "7 é☃🎉"],
    [
      "a BOM in a header",
      url,
      { "Last-Event-ID": header("\uFEFF7") },
      "\uFEFF7",
    ],
    ["a header that is not UTF-8", url, { "Last-Event-ID": "\xe9" }, "\xe9"],
    ["a query parameter", url + "?lastEventId=%E2%98%83+7", {}, "☃ 7"],
    [
      "a query parameter with underscores",
      url + "?a=b&last_event_id=7",
      {},
      "7",
    ],
    [
      "the second query parameter if the first is empty",
      url + "?lastEventId=&last_event_id=7",
      {},
      "7",
    ],
    [
      "the header if there is a query parameter, too",
      url + "?lastEventId=6",
      { "Last-Event-ID": "7" },
      "7",
    ],
    [
      "the query parameter if the header is empty",
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

Deno.test("lastEventIdOf reads the ID that connectSse sends over the network", async () => {
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

Deno.test("an ASCII ID is read and sent without a probe of Headers, which prints a warning in a Worker", () => {
  const request = new Request(url, { headers: { "Last-Event-ID": "7" } });
  const { Headers } = globalThis;
  let probes = 0;
  globalThis.Headers = class extends Headers {
    constructor(init?: HeadersInit) {
      probes++;
      super(init);
    }
  };
  try {
    assertEquals(lastEventIdOf(request), "7");
    assertEquals(headerValue("7"), "7");
    assertEquals(probes, 0);
  } finally {
    globalThis.Headers = Headers;
  }
});
