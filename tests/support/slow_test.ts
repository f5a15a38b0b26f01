/** The reason why slow tests are skipped, or undefined in `deno task test:slow`. */
export const slowTestsNotRun: string | undefined =
  Deno.env.get("SLOW_TESTS") === "1" ? undefined : "SLOW_TESTS is not 1";

/** Registers a test that takes long, in a file named `*_slow_test.ts`. */
export function slowTest(
  name: string,
  fn: () => void | Promise<void>,
  notRun: string | undefined = slowTestsNotRun,
): void {
  Deno.test({ name, fn, ignore: (slowTestsNotRun ?? notRun) !== undefined });
}
