import { assertEquals } from "@std/assert";
import { StringBuilder } from "../../src/read/string_builder.ts";

function lines(count: number, length: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => String(i).padEnd(length, "x"),
  );
}

Deno.test("StringBuilder joins its pieces with the separator", () => {
  for (const count of [1, 2, 255, 256, 257, 512, 1000]) {
    for (const separator of ["", "\n"]) {
      const builder = new StringBuilder(separator);
      const pieces = lines(count, 3);
      for (const piece of pieces) builder.append(piece);
      const expected = pieces.join(separator);
      assertEquals(builder.count, count);
      assertEquals(builder.length, expected.length);
      assertEquals(builder.take(), expected);
    }
  }
});

Deno.test("StringBuilder joins long pieces, which it does not copy, as well", () => {
  const builder = new StringBuilder("\n");
  const pieces = lines(600, 2000);
  for (const piece of pieces) builder.append(piece);
  assertEquals(builder.take(), pieces.join("\n"));
});

Deno.test("StringBuilder tells apart no piece and an empty one", () => {
  const builder = new StringBuilder("\n");
  assertEquals(builder.take(), undefined);
  builder.append("");
  assertEquals(builder.take(), "");
  builder.append("");
  builder.append("");
  assertEquals(builder.length, 1);
  assertEquals(builder.take(), "\n");
});

Deno.test("StringBuilder is empty after take()", () => {
  const builder = new StringBuilder("\n");
  for (const piece of lines(300, 1)) builder.append(piece);
  builder.take();
  assertEquals(builder.count, 0);
  assertEquals(builder.length, 0);
  builder.append("a");
  builder.append("b");
  assertEquals(builder.take(), "a\nb");
});
