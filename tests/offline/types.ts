// `assertType` and `IsExact` of @std/testing/types.

/** Whether the two are one type; `any` is none but itself. */
export type IsExact<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : false;

/** Checked by the compiler alone: `assertType<IsExact<A, B>>(true)`. */
export function assertType<Is extends boolean>(_is: Is): void {}
