/** V8's garbage collector, there because `child.ts` passes `--expose-gc`. */
export const gc = (globalThis as unknown as { gc(): void }).gc;
