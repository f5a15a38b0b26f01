import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Has V8 collect all garbage, so that what is held can be told from it. */
export const collectGarbage: () => void = runInNewContext("gc");
