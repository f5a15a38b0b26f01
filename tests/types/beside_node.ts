// A program on Deno that uses the types of Node too, as through a package.

/// <reference types="npm:@types/node@26.6.6" />

export * from "../../mod.ts";
export * from "../../src/event_source.ts";
export * from "../../src/event_log/mod.ts";
export * from "../../src/typed_events.ts";
