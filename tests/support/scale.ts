const scale = Number(Deno.env.get("TEST_SCALE") ?? 1);
if (!(scale > 0)) {
  throw new RangeError(
    `Expected TEST_SCALE to be a positive number, got ${
      Deno.env.get("TEST_SCALE")
    }`,
  );
}

/**
 * Returns how many cases a random test runs: the default, multiplied by the
 * environment variable `TEST_SCALE`. Each test counts its seeds up from 1.
 */
export function scaled(cases: number): number {
  return Math.ceil(cases * scale);
}
