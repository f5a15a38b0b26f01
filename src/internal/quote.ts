/**
 * Text of others in error messages.
 *
 * @module
 */

import { truncate } from "./truncate.ts";

/** Maximum number of UTF-16 code units of a quote. */
export const MAX_QUOTE_LENGTH = 200;

/**
 * Returns the start of a text that a server has sent, on one line. It cannot
 * control a terminal, and contains no secret of a URL.
 */
export function quote(text: string): string {
  const line = truncate(text, 10 * MAX_QUOTE_LENGTH).replace(/\s+/g, " ")
    .trim();
  return truncate(escapeControls(withoutSecrets(line)), MAX_QUOTE_LENGTH);
}

/** Escapes control characters as JSON does, except tabs and newlines. */
export function escapeControls(text: string): string {
  return text.replace(
    /(?![\t\n])\p{Cc}/gu,
    (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}

/**
 * Removes users, passwords, queries and fragments from the URLs in a text, and
 * from strings that were meant as URLs: `/events?token=…`, `https:/user:pa/ss@…`.
 * It takes linear time, as a server may have sent the text.
 */
export function withoutSecrets(text: string): string {
  return text.replace(/\S+/g, (word) => {
    const [start = ""] = /^(?:.*?:[/\\]+|https?:)/is.exec(word) ?? [];
    const url = word.slice(start.length);
    // Without a scheme, `bob@example.com` is an address, and "Who?" a question.
    const [user, query] = start === ""
      ? [/^[^"'/@:]*:[^"'/@]*@/, /(?<=^[^?#]*)[?#].*=.*/s]
      : [URL.canParse(`http://${url}`) ? /^[^/\\?#]*@/ : /^.*@/s, /[?#].*/s];
    return start + url.replace(user, "").replace(query, "?…");
  });
}

/**
 * Removes all that may be a secret from a string that was meant as a URL, but may
 * be none: everything before the last `@`, and the query and the fragment.
 */
export function withoutUrlSecrets(url: string): string {
  return url.replace(/^.*@/s, "…@").replace(/[?#].*/s, "?…");
}
