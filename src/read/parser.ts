/**
 * The parser of event streams, the only one of this module.
 *
 * @module
 */

import { SseError } from "../error.ts";
import {
  check,
  checkType,
  functionOption,
  numberOption,
} from "../internal/check.ts";
import { truncate } from "../internal/truncate.ts";
import { DEFAULT_MAX_EVENT_SIZE, MAX_FOREIGN_LENGTH } from "./limits.ts";
import { ServerSentEvent } from "./server_sent_event.ts";
import { StringBuilder } from "./string_builder.ts";

// Here, as constants that are imported cost 4 ns an event.
export const LF = 0x0a;
export const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const BOM = "\ufeff";

/** A line that may be part of an event stream, also if it was cut off. */
const UNKNOWN_FIELD = /^(?!error(?::|$))(?:[A-Za-z][\w-]*)?(?::|$)/;

/**
 * Parses an event stream chunk by chunk. `SseDecoder` and `SseEventStream` are its
 * public forms, and the inbox of a connection uses it as well.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export class EventStreamParser {
  readonly #maxEventSize: number;
  /** To be called with the comments. Without it, they are ignored. */
  readonly onComment: ((comment: string) => void) | undefined;

  // The state of the stream. `reset` keeps it, as the standard keeps it when the
  // connection is reestablished.
  #lastEventId: string;
  #reconnectionTime: number | undefined;
  /** The reconnection time, if it was set since the last event. */
  #retry: number | undefined;

  // The state of the connection.
  // It keeps byte order marks: it would drop one from each chunk that is decoded
  // by itself.
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Whether `#utf8` may hold the start of a UTF-8 sequence. */
  #midSequence!: boolean;
  /** A character to drop at the start of the next chunk: half of a `\r\n`. */
  #dropNext!: "" | typeof BOM | "\n";
  /** The start of a line whose end has not arrived. */
  readonly #line = new StringBuilder("");
  /** The error of a call that failed. `reset` has to be called next. */
  failure: unknown;

  // The standard's buffers, of the unfinished event.
  readonly #data = new StringBuilder("\n");
  #type!: string;
  /** Undefined if the event has no id of its own. */
  #id!: string | undefined;

  #foreignText!: string;

  /**
   * Checks the options.
   *
   * @throws {RangeError} If `maxEventSize` is out of range.
   * @throws {TypeError} If `lastEventId` is not a string.
   */
  constructor(
    options: {
      lastEventId?: string | undefined;
      maxEventSize?: number | undefined;
      onComment?: ((comment: string) => void) | undefined;
    },
  ) {
    const { lastEventId = "" } = options;
    checkType(lastEventId, "string", "lastEventId to be a string");
    this.#lastEventId = lastEventId;
    this.#maxEventSize = numberOption(
      options,
      "maxEventSize",
      DEFAULT_MAX_EVENT_SIZE,
      1,
    );
    this.onComment = functionOption(options, "onComment");
    this.reset();
  }

  /** The newest id that a blank line has completed. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The newest `retry:` in milliseconds. */
  get reconnectionTime(): number | undefined {
    return this.#reconnectionTime;
  }

  /**
   * The start of the lines that belong to no event stream, such as JSON or HTML.
   * `""` if there were none since `reset`.
   */
  get foreignText(): string {
    return this.#foreignText;
  }

  /** Whether there was no text since `reset`. */
  get isAtStart(): boolean {
    return this.#dropNext === BOM;
  }

  /** Drops the state of the connection, and keeps that of the stream. */
  reset(): void {
    this.#utf8.decode(); // Drops the start of a sequence.
    this.#midSequence = false;
    this.#dropNext = BOM;
    this.failure = undefined;
    this.#line.take();
    this.#data.take();
    this.#type = "";
    this.#id = undefined;
    this.#foreignText = "";
  }

  /**
   * Parses the next chunk. Returns the events that it completes and, if there is
   * `onComment`, the text of each comment, in order. If an event is too large,
   * returns those before it, and sets `failure`.
   *
   * @throws {TypeError} If the chunk has the wrong type, or a call has failed.
   */
  decode(
    chunk: ArrayBufferLike | ArrayBufferView | string,
  ): (ServerSentEvent | string)[] {
    this.#checkHasNotFailed();
    const text = this.#textOf(chunk);
    // As a parameter, `push` would take a fifth more time.
    const items: (ServerSentEvent | string)[] = [];
    const { length } = text;
    if (length === 0) return items;
    // If the whole chunk fits, none of its lines needs to be checked.
    const mayExceed =
      this.#size() + this.#line.length + length > this.#maxEventSize;
    let position = text[0] === this.#dropNext ? 1 : 0;
    let lf = indexOf(text, "\n", position);
    let cr = indexOf(text, "\r", position);
    this.#dropNext = text[length - 1] === "\r" ? "\n" : "";
    const firstEnd = Math.min(lf, cr);
    if (this.#line.count > 0 && firstEnd < length) {
      // Completes the line whose start has arrived in earlier chunks.
      this.#line.append(text.slice(position, firstEnd));
      const line = this.#line.take()!;
      if (mayExceed && !this.#fits(line.length)) return items;
      const item = this.#processLine(line, 0, line.length);
      if (item !== undefined) items.push(item);
      position = skipLineEnd(text, firstEnd);
    }
    while (position < length) {
      if (lf < position) lf = indexOf(text, "\n", position);
      if (cr < position) cr = indexOf(text, "\r", position);
      const start = position;
      const end = Math.min(lf, cr);
      if (end === length) {
        this.#line.append(text.slice(start));
        this.#fits(this.#line.length);
        break;
      }
      position = skipLineEnd(text, end);
      if (mayExceed && !this.#fits(end - start)) break;
      if (isData(text, start, end)) {
        const value = valueOf(text, start + "data".length, end);
        const isFirst = this.#data.count === 0;
        const next = isFirst ? skipLineEnd(text, position) : position;
        if (next > position) {
          // The common case: an event with one line of data. It does not need
          // the data buffer.
          position = next;
          items.push(this.#dispatch(value)!);
        } else {
          this.#data.append(value);
        }
      } else if (isField("event", text, start, end)) {
        // `#processLine` would do the same, but in a tenth more time an event.
        this.#type = valueOf(text, start + "event".length, end);
      } else {
        const item = this.#processLine(text, start, end);
        if (item !== undefined) items.push(item);
      }
    }
    return items;
  }

  /**
   * Returns the unfinished event, if it has data. An unfinished line is used only
   * if it is a `data` line: a cut-off id can look like a valid one. Call `reset`
   * next.
   */
  end(): ServerSentEvent | undefined {
    this.#checkHasNotFailed();
    const cut = this.#utf8.decode(); // A replacement for a cut-off sequence.
    this.#line.append(cut);
    const line = this.#line.take()!;
    if (isData(line, 0, line.length)) {
      this.#data.append(valueOf(line, "data".length, line.length));
    } else {
      this.#rememberIfForeign(line.slice(0, line.length - cut.length));
    }
    const data = this.#data.take();
    return data === undefined ? undefined : this.#makeEvent(data);
  }

  #checkHasNotFailed(): void {
    if (this.failure) {
      throw new TypeError("Expected reset() after a failed call");
    }
  }

  /** Decodes a chunk as UTF-8. */
  #textOf(chunk: ArrayBufferLike | ArrayBufferView | string): string {
    if (typeof chunk === "string") {
      if (chunk === "" || !this.#midSequence) return chunk;
      this.#midSequence = false;
      return this.#utf8.decode() + chunk;
    }
    const isBytes = typeof chunk?.byteLength === "number";
    check(isBytes, "a chunk of bytes or a string", chunk);
    // Without `stream`, the platform decodes short chunks almost twice as fast.
    // The result is the same if no sequence is cut off: none is pending, and the
    // last byte is ASCII.
    const endsInAscii = chunk instanceof Uint8Array &&
      chunk[chunk.length - 1] < 0x80;
    if (endsInAscii && !this.#midSequence) return this.#utf8.decode(chunk);
    this.#midSequence = !endsInAscii;
    return this.#utf8.decode(chunk, { stream: true });
  }

  /**
   * HTML standard, "process the field". A blank line dispatches the event. Returns
   * the event or the comment, if the line completes one.
   */
  #processLine(
    line: string,
    start: number,
    end: number,
  ): ServerSentEvent | string | undefined {
    if (start === end) return this.#dispatch(this.#data.take());
    if (isData(line, start, end)) {
      this.#data.append(valueOf(line, start + "data".length, end));
    } else if (isField("event", line, start, end)) {
      this.#type = valueOf(line, start + "event".length, end);
    } else if (isField("id", line, start, end)) {
      const id = valueOf(line, start + "id".length, end);
      if (!id.includes("\0")) this.#id = id;
    } else if (isField("retry", line, start, end)) {
      const value = valueOf(line, start + "retry".length, end);
      if (/^[0-9]+$/.test(value)) {
        this.#retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        this.#reconnectionTime = this.#retry;
      }
    } else if (line.charCodeAt(start) !== COLON) {
      this.#rememberIfForeign(line.slice(start, end));
    } else if (this.onComment) {
      return valueOf(line, start, end);
    }
  }

  /**
   * Remembers a line whose field name is not a word, or is `error`. Servers of
   * LLMs send errors so, with the type of an event stream. An unknown field is
   * ignored, as the standard says.
   */
  #rememberIfForeign(line: string): void {
    if (UNKNOWN_FIELD.test(line)) return;
    const before = this.#foreignText && `${this.#foreignText}\n`;
    this.#foreignText = truncate(before + line, MAX_FOREIGN_LENGTH);
  }

  /** HTML standard, "dispatch the event". Without data there is no event. */
  #dispatch(data: string | undefined): ServerSentEvent | undefined {
    if (this.#id !== undefined) {
      this.#lastEventId = this.#id;
      this.#id = undefined;
    }
    const event = data === undefined ? undefined : this.#makeEvent(data);
    this.#type = "";
    return event;
  }

  #makeEvent(data: string): ServerSentEvent {
    const event = new ServerSentEvent({
      event: this.#type,
      data,
      id: this.#id ?? this.#lastEventId,
      retry: this.#retry,
    });
    this.#retry = undefined;
    return event;
  }

  /** The UTF-16 code units kept of the unfinished event. */
  #size(): number {
    return this.#data.length + this.#type.length + (this.#id?.length ?? 0);
  }

  /** Whether a line of this length fits. If it does not, the call fails. */
  #fits(lineLength: number): boolean {
    if (this.#size() + lineLength <= this.#maxEventSize) return true;
    this.reset(); // Frees the memory.
    this.failure = new SseError(
      "event-too-large",
      `Expected events of at most ${this.#maxEventSize} UTF-16 code units ` +
        "(maxEventSize), got a larger one",
    );
    return false;
  }
}

/** Whether the line from `start` to `end` is a field of that name. */
function isField(
  name: "event" | "id" | "retry",
  text: string,
  start: number,
  end: number,
): boolean {
  return text.startsWith(name, start) &&
    endsName(text, start + name.length, end);
}

/** As `isField`, for "data". Without the loop, a small event takes 5% less. */
function isData(text: string, start: number, end: number): boolean {
  return text.charCodeAt(start) === 0x64 &&
    text.charCodeAt(start + 1) === 0x61 &&
    text.charCodeAt(start + 2) === 0x74 &&
    text.charCodeAt(start + 3) === 0x61 &&
    endsName(text, start + 4, end);
}

/** Whether a field name ends there: at a colon, or as the line does. */
function endsName(text: string, position: number, end: number): boolean {
  return position === end || text.charCodeAt(position) === COLON;
}

/**
 * Returns the value of a field whose name ends at `nameEnd`, or the text of a
 * comment whose colon is there.
 */
function valueOf(text: string, nameEnd: number, end: number): string {
  const hasSpace = text.charCodeAt(nameEnd + 1) === SPACE;
  return text.slice(nameEnd + (hasSpace ? 2 : 1), end);
}

/** Returns the position after the line end at `position`, if there is one. */
function skipLineEnd(text: string, position: number): number {
  const code = text.charCodeAt(position);
  if (code === LF) return position + 1;
  if (code !== CR) return position;
  return position + (text.charCodeAt(position + 1) === LF ? 2 : 1);
}

/** As `text.indexOf`, but returns the length if there is none. */
function indexOf(text: string, char: string, position: number): number {
  const index = text.indexOf(char, position);
  return index === -1 ? text.length : index;
}
