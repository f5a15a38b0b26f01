// The functions of @std/assert that the tests use.

// deno-lint-ignore no-explicit-any
type Constructor<T> = abstract new (...args: any[]) => T;

export declare function assert(expr: unknown, msg?: string): asserts expr;
export declare function assertFalse(expr: unknown, msg?: string): void;
export declare function equal(a: unknown, b: unknown): boolean;
export declare function assertEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;
export declare function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;
export declare function assertNotStrictEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;
export declare function assertGreater<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;
export declare function assertLess<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;
export declare function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;

export declare function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void;
export declare function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void;
export declare function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Constructor<T>,
  msg?: string,
): asserts actual is T;
export declare function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: Constructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E;
export declare function assertThrows(fn: () => unknown, msg?: string): unknown;
export declare function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export declare function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
export declare function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

export declare function fail(msg?: string): never;
