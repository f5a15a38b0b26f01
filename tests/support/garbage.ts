import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Runs V8's garbage collector. */
export const collectGarbage: () => void = runInNewContext("gc");

/** Returns the bytes of heap in use, without garbage. */
export function heldBytes(): number {
  collectGarbage();
  return Deno.memoryUsage().heapUsed;
}
