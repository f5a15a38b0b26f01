/** The cases, and the function that runs them in a runtime. */
import type { Case } from "./case.ts";
import { decoding } from "./cases/decoding.ts";
import { eventSource } from "./cases/event_source.ts";
import { guarding } from "./cases/guarding.ts";
import { llm } from "./cases/llm.ts";
import { looping } from "./cases/looping.ts";
import { reading } from "./cases/reading.ts";
import { reconnecting } from "./cases/reconnecting.ts";
import { requests } from "./cases/requests.ts";
import { testing } from "./cases/testing.ts";
import { typing } from "./cases/typed_events.ts";
import { writing } from "./cases/writing.ts";
import type { Context, Result } from "./protocol.ts";

/** Timeout of a case, in milliseconds. */
const DEADLINE = 5000;

/** All cases, in the order of the table. */
export const all: Case[] = [
  ...decoding,
  ...looping,
  ...reading,
  ...reconnecting,
  ...requests,
  ...guarding,
  ...llm,
  ...writing,
  ...testing,
  ...typing,
  ...eventSource,
];

/** Returns the cases for a runtime, in the order of the table. */
export function casesFor(
  { browser, runtime }: Pick<Context, "browser" | "runtime">,
): Case[] {
  return all.filter(({ browserOnly, nodeOnly }) =>
    browserOnly ? browser : !nodeOnly || runtime.startsWith("Node")
  );
}

/** Runs the cases one after another, and reports each to the fixture server. */
export async function run(context: Context): Promise<void> {
  for (const { name, run } of casesFor(context)) {
    const result: Result = { name };
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`The case took longer than ${DEADLINE} ms`)),
      DEADLINE,
    );
    try {
      await Promise.race([run(context), timeout]);
    } catch (error) {
      result.error = error instanceof Error
        ? `${error.name}: ${error.message}`
        : String(error);
    } finally {
      clearTimeout(timer);
    }
    const response = await fetch(`${context.origin}/results`, {
      method: "POST",
      body: JSON.stringify(result),
    });
    await response.body?.cancel();
  }
}
