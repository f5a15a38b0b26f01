import { assertEquals } from "@std/assert";
import { truncate } from "../../src/internal/truncate.ts";

Deno.test("truncate returns a text unchanged if it is short enough", () => {
  for (const text of ["", "ab", "abc", "a🎉"]) {
    assertEquals(truncate(text, 3), text);
  }
});

Deno.test("truncate cuts a longer text and adds an ellipsis", () => {
  assertEquals(truncate("abcd", 3), "abc…");
});

Deno.test("truncate never cuts a surrogate pair in two", () => {
  assertEquals(truncate("ab🎉cd", 2), "ab…");
  assertEquals(truncate("ab🎉cd", 3), "ab…");
  assertEquals(truncate("ab🎉cd", 4), "ab🎉…");
  assertEquals(truncate("🎉🎉🎉", 3), "🎉…");
});
