import { APIError } from "npm:@anthropic-ai/sdk@1.12.0";
import { Stream } from "npm:@anthropic-ai/sdk@1.12.0/streaming";
import { readSse, type ReadSseOptions } from "../../mod.ts";
import { type Replacement, replaceMethod } from "./compare.ts";

/** Makes `@anthropic-ai/sdk` read its streams with `readSse`. */
export function replaceReader(options: ReadSseOptions = {}): Replacement {
  return replaceMethod<"fromSSEResponse", typeof Stream.fromSSEResponse>(
    Stream,
    "fromSSEResponse",
    (...args) => streamOf(options, ...args),
  );
}

/**
 * Does the same as `Stream.fromSSEResponse`, but with `readSse` as the reader.
 */
function streamOf<Item>(
  options: ReadSseOptions,
  response: Response,
  controller: AbortController,
  client?: ConstructorParameters<typeof Stream>[2],
): Stream<Item> {
  async function* items(): AsyncGenerator<Item> {
    const { signal } = controller;
    let isDone = false;
    try {
      const sse = readSse(response, {
        anyContentType: true,
        signal,
        ...options,
      });
      for await (const event of sse) {
        // All events of this API have names. The SDK ignores others.
        if (event.event === "message" || event.event === "ping") continue;
        if (event.event === "error") {
          const body = jsonOrText(event.data);
          throw new APIError(undefined, body, undefined, response.headers);
        }
        if (event.data !== "") yield event.json<Item>();
      }
      isDone = true;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (!isDone) controller.abort();
    }
  }
  return new Stream(items, controller, client);
}

// deno-lint-ignore no-explicit-any
function jsonOrText(data: string): any {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
