/**
 * Names of error classes.
 *
 * @module
 */

/**
 * Sets the `name` of an error class on its prototype, as the platform's own
 * errors have it, so that it is not printed as a property of each error.
 *
 * A class calls it in a static field, marked as a pure call. In a static block,
 * which bundlers take for a side effect, it would keep the class in each bundle.
 *
 * @param prototype Returns the prototype, which has to exist by then.
 */
export function nameErrors(prototype: () => Error, name: string): true {
  prototype().name = name;
  return true;
}
