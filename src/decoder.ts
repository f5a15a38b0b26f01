/**
 * Bytes to events: the one parser of this module.
 *
 * @module
 */

import { SseError } from "./error.ts";
import { ServerSentEvent } from "./server_sent_event.ts";

/** Options of {@linkcode SseDecoder} and `SseEventStream`. */
export interface SseDecoderOptions {
  /**
   * The id of events until the stream sets another.
   *
   * @default {""}
   */
  lastEventId?: string;
  /**
   * The most UTF-16 code units held for one event, its unfinished line counted
   * in. `Infinity` takes the limit away.
   *
   * @default {67108864}
   */
  maxEventSize?: number;
  /**
   * Called with the text of each comment as soon as its line is complete, less
   * the one space that may follow the colon.
   */
  onComment?: (comment: string) => void;
}

const DEFAULT_MAX_EVENT_SIZE = 64 * 1024 * 1024;

const LF = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;
const LOWER_D = 0x64;
const LOWER_E = 0x65;
const LOWER_I = 0x69;
const LOWER_R = 0x72;
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

  // Of the unfinished line: at most one of the three is in use.
  /** Too short to tell what the line will be. */
  #undecided!: string;
  /** A line that cannot become anything, whose end is awaited. */
  #skipping!: boolean;
  /** A field, or a comment that is listened to. */
  #line!: Pieces;

  // Of the unfinished event: the standard's buffers.
  /** Its lines without the last one. */
  #dataLines!: Pieces;
  /** Its last line; undefined before the first. */
  #data!: string | undefined;
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
   * @throws {RangeError} If `maxEventSize` is not a positive whole number.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    const {
      lastEventId = "",
      maxEventSize = DEFAULT_MAX_EVENT_SIZE,
      onComment,
    } = options;
    if (typeof lastEventId !== "string") {
      throw new TypeError(
        `Expected lastEventId to be a string, got ${typeof lastEventId}`,
      );
    }
    if (
      maxEventSize !== Infinity &&
      !(Number.isSafeInteger(maxEventSize) && maxEventSize > 0)
    ) {
      throw new RangeError(
        `Expected maxEventSize to be a positive whole number of UTF-16 code ` +
          `units or Infinity, got ${String(maxEventSize)}`,
      );
    }
    if (onComment !== undefined && typeof onComment !== "function") {
      throw new TypeError(
        `Expected onComment to be a function, got ${typeof onComment}`,
      );
    }
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
    this.#undecided = "";
    this.#skipping = false;
    this.#line = new Pieces("");
    this.#dataLines = new Pieces("\n");
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
    chunk: BufferSource | string,
    events: ServerSentEvent[] = [],
  ): ServerSentEvent[] {
    if (this.#stuck) {
      throw new TypeError(
        "The decoder cannot go on after a failed call, nor within one: " +
          "call reset() first",
      );
    }
    let text = this.#text(chunk);
    if (text === "") return events;
    this.#stuck = true;

    let position = 0;
    if (this.#atStart) {
      this.#atStart = false;
      if (text.charCodeAt(0) === BOM) position = 1;
    } else if (this.#afterCr) {
      if (text.charCodeAt(0) === LF) position = 1;
    }
    this.#afterCr = false;
    if (this.#undecided !== "") {
      // Five code units at most: cheaper than a state for each.
      text = this.#undecided + text.slice(position);
      this.#undecided = "";
      position = 0;
    }

    const { length } = text;
    // The next terminator of either kind, looked for again only once passed:
    // a stream without "\r" is searched for it once a chunk.
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
        this.#keep(text, position);
        break;
      }

      if (this.#skipping) {
        this.#skipping = false;
      } else if (!this.#line.isEmpty) {
        this.#line.add(text.slice(position, end));
        const line = this.#line.join();
        this.#processLine(line, 0, line.length, events);
      } else {
        this.#processLine(text, position, end, events);
      }

      position = end + 1;
      if (end === cr) {
        if (position === length) this.#afterCr = true;
        else if (text.charCodeAt(position) === LF) position++;
      }
    }

    this.#stuck = false;
    return events;
  }

  /** The text of a chunk, UTF-8 decoded. */
  #text(chunk: BufferSource | string): string {
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

  /** Takes `text` from `start` on as the beginning or middle of a line. */
  #keep(text: string, start: number): void {
    if (this.#skipping) return;
    if (this.#line.isEmpty) {
      const head = text.slice(start, start + 6);
      if (!this.#kept.some((prefix) => head.startsWith(prefix))) {
        if (this.#kept.some((prefix) => prefix.startsWith(head))) {
          this.#undecided = head;
        } else {
          this.#skipping = true;
        }
        return;
      }
    }
    this.#line.add(text.slice(start));
    this.#limit(this.#line.length);
  }

  /** Processes the line of `text` from `start` to `end`. */
  #processLine(
    text: string,
    start: number,
    end: number,
    events: ServerSentEvent[],
  ): void {
    // "If the line is empty (a blank line)"
    if (start === end) return this.#dispatch(events);

    let name: string;
    switch (text.charCodeAt(start)) {
      case COLON:
        // "Ignore the line", unless somebody listens.
        if (this.#onComment) {
          this.#limit(end - start);
          this.#onComment(value(text, start, end));
        }
        return;
      case LOWER_D:
        name = "data";
        break;
      case LOWER_E:
        name = "event";
        break;
      case LOWER_I:
        name = "id";
        break;
      case LOWER_R:
        name = "retry";
        break;
      default:
        return;
    }
    const colon = start + name.length;
    if (!text.startsWith(name, start)) return;
    if (colon !== end && text.charCodeAt(colon) !== COLON) return;
    this.#limit(end - start);
    this.#processField(name, value(text, colon, end));
  }

  /** "Process the field" */
  #processField(name: string, value: string): void {
    switch (name) {
      case "event":
        this.#size += value.length - this.#type.length;
        this.#type = value;
        break;
      case "data":
        if (this.#data !== undefined) {
          this.#dataLines.add(this.#data);
          this.#size++;
        }
        this.#size += value.length;
        this.#data = value;
        break;
      case "id":
        if (value.includes("\0")) break;
        this.#size += value.length - (this.#id?.length ?? 0);
        this.#id = value;
        break;
      case "retry":
        if (!ASCII_DIGITS.test(value)) break;
        this.#retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        this.#reconnectionTime = this.#retry;
        break;
    }
  }

  /** "Dispatch the event" */
  #dispatch(events: ServerSentEvent[]): void {
    if (this.#id !== undefined) this.#lastEventId = this.#id;
    if (this.#data !== undefined) {
      let data = this.#data;
      if (!this.#dataLines.isEmpty) {
        this.#dataLines.add(data);
        data = this.#dataLines.join();
      }
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
  #recent: string[] = [];
  #joined: string[] = [];
  /** UTF-16 code units added, without separators. */
  length = 0;

  constructor(separator: string) {
    this.#separator = separator;
  }

  get isEmpty(): boolean {
    return this.#recent.length === 0 && this.#joined.length === 0;
  }

  add(piece: string): void {
    this.length += piece.length;
    // Joined now and then, as many small pieces take several times the room of
    // their text, and each may keep alive the whole chunk it was cut from.
    if (this.#recent.push(piece) === 256) {
      this.#joined.push(this.#recent.join(this.#separator));
      this.#recent = [];
    }
  }

  /** All of them as one string, after which there are none. */
  join(): string {
    if (this.#recent.length > 0) {
      this.#joined.push(this.#recent.join(this.#separator));
    }
    const text = this.#joined.join(this.#separator);
    this.#recent = [];
    this.#joined = [];
    this.length = 0;
    return text;
  }
}

/** The value of the field or comment of `text` whose colon is at `colon`. */
function value(text: string, colon: number, end: number): string {
  let start = colon + 1;
  if (text.charCodeAt(start) === SPACE) start++;
  return start < end ? text.slice(start, end) : "";
}

function toBytes(chunk: BufferSource): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  // By its tag, as a buffer may come from another realm.
  const tag = Object.prototype.toString.call(chunk);
  if (tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]") {
    return new Uint8Array(chunk);
  }
  throw new TypeError(
    `Expected a chunk of bytes (an ArrayBuffer or a view of one) or a string, ` +
      `got ${tag.slice(8, -1)}`,
  );
}
