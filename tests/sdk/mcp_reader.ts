import { readSse } from "../../mod.ts";
import { type Replacement, replaceMethod } from "./compare.ts";
import {
  isJSONRPCResultResponse,
  JSONRPCMessageSchema,
  type StartSSEOptions,
  StreamableHTTPClientTransport,
} from "./mcp_sdk.ts";

/** Makes `@modelcontextprotocol/sdk` read its streams with `readSse`. */
export function replaceReader(): Replacement {
  return replaceMethod(
    // The method is private, so that the types do not declare it.
    // deno-lint-ignore no-explicit-any
    StreamableHTTPClientTransport.prototype as any,
    "_handleSseStream",
    handleStream,
  );
}

/**
 * Does the same as the transport's method, but with `readSse` as the reader.
 */
async function handleStream(
  this: StreamableHTTPClientTransport,
  stream: ReadableStream<Uint8Array>,
  { resumptionToken, onresumptiontoken, replayMessageId }: StartSSEOptions,
  isReconnectable: boolean,
): Promise<void> {
  const { signal } = this["_abortController"] as AbortController;
  const sse = readSse(stream, { signal, lastEventId: resumptionToken });
  let { lastEventId } = sse;
  let hasResponse = false;
  try {
    for await (const event of sse) {
      if (event.id !== lastEventId) {
        lastEventId = event.id;
        onresumptiontoken?.(event.id);
      }
      if (event.data === "" || event.event !== "message") continue;
      try {
        const message = JSONRPCMessageSchema.parse(event.json());
        if (isJSONRPCResultResponse(message)) {
          hasResponse = true;
          if (replayMessageId !== undefined) message.id = replayMessageId;
        }
        this.onmessage?.(message);
      } catch (error) {
        this.onerror?.(error as Error);
      }
    }
  } catch (error) {
    this.onerror?.(new Error(`SSE stream disconnected: ${error}`));
  }
  if (sse.reconnectionTime !== undefined) {
    this["_serverRetryMs"] = sse.reconnectionTime;
  }
  const canResume = isReconnectable || sse.lastEventId !== "";
  if (canResume && !hasResponse && !signal.aborted) {
    this["_scheduleReconnection"]({
      resumptionToken: sse.lastEventId || undefined,
      onresumptiontoken,
      replayMessageId,
    });
  }
}
