import { assertEquals } from "@std/assert";
import {
  escapeControls,
  quote,
  withoutSecrets,
} from "../../src/internal/quote.ts";

Deno.test("withoutSecrets removes the secrets of strings that are no URL", () => {
  const texts = {
    "/events?token=secret": "/events?…",
    "Invalid URL: '/events?token=secret'": "Invalid URL: '/events?…",
    "api.example.com/feed?token=secret": "api.example.com/feed?…",
    "example.com#access_token=secret": "example.com?…",
    "user:secret@example.com/feed": "example.com/feed",
    "https://user:se/cret@host/": "https://host/",
    "https://user:se?cret@host/": "https://host/",
    "https://user:se#cret@host/": "https://host/",
    "https:/user:secret@host/feed": "https:/host/feed",
    "https:user:secret@host/feed": "https:host/feed",
    "https:\\\\user:secret@host/feed": "https:\\\\host/feed",
    "(http://user:secret@host:1233/p?k=secret):": "(http://host:1233/p?…",
    "https://user:$se/cret@host/": "https://host/",
    "https://user:1se/cret@host/": "https://host/",
    "http://a/,http://user:secret@b/": "http://a/,http://b/",
    "http://a:80,http://user:secret@b/": "http://a:80,http://b/",
    "wss://user:secret@host/p?secret": "wss://host/p?…",
    "'user:secret@host'": "'host'",
  };
  for (const [text, expected] of Object.entries(texts)) {
    assertEquals(withoutSecrets(text), expected);
  }
});

Deno.test("withoutSecrets keeps words that are no URL", () => {
  for (
    const text of [
      "Who are you?",
      "Ask bob@example.com, or C#",
      '{"to":"bob@example.com","at":"12:30"}',
      "http://localhost:1233): connection refused",
      "http://[::1]:8080/@team",
      "https://esm.sh/@scope/name",
      "npm:name@1.0, jsr:@scope/name@1",
    ]
  ) {
    assertEquals(withoutSecrets(text), text);
  }
});

Deno.test("escapeControls escapes control characters except tabs and newlines", () => {
  assertEquals(
    escapeControls("\x1b[31m\0\x7f\x9b a\tb\n"),
    "\\u001b[31m\\u0000\\u007f\\u009b a\tb\n",
  );
});

Deno.test("quote returns one line without control characters and secrets", () => {
  assertEquals(quote("  a\r\n\n\tb  "), "a b");
  assertEquals(
    quote("\x1b[2J at http://h?k=secret"),
    "\\u001b[2J at http://h?…",
  );
  assertEquals(quote(""), "");
});

Deno.test("quote shortens a text, and never ends inside a surrogate pair", () => {
  for (let length = 195; length < 205; length++) {
    const text = quote("a".repeat(length) + "🎉".repeat(5000));
    assertEquals(text.isWellFormed(), true, text);
    assertEquals(text.length <= 201, true, `${text.length}`);
    assertEquals(text.endsWith("…"), true, text);
  }
  // Whitespace that is collapsed, and a pair where the start of the text is cut.
  for (let length = 1995; length < 2005; length++) {
    assertEquals(quote(" ".repeat(length) + "🎉🎉").isWellFormed(), true);
  }
});
