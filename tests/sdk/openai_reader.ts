import { APIError, type OpenAI } from "npm:openai@7.57.0";
import { Stream } from "npm:openai@7.57.0/streaming";
import { readSse, type ReadSseOptions } from "../../mod.ts";
import { type Replacement, replaceMethod } from "./compare.ts";

/** Makes `openai` read its streams with `readSse`. */
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
  client?: OpenAI,
  synthesizeEventData?: boolean,
  streamMode: "legacy" | "events" = "legacy",
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
        if (event.data === "[DONE]") break;
        const data = parse(event.data);
        if (streamMode === "legacy") {
          if (event.event.startsWith("thread.")) {
            yield { event: event.event, data } as Item;
            continue;
          }
          if (event.event === "error" || data?.error) {
            throw new APIError(
              undefined,
              data?.error ?? data,
              undefined,
              response.headers,
            );
          }
        }
        yield synthesizeEventData ? { event: event.event, data } : data;
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
function parse(data: string): any {
  try {
    return JSON.parse(data);
  } catch {
    throw new SyntaxError(
      "Error reading response: malformed server-sent event JSON.",
    );
  }
}
