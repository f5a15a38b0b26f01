/**
 * Quotes of text from servers and users, for error messages.
 *
 * @module
 */

import { truncate } from "./truncate.ts";

/** Maximum number of UTF-16 code units of a quote. */
export const MAX_QUOTE_LENGTH = 200;

/** Maximum number of UTF-16 code units that are searched for secrets. */
const MAX_TEXT_LENGTH = 2000;

/**
 * Returns the start of a text that a server has sent, on one line. It cannot
 * control a terminal, and contains no secret of a URL.
 */
export function quote(text: string): string {
  const line = withoutSecrets(text).replace(/\s+/g, " ").trim();
  return truncate(escapeControls(line), MAX_QUOTE_LENGTH);
}

/** Escapes control characters as JSON does, except tabs and newlines. */
export function escapeControls(text: string): string {
  return text.replace(
    /(?![\t\n])\p{Cc}/gu,
    (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}

/** A user, and a password if there is one, after a scheme. */
const USER = /(?<=:[/\\]+|https?:)[^\s/\\?#]*@/gi;

/**
 * A user and a password that are not in a valid URL: there is no scheme, or the
 * password contains a `/`, `?` or `#`. They begin a word, or follow a quote or a
 * slash. The colon between them is not that of a port, of `npm:` or of JSON.
 * Without the first lookahead, a text with many colons and no `@` takes cubic
 * time.
 */
const PASSWORD =
  /(?<![^\s"'(,/\\])(?=\S*@)[^\s"'(,/\\@[:]*:(?<!\b(?:npm|jsr):)(?![/\\"']|\d+(?:[/\\?#,\s]|$))\S*@/gi;

/**
 * A query or a fragment. Without a scheme, it has to contain a `=`: "Who?" is a
 * question.
 */
const QUERY = /(?<=(?::[/\\]|https?:)\S*)[?#]\S*|[?#]\S*=\S*/gi;

/**
 * Removes users, passwords, queries and fragments from the URLs in a text, and
 * from strings that were meant as URLs: `/events?token=…`, `https:/user:pa/ss@…`.
 * Of a long text it returns the start, as these patterns take quadratic time.
 */
export function withoutSecrets(text: string): string {
  return truncate(text, MAX_TEXT_LENGTH).replace(USER, "")
    .replace(PASSWORD, "").replace(QUERY, "?…");
}

/**
 * Removes everything that may be a secret from a string that was meant as a
 * URL, but may not be one: everything before the last `@`, and the query and
 * the fragment.
 */
export function withoutUrlSecrets(url: string): string {
  return url.replace(/^.*@/s, "…@").replace(/[?#].*/s, "?…");
}
