/** Ids that are hard on a header: beyond ASCII, Latin-1 and 16 bits. */
export const ids = ["é☃🎉", "é", "\u0080ÿ", "a b:c"];

/** The bytes of the id, each as the character of that code. */
export function latin1OfUtf8(id: string): string {
  return String.fromCharCode(...new TextEncoder().encode(id));
}
