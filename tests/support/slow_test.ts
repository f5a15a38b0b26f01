/**
 * Registers a test that takes long. `deno task test:slow` runs it; anything else
 * ignores it. Slow tests have files of their own, named `*_slow_test.ts`.
 */
export function slowTest(
  name: string,
  fn: () => Promise<void>,
  notRun?: string,
): void {
  const isWanted = Deno.env.get("SLOW_TESTS") === "1";
  Deno.test({ name, fn, ignore: !isWanted || notRun !== undefined });
}
