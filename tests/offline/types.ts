// `assertType` and `IsExact` of @std/testing/types.

/** Whether both are the same type. `any` is the same only as `any`. */
export type IsExact<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : false;

/** Checked only by the compiler: `assertType<IsExact<A, B>>(true)`. */
export function assertType<Is extends boolean>(_is: Is): void {}
