import { assertEquals, assertThrows } from "@std/assert";
import {
  check,
  checkBoolean,
  checkFunction,
  checkRange,
  checkSignal,
  checkTimeout,
  checkType,
  textOf,
} from "../../src/internal/check.ts";

Deno.test("check says what was expected and what was received", () => {
  const received: [unknown, string][] = [
    [undefined, "undefined"],
    [null, "null"],
    [5, "5"],
    ["a\nb", '"a\\nb"'],
    ["x".repeat(101), `"${"x".repeat(100)}…"`],
    [[], "object"],
    [[1, 2], "1,2"],
    [{}, "[object Object]"],
    [Object.create(null), "object"],
    [Symbol("s"), "Symbol(s)"],
    [{ toString: () => "x".repeat(101) }, `${"x".repeat(100)}…`],
  ];
  for (const [value, text] of received) {
    assertThrows(
      () => check(false, "a cat", value),
      TypeError,
      `Expected a cat, got ${text}`,
    );
  }
  check(true, "a cat", 5);
  assertThrows(() => check(0, "a cat", 5, RangeError), RangeError);
});

Deno.test("textOf never throws", () => {
  assertEquals(textOf("a"), "a");
  assertEquals(textOf(Object.create(null)), "object");
});

Deno.test("checkType accepts the type alone, and not null", () => {
  checkType({}, "object", "");
  checkType("", "string", "");
  assertThrows(() => checkType(null, "object", "x"), TypeError, "got null");
  assertThrows(() => checkType(1, "string", "x"), TypeError, "got 1");
});

Deno.test("checkFunction accepts a function or undefined", () => {
  checkFunction("f", undefined);
  checkFunction("f", () => {});
  assertThrows(
    () => checkFunction("f", null),
    TypeError,
    "Expected f to be a function, got null",
  );
});

Deno.test("checkSignal accepts anything that has `aborted`, null and undefined", () => {
  for (
    const signal of [
      undefined,
      null,
      new AbortController().signal,
      { aborted: false } as AbortSignal,
    ]
  ) {
    checkSignal(signal);
  }
  assertThrows(
    () => checkSignal({} as AbortSignal),
    TypeError,
    "Expected signal to be an AbortSignal",
  );
});

Deno.test("checkRange accepts the numbers of the range, both ends included", () => {
  checkRange("jitter", 0, 0, 1);
  checkRange("jitter", 1, 0, 1);
  checkRange("delay", 1e9, 0);
  for (const value of [-0.1, 1.1, NaN, "1" as unknown as number]) {
    assertThrows(
      () => checkRange("jitter", value, 0, 1),
      RangeError,
      "Expected jitter to be a number from 0 to 1, got ",
    );
  }
});

Deno.test("checkTimeout returns a delay for a timer, or undefined for none", () => {
  assertEquals(checkTimeout("t", undefined), undefined);
  assertEquals(checkTimeout("t", Infinity), undefined);
  assertEquals(checkTimeout("t", 1.5), 1.5);
  assertEquals(checkTimeout("t", 2 ** 31 - 1), 2 ** 31 - 1);
  assertEquals(checkTimeout("t", 2 ** 31), 2 ** 31 - 1);
  for (const value of [0, 0.9, -1, NaN, "5" as unknown as number]) {
    assertThrows(
      () => checkTimeout("t", value),
      RangeError,
      "Expected t to be a number from 1 to Infinity, got ",
    );
  }
});

Deno.test("checkBoolean returns the result as a boolean, and throws if it is a promise", () => {
  for (const value of [true, 1, "a", {}]) {
    assertEquals(checkBoolean("until", value), true);
  }
  for (const value of [false, 0, "", null, undefined]) {
    assertEquals(checkBoolean("until", value), false);
  }
  for (const value of [Promise.resolve(false), { then() {} }]) {
    assertThrows(
      () => checkBoolean("until", value),
      TypeError,
      'Expected until to return a boolean, got "a promise"',
    );
  }
});
