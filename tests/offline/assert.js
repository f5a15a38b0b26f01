/* @ts-self-types="./assert.d.ts" */

// The npm package is JavaScript without types; assert.d.ts declares them.
export * from "npm:deno-std@1.4.0/assert/mod.js";
