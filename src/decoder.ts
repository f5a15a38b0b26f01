/**
 * Bytes to events: the one parser of this module.
 *
 * @module
 */

import { check, checkFunction, checkType } from "./check.ts";
import { SseError } from "./error.ts";
import { ServerSentEvent } from "./server_sent_event.ts";

/** Options of {@linkcode SseDecoder} and `SseEventStream`. */
export interface SseDecoderOptions {
  /**
   * The id of events until the stream sets another.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * The most UTF-16 code units held for one event, its unfinished line counted
   * in. `Infinity` takes the limit away.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with the text of each comment, less the one space that may follow the
   * colon, as soon as its line is complete. By then the events before it have
   * been appended to the second argument of `decode`, where that is given.
   */
  onComment?: ((comment: string) => void) | undefined;
}

const DEFAULT_MAX_EVENT_SIZE = 64 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const LOWER_A = 0x61;
const LOWER_D = 0x64;
const LOWER_E = 0x65;
const LOWER_I = 0x69;
const LOWER_R = 0x72;
const LOWER_T = 0x74;
const BOM = 0xfeff;

const ASCII_DIGITS = /^[0-9]+$/;

/**
 * Decodes an event stream, chunk by chunk. A chunk may end anywhere: within a
 * UTF-8 sequence, a field name or a `\r\n`. An event comes out with the first
 * byte of the line end that completes it.
 *
 * An unfinished event at the end of the stream is never dispatched, so there is
 * nothing to call at the end.
 *
 * @example
 * ```ts
 * import { SseDecoder } from "@x/sse";
 * import { assertEquals } from "@std/assert";
 *
 * const decoder = new SseDecoder();
 *
 * assertEquals(decoder.decode("id: 1\ndata: Hel"), []);
 * const [event] = decoder.decode("lo\n\n");
 * assertEquals(event.data, "Hello");
 * assertEquals(decoder.lastEventId, "1");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class SseDecoder {
  readonly #maxEventSize: number;
  readonly #onComment: ((comment: string) => void) | undefined;

  /** What starts a line that is kept until its end comes. */
  readonly #kept: readonly string[];

  // Of the stream: what `reset` keeps.
  #lastEventId: string;
  #reconnectionTime: number | undefined;

  // Of the connection: what has been read up to where.
  #utf8!: TextDecoder;
  /** Whether `#utf8` may hold the start of a sequence. */
  #midSequence!: boolean;
  /** Whether nothing was decoded yet, so that a BOM may come. */
  #atStart!: boolean;
  /** Whether the last line ended with a `\r` whose `\n` may still come. */
  #afterCr!: boolean;
  /** Whether a call failed or is still at work. */
  #stuck!: boolean;

  // Of the unfinished line.
  /** Whether the last chunk ended within a line. */
  #begun!: boolean;
  /** Whether it is one of those to keep; if not, it is yet too short to tell. */
  #keeping!: boolean;
  /** Whether it cannot become anything, so that only its end matters. */
  #skipping!: boolean;
  #line!: Pieces;

  // Of the unfinished event: the standard's buffers.
  /** Undefined before the first `data` line. */
  #data!: string | undefined;
  /** How many lines are in `#data`: those that came in a row, most recently. */
  #lines = 0;
  /** The `data` lines before those. */
  #dataLines!: Pieces;
  #type!: string;
  /**
   * The standard's buffer lives on from event to event; undefined here stands
   * for "as in the last event", so that `reset` need only forget it.
   */
  #id!: string | undefined;
  #retry!: number | undefined;
  /** UTF-16 code units held in these buffers. */
  #size!: number;

  /**
   * Makes a decoder.
   *
   * @param options The limit, the first id, and who hears comments.
   * @throws {RangeError} If `maxEventSize` is neither a positive whole number
   * nor `Infinity`.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    const {
      lastEventId = "",
      maxEventSize = DEFAULT_MAX_EVENT_SIZE,
      onComment,
    } = options;
    checkType(lastEventId, "string", "lastEventId to be a string");
    check(
      maxEventSize === Infinity ||
        Number.isSafeInteger(maxEventSize) && maxEventSize > 0,
      "maxEventSize to be a positive whole number or Infinity",
      maxEventSize,
      RangeError,
    );
    checkFunction("onComment", onComment);
    this.#lastEventId = lastEventId;
    this.#maxEventSize = maxEventSize;
    this.#onComment = onComment;
    this.#kept = ["data:", "event:", "id:", "retry:"];
    if (onComment) this.#kept = [...this.#kept, ":"];
    this.reset();
  }

  /** The last event ID: the newest one that a blank line has confirmed. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The newest reconnection time of the stream, in ms. */
  get reconnectionTime(): number | undefined {
    return this.#reconnectionTime;
  }

  /**
   * Starts anew, as for another connection to the same stream: forgets the
   * unfinished event, its id included, and keeps `lastEventId` and
   * `reconnectionTime`.
   *
   * @example
   * ```ts
   * import { SseDecoder } from "@x/sse";
   * import { assertEquals } from "@std/assert";
   *
   * const decoder = new SseDecoder();
   * decoder.decode("id: 1\ndata: whole\n\nid: 2\ndata: cut o");
   *
   * decoder.reset();
   * assertEquals(decoder.lastEventId, "1");
   * assertEquals(decoder.decode("\n\n"), []);
   * ```
   */
  reset(): void {
    // A new one, as the old may hold the start of a sequence. It leaves the BOM
    // alone, since what may be dropped depends on more than a call of its own.
    this.#utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    this.#midSequence = false;
    this.#atStart = true;
    this.#afterCr = false;
    this.#stuck = false;
    this.#begun = false;
    this.#keeping = false;
    this.#skipping = false;
    // Chunks are pieces of a line: only short ones are worth a copy.
    this.#line = new Pieces("", 64);
    this.#dataLines = new Pieces("\n", Infinity);
    this.#clear();
  }

  /**
   * Decodes the next chunk.
   *
   * @param chunk The next bytes, or the next part of a text already decoded.
   * @param events Where to append the events. They are there also when the call
   * fails: what was complete before the fault is not lost.
   * @returns `events`, with those that this chunk completed.
   * @throws {SseError} `"event-too-large"`, if more than `maxEventSize` would
   * have to be held. After this and whatever `onComment` throws, only
   * {@linkcode SseDecoder.reset} makes the decoder usable again.
   * @throws {TypeError} If `chunk` is neither a string nor bytes.
   */
  decode(
    chunk: ArrayBufferLike | ArrayBufferView | string,
    events: ServerSentEvent[] = [],
  ): ServerSentEvent[] {
    if (this.#stuck) {
      throw new TypeError(
        "The decoder cannot go on after a failed call, nor within one: " +
          "call reset() first",
      );
    }
    const text = this.#text(chunk);
    const { length } = text;
    if (length === 0) return events;
    this.#stuck = true;

    let position = 0;
    if (this.#atStart) {
      this.#atStart = false;
      if (text.charCodeAt(0) === BOM) position = 1;
    } else if (this.#afterCr) {
      if (text.charCodeAt(0) === LF) position = 1;
    }
    this.#afterCr = false;

    // The next line ends of either kind, looked for again only once passed: a
    // stream without "\r" is searched for it once a chunk.
    let lf = -1;
    let cr = -1;
    while (position < length) {
      if (lf < position) {
        lf = text.indexOf("\n", position);
        if (lf === -1) lf = length;
      }
      if (cr < position) {
        cr = text.indexOf("\r", position);
        if (cr === -1) cr = length;
      }
      const end = lf < cr ? lf : cr;
      if (end === length) {
        this.#begin(text.slice(position));
        break;
      }
      let next = end + 1;
      if (end === cr) {
        if (next === length) this.#afterCr = true;
        else if (text.charCodeAt(next) === LF) next++;
      }

      if (this.#begun) {
        // Apart from the chunk: put before it, it would make it a string of two
        // parts, which have to be copied together before the first look.
        this.#finish(text.slice(position, end), events);
      } else if (isData(text, position)) {
        // Done here, as most lines are of this kind.
        this.#limit(end - position);
        let data = text.slice(valueStart(text, position + 4), end);
        let lines = 1;
        const held = this.#data === undefined ? 0 : 1;
        while (next < cr && isData(text, next) && lines < 255) {
          // They often come in a row: put together here and stored once, an
          // event of 500 lines takes a tenth less.
          lf = text.indexOf("\n", next);
          if (lf === -1) lf = length;
          if (lf === length || cr < lf) break;
          this.#limit(held + data.length + lf - next);
          data += "\n" + text.slice(valueStart(text, next + 4), lf);
          lines++;
          next = lf + 1;
        }
        const blank = blankLineAt(text, next);
        if (blank > 0 && held === 0) {
          // And most events are their data and a blank line: without a detour
          // through the buffers, a tiny one takes an eighth less.
          this.#dispatch(data, events);
          next += blank;
        } else {
          this.#appendData(data, lines);
        }
      } else {
        this.#processLine(text, position, end, events);
      }
      position = next;
    }

    this.#stuck = false;
    return events;
  }

  /**
   * What the data of the unfinished event would be if the stream's end were that
   * of the event. Private, for `SseConnection`.
   */
  private unfinishedData(): string | undefined {
    const line = this.#begun && !this.#skipping ? this.#line.join() : "";
    if (line.startsWith("data")) this.#processLine(line, 0, line.length, []);
    return this.#wholeData();
  }

  /** The text of a chunk, UTF-8 decoded. */
  #text(chunk: ArrayBufferLike | ArrayBufferView | string): string {
    if (typeof chunk === "string") {
      if (chunk === "" || !this.#midSequence) return chunk;
      this.#midSequence = false;
      return this.#utf8.decode() + chunk;
    }
    const bytes = toBytes(chunk);
    // Without `stream` the platform decodes short chunks almost twice as fast.
    // It is the same where no sequence is cut: none pending, an ASCII byte last.
    const endsInAscii = bytes[bytes.length - 1] < 0x80;
    if (endsInAscii && !this.#midSequence) return this.#utf8.decode(bytes);
    this.#midSequence = !endsInAscii;
    return this.#utf8.decode(bytes, { stream: true });
  }

  /** Takes a part of a line whose end is yet to come. */
  #begin(part: string): void {
    this.#begun = true;
    if (this.#skipping) return;
    if (!this.#keeping) {
      part = this.#line.join() + part;
      const head = part.slice(0, 6);
      this.#keeping = this.#kept.some((prefix) => head.startsWith(prefix));
      this.#skipping = !this.#keeping &&
        !this.#kept.some((prefix) => prefix.startsWith(head));
      if (this.#skipping) return;
    }
    this.#line.add(part, 1);
    if (this.#keeping) this.#limit(this.#line.length);
  }

  /** Takes the last part of a line that an earlier chunk began. */
  #finish(part: string, events: ServerSentEvent[]): void {
    const skipped = this.#skipping;
    this.#begun = false;
    this.#keeping = false;
    this.#skipping = false;
    if (skipped) return;
    this.#line.add(part, 1);
    const line = this.#line.join();
    this.#processLine(line, 0, line.length, events);
  }

  /** Processes the line of `text` from `start` to `end`. */
  #processLine(
    text: string,
    start: number,
    end: number,
    events: ServerSentEvent[],
  ): void {
    // "If the line is empty (a blank line)"
    if (start === end) {
      this.#dispatch(this.#wholeData(), events);
      return;
    }

    let value: string | undefined;
    switch (text.charCodeAt(start)) {
      case COLON:
        // "Ignore the line", unless somebody listens.
        if (this.#onComment) {
          this.#onComment(this.#value("", text, start, end)!);
        }
        break;
      case LOWER_D:
        value = this.#value("data", text, start, end);
        if (value !== undefined) this.#appendData(value, 1);
        break;
      case LOWER_E:
        value = this.#value("event", text, start, end);
        if (value === undefined) break;
        this.#size += value.length - this.#type.length;
        this.#type = value;
        break;
      case LOWER_I:
        value = this.#value("id", text, start, end);
        if (value === undefined || value.includes("\0")) break;
        this.#size += value.length - (this.#id?.length ?? 0);
        this.#id = value;
        break;
      case LOWER_R:
        value = this.#value("retry", text, start, end);
        if (value === undefined || !ASCII_DIGITS.test(value)) break;
        this.#retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        this.#reconnectionTime = this.#retry;
        break;
    }
  }

  /** The value of the line, where it is a field of that name. */
  #value(
    name: string,
    text: string,
    start: number,
    end: number,
  ): string | undefined {
    if (!text.startsWith(name, start)) return undefined;
    const colon = start + name.length;
    if (colon !== end && text.charCodeAt(colon) !== COLON) return undefined;
    this.#limit(end - start);
    const from = valueStart(text, colon);
    return from < end ? text.slice(from, end) : "";
  }

  #wholeData(): string | undefined {
    if (this.#data === undefined || this.#dataLines.isEmpty) return this.#data;
    this.#dataLines.add(this.#data, this.#lines);
    return this.#dataLines.join();
  }

  #appendData(data: string, lines: number): void {
    if (this.#data !== undefined) {
      this.#dataLines.add(this.#data, this.#lines);
      this.#size++;
    }
    this.#size += data.length;
    this.#data = data;
    this.#lines = lines;
  }

  /** "Dispatch the event", which there is none of without data */
  #dispatch(data: string | undefined, events: ServerSentEvent[]): void {
    if (this.#id !== undefined) this.#lastEventId = this.#id;
    if (data !== undefined) {
      events.push(
        new ServerSentEvent({
          event: this.#type,
          data,
          id: this.#lastEventId,
          retry: this.#retry,
        }),
      );
    }
    this.#clear();
  }

  /** Sets the buffers of the event to nothing. */
  #clear(): void {
    this.#data = undefined;
    this.#type = "";
    this.#id = undefined;
    this.#retry = undefined;
    this.#size = 0;
  }

  /** Fails where a line of `length` is too much beside what is held. */
  #limit(length: number): void {
    if (this.#size + length <= this.#maxEventSize) return;
    const error = new SseError(
      "event-too-large",
      `Expected events of at most ${this.#maxEventSize} UTF-16 code units, ` +
        "but one in the stream is larger: raise maxEventSize if it is meant " +
        "to be",
    );
    this.reset();
    this.#stuck = true;
    throw error;
  }
}

/** Strings to be joined later, at a cost linear in their length. */
class Pieces {
  readonly #separator: string;
  readonly #short: number;
  #recent = "";
  #count = 0;
  #older: string[] = [];
  #olderLength = 0;

  /**
   * Engines put off the work of `+` until a character is looked at, which takes
   * an event of 500 lines a seventh less than an array of its lines. But each
   * piece put off takes several times the room of a short text, and may keep
   * alive the whole chunk it was cut from. So every 256 pieces, where shorter
   * than `short` on average, are copied to one string. For longer ones a copy
   * would not pay: an event of 1.5 MB would take a quarter more.
   */
  constructor(separator: string, short: number) {
    this.#separator = separator;
    this.#short = short;
  }

  get isEmpty(): boolean {
    return this.#count === 0 && this.#older.length === 0;
  }

  /** UTF-16 code units, those of some separators counted in. */
  get length(): number {
    return this.#olderLength + this.#recent.length;
  }

  /** Adds a piece, which may itself be put together, from `count` of them. */
  add(piece: string, count: number): void {
    if (this.#count === 0) {
      this.#recent = piece;
      this.#count = count;
    } else if (this.#count + count < 256) {
      this.#recent += this.#separator + piece;
      this.#count += count;
    } else {
      this.#age(piece);
    }
  }

  #age(piece: string): void {
    const recent = [this.#recent, piece];
    const length = this.#recent.length + piece.length;
    if (length < 256 * this.#short) {
      this.#older.push(recent.join(this.#separator));
    } else {
      this.#older.push(...recent);
    }
    this.#olderLength += length;
    this.#recent = "";
    this.#count = 0;
  }

  /** All of them as one string, after which there are none. */
  join(): string {
    let text = this.#recent;
    if (this.#older.length > 0) {
      if (this.#count > 0) this.#older.push(text);
      text = this.#older.join(this.#separator);
      this.#older = [];
      this.#olderLength = 0;
    }
    this.#recent = "";
    this.#count = 0;
    return text;
  }
}

/** Whether `text` has "data:" at `position`, with no call as of `startsWith`. */
function isData(text: string, position: number): boolean {
  return text.charCodeAt(position) === LOWER_D &&
    text.charCodeAt(position + 1) === LOWER_A &&
    text.charCodeAt(position + 2) === LOWER_T &&
    text.charCodeAt(position + 3) === LOWER_A &&
    text.charCodeAt(position + 4) === COLON;
}

/** Where the value starts of a field whose colon is at `colon`. */
function valueStart(text: string, colon: number): number {
  return text.charCodeAt(colon + 1) === SPACE ? colon + 2 : colon + 1;
}

/** The length of the blank line at `position`, 0 where it is not or cut. */
function blankLineAt(text: string, position: number): number {
  const char = text.charCodeAt(position);
  if (char === LF) return 1;
  return char === CR && text.charCodeAt(position + 1) === LF ? 2 : 0;
}

function toBytes(chunk: ArrayBufferLike | ArrayBufferView): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  // By its tag, as a buffer may come from another realm, or be a shared one.
  const tag = Object.prototype.toString.call(chunk).slice(8, -1);
  check(tag.endsWith("ArrayBuffer"), "a chunk of bytes or a string", tag);
  return new Uint8Array(chunk);
}
