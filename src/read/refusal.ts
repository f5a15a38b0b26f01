/**
 * Responses that are no event stream.
 *
 * @module
 */

import { SseError } from "../error.ts";
import { quote } from "../internal/quote.ts";
import { wait } from "../internal/wait.ts";
import { MAX_BODY_LENGTH, MAX_BODY_TIME } from "./limits.ts";

/** The type of an event stream, alone or in a list, with or without parameters. */
const EVENT_STREAM = /(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i;

/** Whether a response is no event stream. */
export function isRefused(
  response: Response,
  anyContentType?: boolean,
): boolean {
  const type = response.headers.get("Content-Type") ?? "";
  return !hasGoodStatus(response) ||
    !anyContentType && !EVENT_STREAM.test(type);
}

function hasGoodStatus(response: Response): boolean {
  const { status } = response;
  return status >= 200 && status < 300 && !endsStream(response);
}

/** Whether the status means that there is no stream, and will be none. */
export function endsStream({ status }: Response): boolean {
  return status === 204 || status === 205;
}

/** Makes the error of a refused response, whose message quotes the body. */
export function refusalError(response: Response, body?: string): SseError {
  // An object like a response, as tests make them, may have no `statusText`.
  const { status, statusText = "", headers } = response;
  const code = hasGoodStatus(response) ? "content-type" : "status";
  const message = code === "status"
    ? `Expected a status of 2xx, got ${status} ${quote(statusText)}`.trim()
    : "Expected the content type text/event-stream (or anyContentType), got " +
      quote(headers.get("Content-Type") ?? "none");
  const start = quote(body ?? "");
  return new SseError(code, start ? `${message}: ${start}` : message, {
    response,
    body,
  });
}

/**
 * Reads the start of a response's body, which stays readable. Returns undefined if
 * another reader has locked or read it.
 */
export async function startOfBody(
  response: Response,
  signal: AbortSignal,
): Promise<string | undefined> {
  // An in-process handler may send text instead of bytes.
  let reader:
    | ReadableStreamDefaultReader<Uint8Array<ArrayBuffer> | string>
    | undefined;
  try {
    // An object like a response, as tests make them, may have no `clone`.
    reader = (response.clone?.() ?? response).body?.getReader();
  } catch {
    return undefined;
  }
  if (!reader) return "";
  const utf8 = new TextDecoder();
  let text = "";
  async function read() {
    while (text.length < MAX_BODY_LENGTH) {
      const { done, value } = await reader!.read();
      if (done) return;
      text += typeof value === "string"
        ? value
        : utf8.decode(value, { stream: true });
    }
  }
  try {
    await wait(MAX_BODY_TIME, signal, read());
  } catch {
    // The connection failed. What arrived before it is returned.
  }
  reader.cancel().catch(() => {});
  return text.slice(0, MAX_BODY_LENGTH);
}
