import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Has V8 collect all garbage. */
export const collectGarbage: () => void = runInNewContext("gc");

/** Bytes of heap in use, garbage not counted. */
export function heldBytes(): number {
  collectGarbage();
  return Deno.memoryUsage().heapUsed;
}
