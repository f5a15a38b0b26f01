/** A seeded random number generator, and generators of random event streams. */

/** A seeded generator (mulberry32), so that a failing case can be reproduced. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Returns a number from 0 (inclusive) to 1 (exclusive). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns an integer from 0 (inclusive) to `limit` (exclusive). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Returns true with this probability. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** Returns one of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** Joins up to `limit` random items. */
  join(items: readonly string[], limit: number): string {
    let text = "";
    for (let i = this.below(limit + 1); i > 0; i--) text += this.pick(items);
    return text;
  }
}

const FIELDS = ["data", "data", "data", "data", "event", "id"];
const LINE_ENDS = ["\n", "\r", "\r\n"];
const SEPARATORS = [": ", ": ", ": ", ":", ":", "", "::", ":  ", " :", ":\t"];
const TEXT = [
  ..."abcd: 012",
  "\0",
  "\t",
  "\v",
  "\x85",
  "é",
  "☃",
  "🎉",
  "\u2028",
  "\uFEFF",
  "\uFFFD",
  "data",
  "id: ",
  ":",
];
const RETRIES = [
  "0",
  "1",
  "25",
  "007",
  "",
  " 5",
  "5 ",
  "-1",
  "1.5",
  "1e3",
  "٣",
];
const INVALID = [
  [0xff],
  [0x80],
  [0xc3],
  [0xe2, 0x98],
  [0xf0, 0x9f, 0x8e],
  [0xc0, 0x8a],
  [0xed, 0xa0, 0x80],
  [0xef, 0xbb],
];

/** Returns a random text that is an event stream, or almost one. */
export function randomText(random: Random): string {
  const lineEnds = random.chance(0.5) ? LINE_ENDS : [random.pick(LINE_ENDS)];
  let text = random.chance(0.1) ? random.pick(["\uFEFF", "\uFEFF\uFEFF"]) : "";
  for (let i = random.below(24); i >= 0; i--) {
    text += randomLine(random);
    // Sometimes omits the line end, which joins two lines.
    if (random.chance(0.97)) text += random.pick(lineEnds);
    if (random.chance(0.4)) text += random.pick(lineEnds);
  }
  return random.chance(0.2) ? text.slice(0, random.below(text.length)) : text;
}

function randomLine(random: Random): string {
  const kind = random.next();
  if (kind < 0.1) return "";
  if (kind < 0.2) return ":" + random.join(TEXT, 5);
  if (kind < 0.3) return random.join(TEXT, 5);
  if (kind < 0.4) {
    return "retry" + random.pick(SEPARATORS) + random.pick(RETRIES);
  }
  let name = random.pick(FIELDS);
  if (kind < 0.45) {
    name = name.slice(0, random.below(name.length));
  } else if (kind < 0.48) {
    name = name.toUpperCase();
  } else if (kind < 0.51) {
    name = random.pick(TEXT) + name;
  } else if (kind < 0.54) {
    name += random.pick(TEXT);
  }
  const value = random.chance(0.01)
    ? random.pick(TEXT).repeat(random.below(1000))
    : random.join(TEXT, 6);
  return name + random.pick(SEPARATORS) + value;
}

/** Returns the bytes of a random text, sometimes with invalid UTF-8 inserted. */
export function randomBytes(random: Random): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(randomText(random));
  if (random.chance(0.6)) return bytes;
  const broken = [...bytes];
  for (let i = random.below(4); i >= 0; i--) {
    const at = random.below(broken.length + 1);
    broken.splice(at, random.below(2), ...random.pick(INVALID));
  }
  return Uint8Array.from(broken);
}

/** A chunk, and the number of bytes of the stream up to its end. */
export interface Chunk {
  chunk: BufferSource | string;
  end: number;
}

/** Splits the stream at random positions into chunks of random types. */
export function randomChunks(
  random: Random,
  bytes: Uint8Array<ArrayBuffer>,
): Chunk[] {
  const chunks: Chunk[] = [];
  const longest = random.pick([1, 4, 20, 20, 100, 100, Infinity]);
  const stringShare = random.pick([0, 0, 0.3, 1]);
  let start = 0;
  while (start < bytes.length) {
    if (random.chance(0.1)) {
      const chunk = random.pick(["", new Uint8Array(), new ArrayBuffer(0)]);
      chunks.push({ chunk, end: start });
    }
    const length = 1 + random.below(Math.min(longest, bytes.length - start));
    const piece = bytes.slice(start, start + length);
    start += length;
    const text = random.chance(stringShare) ? asText(piece) : undefined;
    chunks.push({ chunk: text ?? randomView(random, piece), end: start });
  }
  return chunks;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the text with these bytes, or undefined if they are not UTF-8. */
export function asText(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Returns the same bytes as a buffer or as a view of a larger buffer. */
function randomView(
  random: Random,
  bytes: Uint8Array<ArrayBuffer>,
): BufferSource {
  const { length } = bytes;
  const offset = 2 * random.below(3);
  const around = new Uint8Array(offset + length + random.below(3)).fill(0x0a);
  around.set(bytes, offset);
  switch (random.below(length % 2 === 0 ? 5 : 4)) {
    case 0:
      return bytes;
    case 1:
      return bytes.buffer;
    case 2:
      return around.subarray(offset, offset + length);
    case 3:
      return new DataView(around.buffer, offset, length);
    default:
      return new Uint16Array(around.buffer, offset, length / 2);
  }
}
