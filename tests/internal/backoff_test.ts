import { assert, assertEquals } from "@std/assert";
import { type Backoff, backoffDelay } from "../../src/internal/backoff.ts";

const backoff: Backoff = { initial: 100, max: 1000, factor: 3, jitter: 0 };

Deno.test("backoffDelay multiplies the initial delay with each attempt, up to the maximum", () => {
  assertEquals(
    [1, 2, 3, 4, 10_000].map((attempt) => backoffDelay(backoff, attempt)),
    [100, 300, 900, 1000, 1000],
  );
});

Deno.test("backoffDelay keeps the delay constant with a factor of 1", () => {
  const constant = { ...backoff, factor: 1 };
  assertEquals(backoffDelay(constant, 10_000), 100);
});

Deno.test("backoffDelay subtracts a random share of up to `jitter`", () => {
  const { random } = Math;
  try {
    Math.random = () => 0;
    assertEquals(backoffDelay({ ...backoff, jitter: 0.5 }, 1), 100);
    Math.random = () => 0.5;
    assertEquals(backoffDelay({ ...backoff, jitter: 0.5 }, 1), 75);
    assertEquals(backoffDelay({ ...backoff, jitter: 1 }, 1), 50);
  } finally {
    Math.random = random;
  }
  const delays = Array.from(
    { length: 100 },
    () => backoffDelay({ ...backoff, jitter: 0.5 }, 2),
  );
  assert(delays.every((delay) => delay > 150 && delay <= 300));
  assert(new Set(delays).size > 1);
});
