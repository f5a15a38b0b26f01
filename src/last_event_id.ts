/**
 * The id that a client got last, as a request carries it.
 *
 * @module
 */

/**
 * The id up to which a client has read, and after which it asks to go on: the
 * `Last-Event-ID` header that `EventSource` and `connectSse` send when they
 * connect again, or else the `lastEventId` or `last_event_id` of the URL's
 * query, for clients that can set no header on their first request.
 *
 * The header carries the id as UTF-8, which is decoded here on every runtime.
 *
 * @param request The client's request.
 * @returns The id, `""` where the request has none.
 *
 * @example
 * ```ts
 * import { lastEventIdOf, sseResponse } from "@x/sse";
 *
 * const news = ["Rain", "Sun", "Snow"];
 *
 * function* newsAfter(id: string) {
 *   for (let n = Number(id) || 0; n < news.length; n++) {
 *     yield { id: String(n + 1), data: news[n] };
 *   }
 * }
 *
 * export default {
 *   fetch: (request: Request) => sseResponse(newsAfter(lastEventIdOf(request))),
 * };
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export function lastEventIdOf(request: Request): string {
  const id = idOf(request.headers.get("Last-Event-ID") ?? "");
  if (id !== "") return id;
  const query = new URL(request.url).searchParams;
  return query.get("lastEventId") || query.get("last_event_id") || "";
}

/** The header value that is sent as the UTF-8 bytes of `text`. */
export function headerValue(text: string): string {
  if (takesAnyCharacter()) return text;
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** The id that a `Last-Event-ID` header has. */
export function idOf(value: string): string {
  if (value === "" || takesAnyCharacter()) return value;
  try {
    const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    // Not UTF-8, so the value is the id itself.
    return value;
  }
}

/** Whether `Headers` encode values as UTF-8 themselves, as workerd's do. */
function takesAnyCharacter(): boolean {
  try {
    new Headers([["x", "\u2603"]]);
    return true;
  } catch {
    return false;
  }
}
