/**
 * Building long strings.
 *
 * @module
 */

/** The number of pieces that are concatenated before they are copied. */
const PIECES_PER_BLOCK = 256;

/**
 * Concatenates many pieces to one string in linear time and with bounded
 * overhead.
 *
 * Engines defer the work of `+`: the result refers to its pieces, and a piece
 * that was sliced from a chunk refers to that chunk. A short line so takes
 * several times its size, and keeps all of its chunk in memory. Copying a block
 * of pieces at a time bounds that.
 */
export class StringBuilder {
  readonly #separator: string;
  readonly #blocks: string[] = [];
  #recent = "";

  /** The number of pieces. */
  count = 0;
  /** The length in UTF-16 code units, including separators. */
  length = 0;

  constructor(separator: string) {
    this.#separator = separator;
  }

  append(piece: string): void {
    const separator = this.count > 0 ? this.#separator : "";
    this.count++;
    this.length += separator.length + piece.length;
    if (this.count % PIECES_PER_BLOCK > 0) {
      this.#recent = this.#recent + separator + piece;
      return;
    }
    // Joining an array copies its strings.
    this.#blocks.push([this.#recent, separator, piece].join(""));
    this.#recent = "";
  }

  /** Removes all pieces, and returns them as one string, if there are any. */
  take(): string | undefined {
    if (this.count === 0) return undefined;
    const text = this.#blocks.splice(0).join("") + this.#recent;
    this.#recent = "";
    this.count = this.length = 0;
    return text;
  }
}
