import type { Context } from "./protocol.ts";

/** One row of the table. */
export interface Case {
  /** A sentence about behaviour. */
  name: string;
  run(context: Context): void | Promise<void>;
  /** Run in browsers only, as it says nothing elsewhere. */
  browserOnly?: boolean;
  /** Run in Node only. */
  nodeOnly?: boolean;
}
