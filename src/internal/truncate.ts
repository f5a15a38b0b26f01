/**
 * Texts in error messages.
 *
 * @module
 */

/**
 * Shortens a text to its first `maxLength` UTF-16 code units and "…". It never
 * ends inside a surrogate pair.
 */
export function truncate(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  return text.slice(0, maxLength).replace(/[\ud800-\udbff]$/, "") + "…";
}
