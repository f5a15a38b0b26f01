/** IDs that are difficult in a header: outside ASCII, Latin-1 and 16 bits. */
export const ids = ["é☃🎉", "é", "\u0080ÿ", "a b:c"];

/** Returns the UTF-8 bytes of the ID as characters, one for each byte. */
export function latin1OfUtf8(id: string): string {
  return String.fromCharCode(...new TextEncoder().encode(id));
}
