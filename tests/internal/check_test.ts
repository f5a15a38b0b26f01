import { assertEquals, assertThrows } from "@std/assert";
import {
  check,
  checkBoolean,
  checkSignal,
  checkType,
  functionOption,
  numberOption,
  textOf,
  timeoutOption,
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

Deno.test("functionOption returns a function or undefined", () => {
  const f = () => {};
  assertEquals(functionOption({ f: undefined }, "f"), undefined);
  assertEquals(functionOption({ f }, "f"), f);
  assertThrows(
    () => functionOption({ f: null }, "f"),
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

Deno.test("numberOption returns a number of the range, both ends included, or the default", () => {
  assertEquals(numberOption({ jitter: 0 }, "jitter", 0.5, 0, 1), 0);
  assertEquals(numberOption({ jitter: 1 }, "jitter", 0.5, 0, 1), 1);
  assertEquals(numberOption({}, "jitter", 0.5, 0, 1), 0.5);
  assertEquals(numberOption({ delay: 1e9 }, "delay", 1, 0), 1e9);
  for (const jitter of [-0.1, 1.1, NaN, null, "1"] as number[]) {
    assertThrows(
      () => numberOption({ jitter }, "jitter", 0.5, 0, 1),
      RangeError,
      `Expected jitter to be a number from 0 to 1, got ${
        typeof jitter === "string" ? '"1"' : jitter
      }`,
    );
  }
});

Deno.test("timeoutOption returns a delay for a timer, or undefined for none", () => {
  assertEquals(timeoutOption({}, "t"), undefined);
  assertEquals(timeoutOption({ t: Infinity }, "t"), undefined);
  assertEquals(timeoutOption({ t: 1.5 }, "t"), 1.5);
  assertEquals(timeoutOption({ t: 2 ** 31 - 1 }, "t"), 2 ** 31 - 1);
  assertEquals(timeoutOption({ t: 2 ** 31 }, "t"), 2 ** 31 - 1);
  for (const t of [0, 0.9, -1, NaN, "5"] as number[]) {
    assertThrows(
      () => timeoutOption({ t }, "t"),
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
