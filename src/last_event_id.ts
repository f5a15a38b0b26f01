/**
 * The last event ID in a request.
 *
 * @module
 */

/**
 * Returns the id after which a client asks to continue. Use it in a server that
 * gives its events ids: send the events that follow this id.
 *
 * The id is the value of the header `Last-Event-ID`, which `EventSource` and
 * `connectSse` send when they reconnect. If the header is missing, it is the
 * value of the parameter `lastEventId` or `last_event_id` of the URL, for
 * clients that cannot set a header on their first request. The header is
 * decoded as UTF-8 on every runtime.
 *
 * The client can send any text as the id, so check it before you use it in a
 * query.
 *
 * @param request The client's request.
 * @returns The id, or `""` if the request has none.
 *
 * @example Send the news that a client has not received
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

/** Returns the header value that is sent as the UTF-8 bytes of `text`. */
export function headerValue(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return bytes !== text && takesAnyCharacter() ? text : bytes;
}

/** Returns the id of a `Last-Event-ID` header. */
export function idOf(value: string): string {
  try {
    const text = decodeURIComponent(escape(value));
    return text !== value && takesAnyCharacter() ? value : text;
  } catch {
    // Not the bytes of UTF-8, so the value is the id itself.
    return value;
  }
}

/**
 * Whether `Headers` encode values as UTF-8 themselves, as workerd's do. Each call
 * prints a warning in a Worker.
 */
function takesAnyCharacter(): boolean {
  try {
    new Headers([["x", "\u2603"]]);
    return true;
  } catch {
    return false;
  }
}
