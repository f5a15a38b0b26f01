import type { Context } from "./protocol.ts";

/** A test that runs on every runtime: a row of the table. */
export interface Case {
  /** A statement about the subject, unique in the suite. */
  name: string;
  run(context: Context): void | Promise<void>;
  /** Runs in browsers only, because it tests nothing elsewhere. */
  browserOnly?: boolean;
  /** Runs in Node only. */
  nodeOnly?: boolean;
}
