/* @ts-self-types="./streams.d.ts" */

// The npm package is JavaScript without types; streams.d.ts declares them.
export * from "npm:deno-std@1.4.0/streams/mod.js";
