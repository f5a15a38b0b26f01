// Whether a request has them is tested in runtimes/cases/event_source_connection.ts.

import { assertEquals } from "@std/assert";
import { takeCredentials } from "../../src/event_source/credentials.ts";

Deno.test("takeCredentials moves the user and the password of a URL to the header Authorization", () => {
  const users: Record<string, string> = {
    "user:pass": "user:pass",
    "user": "user:",
    ":pass": ":pass",
    "u%40b:p%3Aq%25": "u@b:p:q%",
    "é:☃": "\xc3\xa9:\xe2\x98\x83",
    "a%zz:b%": "a%zz:b%",
    "a%u2603:%U0041": "a%u2603:%U0041",
  };
  for (const [user, bytes] of Object.entries(users)) {
    const headers = new Headers();
    const url = takeCredentials(`http://${user}@host/path?q`, headers);
    assertEquals(url.href, "http://host/path?q");
    assertEquals(headers.get("Authorization"), `Basic ${btoa(bytes)}`);
  }
});

Deno.test("takeCredentials sets no header if there are no credentials, or a header", () => {
  const headers = new Headers();
  assertEquals(takeCredentials("http://host/", headers).href, "http://host/");
  assertEquals([...headers], []);

  const bearer = new Headers({ Authorization: "Bearer t" });
  const url = takeCredentials("http://u:p@host/", bearer);
  assertEquals(url.href, "http://host/");
  assertEquals(bearer.get("Authorization"), "Bearer t");
});
