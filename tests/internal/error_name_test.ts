import { assertEquals } from "@std/assert";
import { nameErrors } from "../../src/internal/error_name.ts";

Deno.test("nameErrors names a class's errors on the prototype", () => {
  class Broken extends Error {
    static #named = nameErrors(() => Broken.prototype, "Broken");
    static isNamed = () => Broken.#named;
  }
  const error = new Broken("a cup");
  assertEquals(Broken.isNamed(), true);
  assertEquals(error.name, "Broken");
  assertEquals(String(error), "Broken: a cup");
  assertEquals(Object.keys(error), []);
});
