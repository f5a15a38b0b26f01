/**
 * Bytes to events: the one parser of this module.
 *
 * @module
 */

import {
  check,
  checkFunction,
  checkLimit,
  checkType,
} from "../internal/check.ts";
import { SseError } from "../error.ts";
import { ServerSentEvent } from "./server_sent_event.ts";
import { noteRetry } from "../unsaid_retry.ts";

/**
 * Options of {@linkcode SseDecoder} and `SseEventStream`.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
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

const DEFAULT_MAX_EVENT_SIZE = 67_108_864;

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BOM = "\ufeff";

/** The name and value of a field that counts; of a comment, "" and its text. */
const FIELD = /^(data|event|id|retry|(?=:))(?:: ?([^]*))?$/;

/** What becomes of a line whose end is yet to come. */
type LineFate =
  /** There is none: the last chunk ended with a line. */
  | "none"
  /** It is too short to tell. */
  | "open"
  /** It is kept until it is whole. */
  | "kept"
  /** It cannot become anything, so that only its end matters. */
  | "skipped";

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
 *
 * const decoder = new SseDecoder();
 * const response = await fetch("https://example.com/events");
 * for await (const chunk of response.body!) {
 *   for (const event of decoder.decode(chunk)) console.log(event.data);
 * }
 * console.log(decoder.lastEventId);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class SseDecoder {
  readonly #maxEventSize: number;
  readonly #onComment: ((comment: string) => void) | undefined;

  // State of the stream, which `reset` keeps.
  #lastEventId: string;
  #reconnectionTime: number | undefined;
  /** The newest `retry` since the last event, of blocks without data. */
  #unsaidRetry: number | undefined;

  // Of the connection: how far it has been read.
  #utf8!: TextDecoder;
  /** Whether `#utf8` may hold the start of a sequence. */
  #midSequence!: boolean;
  /** What to drop if the next chunk starts with it: a BOM, half a `\r\n`. */
  #ignored!: "" | typeof BOM | "\n";
  /** Whether a call failed or is still at work. */
  #stuck!: boolean;
  #lineFate!: LineFate;
  #line!: Pieces;

  // Of the unfinished event: the standard's buffers.
  #data!: Pieces;
  #type!: string;
  /**
   * The standard's buffer lives on from event to event; undefined here stands
   * for "as in the last event", so that `reset` need only forget it.
   */
  #id!: string | undefined;
  #retry!: number | undefined;

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
    checkLimit("maxEventSize", maxEventSize);
    checkFunction("onComment", onComment);
    this.#lastEventId = lastEventId;
    this.#maxEventSize = maxEventSize;
    this.#onComment = onComment;
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
    // A new one, as the old may hold the start of a sequence. It leaves a BOM
    // in place, as it would drop one from each chunk that is decoded by itself.
    this.#utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    this.#midSequence = false;
    this.#ignored = BOM;
    this.#stuck = false;
    this.#lineFate = "none";
    this.#line = new Pieces("");
    this.#data = new Pieces("\n");
    this.#type = "";
    this.#id = undefined;
    this.#retry = undefined;
  }

  /**
   * Decodes the next chunk.
   *
   * @typeParam Events An array, or whatever else has such a `push`.
   * @param chunk The next bytes, or the next part of a text already decoded.
   * @param events Where to append the events. They are there also when the call
   * fails: what was complete before the fault is not lost.
   * @returns `events`, with those that this chunk completed.
   * @throws {SseError} `"event-too-large"`, if more than `maxEventSize` would
   * have to be held. After this and whatever `onComment` or `push` throws,
   * only {@linkcode SseDecoder.reset} makes the decoder usable again.
   * @throws {TypeError} If `chunk` is neither a string nor bytes.
   */
  decode<
    Events extends { push(event: ServerSentEvent): unknown } =
      ServerSentEvent[],
  >(
    chunk: ArrayBufferLike | ArrayBufferView | string,
    events: Events = [] as unknown as Events,
  ): Events {
    if (this.#stuck) {
      throw new TypeError("Expected reset() after a call that failed");
    }
    const text = this.#text(chunk);
    const { length } = text;
    if (length === 0) return events;
    this.#stuck = true;

    let position = text[0] === this.#ignored ? 1 : 0;
    this.#ignored = "";
    // In locals, as fields take twice as long. They are written back before
    // anything that looks at them, calls out or throws.
    let type = this.#type;
    let id = this.#id;
    // Where the whole chunk fits, the length of its lines need not be checked.
    const mayExceed =
      this.#held() + this.#line.length + length > this.#maxEventSize;

    // The next "\n", "\r" and NUL, each looked for again only once passed. So a
    // chunk without "\r" is searched for it once, and for NUL once if it has an
    // id. To search each id would take a tenth of an event's time.
    let lf = -1;
    let cr = indexOf(text, "\r", position);
    let nul = -1;
    while (position < length) {
      if (lf < position) lf = indexOf(text, "\n", position);
      let line = text;
      let start = position;
      let end = lf;
      if (cr < lf) {
        end = cr;
        position = cr + 1;
        if (text.charCodeAt(position) === LF) position++;
        else if (position === length) this.#ignored = "\n";
        // Where a blank line follows, its "\r" is right here. Not to search for
        // it saves a fourteenth of a small event's time.
        cr = text.charCodeAt(position) === CR
          ? position
          : indexOf(text, "\r", position);
      } else if (lf < length) {
        position = lf + 1;
      } else {
        this.#type = type;
        this.#id = id;
        this.#addToLine(text.slice(start));
        break;
      }

      if (this.#lineFate !== "none") {
        const isSkipped = this.#lineFate === "skipped";
        this.#lineFate = "none";
        if (isSkipped) continue;
        line = this.#line.join(text.slice(start, end));
        start = 0;
        end = line.length;
      }

      let data: string | undefined;
      if (!mayExceed && isData(line, start)) {
        let from = valueStart(line, start + 5);
        const blank = text.charCodeAt(position) === LF
          ? 1
          : position === cr && text.charCodeAt(position + 1) === LF
          ? 2
          : 0;
        if (blank > 0 && this.#data.count === 0) {
          // Most events end with their only line of data. A tiny one takes an
          // eighth less where it skips the buffers.
          position += blank;
          if (blank === 2) cr = indexOf(text, "\r", position);
          data = line.slice(from, end);
        } else {
          let run = "";
          if (end === lf && line === text) {
            // Lines of data often come in a row. Each is cut out with its line
            // end: half the strings, and an event of 500 lines takes half.
            for (let i = 0; i < 255 && isData(text, position); i++) {
              lf = indexOf(text, "\n", position);
              if (lf === length || cr < lf) break;
              run += text.slice(from, end + 1);
              from = valueStart(text, position + 5);
              end = lf;
              position = lf + 1;
            }
          }
          this.#data.add(run + line.slice(from, end));
          continue;
        }
      } else if (start === end) {
        // "If the line is empty (a blank line)"
        if (this.#data.count > 0) data = this.#data.join();
      } else if (!mayExceed && isEvent(line, start)) {
        type = line.slice(valueStart(line, start + 6), end);
        continue;
      } else if (!mayExceed && isId(line, start) && line === text) {
        // `nul` is a place in the chunk: of a line that was cut, it says nothing.
        if (nul < start) nul = indexOf(text, "\0", start);
        if (nul > end) id = text.slice(valueStart(text, start + 3), end);
        continue;
      } else {
        // Some servers send as many comments as lines of data: skip them fast.
        if (line.charCodeAt(start) === COLON && !this.#onComment) continue;
        this.#type = type;
        this.#id = id;
        this.#processField(line.slice(start, end));
        type = this.#type;
        id = this.#id;
        continue;
      }

      // "Dispatch the event", but without data there is none
      if (id !== undefined) {
        this.#lastEventId = id;
        id = undefined;
      }
      if (data !== undefined) {
        const event = new ServerSentEvent({
          event: type,
          data,
          id: this.#lastEventId,
          retry: this.#retry,
        });
        if (this.#unsaidRetry !== undefined) {
          noteRetry(event, this.#unsaidRetry);
          this.#unsaidRetry = undefined;
        }
        events.push(event);
      } else if (this.#retry !== undefined) {
        this.#unsaidRetry = this.#retry;
      }
      type = "";
      this.#retry = undefined;
    }
    this.#type = type;
    this.#id = id;
    this.#stuck = false;
    return events;
  }

  /**
   * What the data of the unfinished event would be if the stream's end were
   * that of the event. Empties the buffers. Private, for `SseConnection`.
   */
  private unfinishedData(): string | undefined {
    const line = this.#line.join();
    if (line === "data" || isData(line, 0)) {
      this.#data.add(line.slice(valueStart(line, 5)));
    }
    return this.#data.count > 0 ? this.#data.join() : undefined;
  }

  /** The text of a chunk, UTF-8 decoded. */
  #text(chunk: ArrayBufferLike | ArrayBufferView | string): string {
    if (typeof chunk === "string") {
      if (chunk === "" || !this.#midSequence) return chunk;
      this.#midSequence = false;
      return this.#utf8.decode() + chunk;
    }
    const isBytes = typeof chunk?.byteLength === "number";
    check(isBytes, "a chunk of bytes or a string", chunk);
    // Without `stream` the platform decodes short chunks almost twice as fast.
    // The result is the same where no sequence is cut: none is pending, and the
    // last byte is ASCII.
    const endsInAscii = chunk instanceof Uint8Array &&
      chunk[chunk.length - 1] < 0x80;
    if (endsInAscii && !this.#midSequence) return this.#utf8.decode(chunk);
    this.#midSequence = !endsInAscii;
    return this.#utf8.decode(chunk, { stream: true });
  }

  /** Takes a part of a line whose end is yet to come. */
  #addToLine(part: string): void {
    if (this.#lineFate === "none" || this.#lineFate === "open") {
      part = this.#line.join(part);
      this.#lineFate = this.#fateOf(part);
    }
    if (this.#lineFate === "skipped") return;
    this.#line.add(part);
    if (this.#lineFate === "kept") {
      this.#limit(this.#line.length);
    }
  }

  /** What becomes of a line that starts with this. */
  #fateOf(start: string): LineFate {
    const name = /^(data|event|id|retry|):/.exec(start)?.[1];
    if (name || name === "" && this.#onComment) return "kept";
    return start.length < "retry:".length ? "open" : "skipped";
  }

  /** "Process the field": what comes seldom, and comments that are heard. */
  #processField(line: string): void {
    const [, name, value = ""] = FIELD.exec(line) ?? [];
    if (name === undefined) return;
    this.#limit(line.length);
    switch (name) {
      case "data":
        this.#data.add(value);
        break;
      case "event":
        this.#type = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (!/^[0-9]+$/.test(value)) break;
        this.#retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        this.#reconnectionTime = this.#retry;
        break;
      default:
        this.#onComment?.(value);
    }
  }

  /** UTF-16 code units held for the event. */
  #held(): number {
    return this.#data.length + this.#type.length + (this.#id?.length ?? 0);
  }

  /** Fails where a line of `length` is too much beside what is held. */
  #limit(length: number): void {
    if (this.#held() + length <= this.#maxEventSize) return;
    this.reset();
    this.#stuck = true;
    throw new SseError(
      "event-too-large",
      `Expected events of at most ${this.#maxEventSize} UTF-16 code units ` +
        "(maxEventSize), got a larger one",
    );
  }
}

/**
 * Strings to be joined later, at a cost linear in their length.
 *
 * Engines put off the work of `+`, but each piece put off takes several times
 * the room of a short text, and may keep alive the whole chunk it was cut from.
 * So every 256 pieces are copied to one string, where they are short.
 */
class Pieces {
  readonly #separator: string;
  /** How many pieces there are. */
  count = 0;
  /** UTF-16 code units, those of the separators counted in. */
  length = 0;
  #older: string[] = [];
  #recent = "";

  constructor(separator: string) {
    this.#separator = separator;
  }

  add(piece: string): void {
    if (this.count++ > 0) piece = this.#separator + piece;
    this.length += piece.length;
    if (this.count % 256 > 0) this.#recent += piece;
    else this.#compact(piece);
  }

  #compact(piece: string): void {
    const recent = this.#recent;
    if (recent.length < 256 * 1024) piece = [recent, piece].join("");
    else this.#older.push(recent);
    this.#older.push(piece);
    this.#recent = "";
  }

  /** Takes out all pieces, and joins them and `last` to one string. */
  join(last = ""): string {
    let text = this.#recent + last;
    if (this.#older.length > 0) {
      this.#older.push(text);
      text = this.#older.join("");
      this.#older = [];
    }
    this.count = this.length = 0;
    this.#recent = "";
    return text;
  }
}

// What the loop asks of each line, character by character: `startsWith` costs
// several times more, and a loop over the name a fifth of a tiny event.

function isData(text: string, position: number): boolean {
  return text.charCodeAt(position) === 0x64 &&
    text.charCodeAt(position + 1) === 0x61 &&
    text.charCodeAt(position + 2) === 0x74 &&
    text.charCodeAt(position + 3) === 0x61 &&
    text.charCodeAt(position + 4) === COLON;
}

function isEvent(text: string, position: number): boolean {
  return text.charCodeAt(position) === 0x65 &&
    text.charCodeAt(position + 1) === 0x76 &&
    text.charCodeAt(position + 2) === 0x65 &&
    text.charCodeAt(position + 3) === 0x6e &&
    text.charCodeAt(position + 4) === 0x74 &&
    text.charCodeAt(position + 5) === COLON;
}

function isId(text: string, position: number): boolean {
  return text.charCodeAt(position) === 0x69 &&
    text.charCodeAt(position + 1) === 0x64 &&
    text.charCodeAt(position + 2) === COLON;
}

/** Where the value starts of a field whose colon is just before `position`. */
function valueStart(text: string, position: number): number {
  return text.charCodeAt(position) === 0x20 ? position + 1 : position;
}

/** As `text.indexOf`, but the length where there is none. */
function indexOf(text: string, char: string, position: number): number {
  const index = text.indexOf(char, position);
  return index === -1 ? text.length : index;
}
