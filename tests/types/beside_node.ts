// A Deno program that also has the types of Node, for example through a package.

/// <reference types="npm:@types/node@26.6.6" />

export * from "../../mod.ts";
export * from "../../src/event_source.ts";
export * from "../../src/event_log/mod.ts";
export * from "../../src/event_log/kv.ts";
export * from "../../src/event_log/redis.ts";
export * from "../../src/event_log/sql.ts";
export * from "../../src/testing.ts";
export * from "../../src/typed_events.ts";
