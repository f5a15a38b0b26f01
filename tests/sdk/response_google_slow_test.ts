/** Asserts what `@google/genai` reads from a proxy that is an `sseResponse`. */
import { assertEquals } from "@std/assert";
import { GoogleGenAI } from "npm:@google/genai@3.3.0";
import { connectSse, sseResponse, type SseResponseInit } from "../../mod.ts";
import { HttpServer } from "../support/http_server.ts";
import { eventResponse } from "../support/open_response.ts";
import { slowTest } from "../support/slow_test.ts";
import { geminiChunk } from "./sse_fetch_apis.ts";
import { dataOf } from "./sse_fetch_faults.ts";

/** Returns the texts that the SDK reads through a proxy. */
async function readThroughProxy(init: SseResponseInit): Promise<unknown[]> {
  const stream = dataOf(geminiChunk("Hel")) + dataOf(geminiChunk("lo", "STOP"));
  await using proxy = new HttpServer(() =>
    sseResponse((signal) =>
      connectSse("http://in.process/", {
        signal,
        fetch: () => eventResponse(stream),
      }), init)
  );
  const { models } = new GoogleGenAI({
    apiKey: "key",
    httpOptions: { baseUrl: proxy.url },
  });
  const chunks = await models.generateContentStream({
    model: "a-model",
    contents: "Greet.",
  });
  return await Array.fromAsync(
    chunks,
    (chunk) => chunk.candidates?.[0].content?.parts?.[0].text,
  );
}

slowTest("@google/genai reads all events behind a proxy", async () => {
  assertEquals(await readThroughProxy({}), ["Hel", "lo"]);
});

slowTest("@google/genai loses the event after a heartbeat", async () => {
  assertEquals(await readThroughProxy({ heartbeat: 60_000 }), ["lo"]);
});
