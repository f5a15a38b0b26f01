/**
 * The parser of event streams, the only one of this module.
 *
 * @module
 */

import { SseError } from "../error.ts";
import {
  check,
  checkFunction,
  checkLimit,
  checkType,
} from "../internal/check.ts";
import { DEFAULT_MAX_EVENT_SIZE } from "./limits.ts";
import { ServerSentEvent } from "./server_sent_event.ts";
import { StringBuilder } from "./string_builder.ts";

/**
 * Options of {@linkcode SseDecoder} and {@linkcode SseEventStream}: the id to
 * start with, a limit for the size of events, and a callback for comments.
 *
 * @example Reject events that are too large, and show comments
 * ```ts
 * import { SseDecoder } from "@x/sse";
 *
 * const decoder = new SseDecoder({
 *   maxEventSize: 1024 * 1024,
 *   onComment: (comment) => console.log("comment:", comment),
 * });
 * decoder.decode(": connected\n\n");
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */
export interface SseDecoderOptions {
  /**
   * The last event ID at the start: the `id` of events until the stream sets
   * another one. Set it if an earlier connection has read the start of the
   * stream.
   *
   * @default {""}
   */
  lastEventId?: string | undefined;
  /**
   * Maximum size of an event in UTF-16 code units, including its unfinished
   * line. A larger event fails with an `SseError` `"event-too-large"`.
   *
   * The limit keeps a faulty server from filling the memory. Lower it if many
   * streams are open at once. `Infinity` removes it.
   *
   * @default {67108864}
   */
  maxEventSize?: number | undefined;
  /**
   * Called with the text of each comment as soon as its line is complete. The
   * text does not include the one space that may follow the colon. By default,
   * comments are ignored.
   *
   * Before the call, `decode` has appended the preceding events to its argument
   * `events`. An error that the callback throws is thrown by `decode`.
   */
  onComment?: ((comment: string) => void) | undefined;
}

// Here, as constants that are imported cost 4 ns an event.
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const BOM = "\ufeff";

/**
 * The start of a line whose end has not arrived:
 *
 * - `"none"`: there is none, as the last chunk ended with a line end.
 * - `"short"`: it is too short to tell whether it is a field.
 * - `"kept"`: it is a field, or a comment that `onComment` is to be called with.
 * - `"ignored"`: it is neither. Nothing is kept, however long the line is.
 */
type PartialLine = "none" | "short" | "kept" | "ignored";

/**
 * Parses an event stream chunk by chunk. Use it for chunks that come neither
 * from a `Response` nor from a `ReadableStream`; for those, `readSse` and
 * `SseEventStream` are simpler.
 *
 * A chunk may end anywhere: inside a UTF-8 sequence, a field name or a `\r\n`.
 * An event is returned as soon as the first byte of the line end that completes
 * it has arrived.
 *
 * As the standard demands, an unfinished event at the end of the stream is
 * dropped. Call {@linkcode SseDecoder.end} to get it nevertheless.
 *
 * @example Parse chunks from a source of your own
 * ```ts
 * import { SseDecoder } from "@x/sse";
 *
 * const chunks = ["data: Hel", "lo\n\ndata: wor", "ld\nid: 2\n\n"];
 *
 * const decoder = new SseDecoder();
 * for (const chunk of chunks) {
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
  /** Whether a call failed, or is still running. */
  #needsReset!: boolean;
  #partialLine!: PartialLine;
  readonly #line = new StringBuilder("");

  // The standard's buffers, of the unfinished event.
  readonly #data = new StringBuilder("\n");
  #type!: string;
  /** Undefined if the event has no id of its own. */
  #id!: string | undefined;

  /**
   * Creates a decoder.
   *
   * @param options The initial id, the limit, and a callback for comments.
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

  /**
   * The last event ID: the newest id that a blank line has completed. `""` if
   * there is none.
   */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /**
   * The newest reconnection time in milliseconds that the stream has set with
   * `retry:`. Undefined if it has set none.
   */
  get reconnectionTime(): number | undefined {
    return this.#reconnectionTime;
  }

  /**
   * Prepares for another connection to the same stream: drops the unfinished
   * event and its id, and keeps `lastEventId` and `reconnectionTime`.
   *
   * @example Continue after a lost connection
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
    this.#utf8.decode(); // Drops the start of a sequence.
    this.#midSequence = false;
    this.#dropNext = BOM;
    this.#needsReset = false;
    this.#partialLine = "none";
    this.#line.take();
    this.#data.take();
    this.#type = "";
    this.#id = undefined;
  }

  /**
   * Decodes the next chunk. Returns the events that the chunk completes.
   *
   * @typeParam Events An array, or any other object with a method `push`.
   * @param chunk The next bytes, or the next part of a text that is already
   * decoded.
   * @param events The array to append the events to. If the call fails, it
   * contains the events that were complete before the error.
   * @returns `events`, with the events that this chunk completed.
   * @throws {SseError} `"event-too-large"` if an event exceeds `maxEventSize`.
   * After this error, and after an error that `onComment` or `push` throws,
   * call {@linkcode SseDecoder.reset} before you use the decoder again.
   * @throws {TypeError} If `chunk` is neither a string nor bytes, if an earlier
   * call failed and `reset` was not called, or if `onComment` or `push` calls
   * `decode`.
   */
  decode<
    Events extends { push(event: ServerSentEvent): unknown } =
      ServerSentEvent[],
  >(
    chunk: ArrayBufferLike | ArrayBufferView | string,
    events: Events = [] as unknown as Events,
  ): Events {
    this.#checkUsable();
    const text = this.#textOf(chunk);
    const { length } = text;
    if (length === 0) return events;
    this.#needsReset = true;
    // If the whole chunk fits, none of its lines needs to be checked.
    const mayExceed =
      this.#size() + this.#line.length + length > this.#maxEventSize;
    let position = text[0] === this.#dropNext ? 1 : 0;
    let lf = -1;
    let cr = -1;
    while (position < length) {
      if (lf < position) lf = indexOf(text, "\n", position);
      if (cr < position) cr = indexOf(text, "\r", position);
      let line = text;
      let start = position;
      let end = Math.min(lf, cr);
      if (end === length) {
        this.#addPartialLine(text.slice(start));
        break;
      }
      position = end === lf ? end + 1 : skipLineEnd(text, end);
      if (this.#partialLine !== "none") {
        line = this.#completeLine(text.slice(start, end));
        start = 0;
        end = line.length;
      }
      if (isData(line, start, end)) {
        if (mayExceed) this.#checkSize(end - start);
        const value = valueOf(line, start + "data".length, end);
        const isFirst = this.#data.count === 0;
        const next = isFirst ? skipLineEnd(text, position) : position;
        if (next > position) {
          // The common case: an event with one line of data. It does not need
          // the data buffer.
          position = next;
          this.#dispatch(value, events);
        } else {
          this.#data.append(value);
        }
      } else if (isField("event", line, start, end)) {
        if (mayExceed) this.#checkSize(end - start);
        this.#type = valueOf(line, start + "event".length, end);
      } else if (start < end) {
        this.#processField(line, start, end);
      } else {
        this.#dispatch(this.#data.take(), events);
      }
    }
    this.#dropNext = text[length - 1] === "\r" ? "\n" : "";
    this.#needsReset = false;
    return events;
  }

  /**
   * Ends the stream: returns the unfinished event as if the end of the stream
   * were its blank line, and resets the decoder. Use it for servers that end
   * their streams without the last blank line.
   *
   * An unfinished line counts only if it is a `data` line; any other may have
   * been cut off. `lastEventId` does not change, because no blank line
   * completed the event. The event's `id` is the one that its lines have set,
   * or else `lastEventId`.
   *
   * @returns The event, or undefined if there is none that has data.
   * @throws {TypeError} If an earlier call failed, and `reset` was not called.
   *
   * @example Get an event whose blank line is missing
   * ```ts
   * import { SseDecoder } from "@x/sse";
   * import { assertEquals } from "@std/assert";
   *
   * const decoder = new SseDecoder();
   * assertEquals(decoder.decode("data: [DONE]"), []);
   * assertEquals(decoder.end()?.data, "[DONE]");
   * ```
   */
  end(): ServerSentEvent | undefined {
    this.#checkUsable();
    const line = this.#completeLine(this.#utf8.decode());
    if (isData(line, 0, line.length)) {
      this.#data.append(valueOf(line, "data".length, line.length));
    }
    const data = this.#data.take();
    const event = data === undefined ? undefined : this.#makeEvent(data);
    this.reset();
    return event;
  }

  #checkUsable(): void {
    if (this.#needsReset) {
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

  /** Adds a part of a line whose end has not arrived. */
  #addPartialLine(part: string): void {
    if (this.#partialLine === "ignored") return;
    this.#line.append(part);
    if (this.#partialLine !== "kept") {
      const start = this.#line.take()!;
      this.#partialLine = this.#classify(start);
      if (this.#partialLine === "ignored") return;
      this.#line.append(start);
    }
    if (this.#partialLine === "kept") this.#checkSize(this.#line.length);
  }

  #classify(start: string): PartialLine {
    const name = /^(data|event|id|retry|):/.exec(start)?.[1];
    if (name || name === "" && this.#onComment) return "kept";
    // "retry:" is the longest field name.
    return start.length < "retry:".length ? "short" : "ignored";
  }

  /** Returns the line that earlier chunks started and `part` ends. */
  #completeLine(part: string): string {
    const isIgnored = this.#partialLine === "ignored";
    this.#partialLine = "none";
    this.#line.append(part);
    const line = this.#line.take()!;
    // A line that is no field and no comment.
    return isIgnored ? "ignored" : line;
  }

  /** HTML standard, "process the field", for fields other than `data`. */
  #processField(line: string, start: number, end: number): void {
    if (isField("id", line, start, end)) {
      this.#checkSize(end - start);
      const id = valueOf(line, start + "id".length, end);
      if (!id.includes("\0")) this.#id = id;
    } else if (isField("retry", line, start, end)) {
      this.#checkSize(end - start);
      const value = valueOf(line, start + "retry".length, end);
      if (/^[0-9]+$/.test(value)) {
        this.#retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
        this.#reconnectionTime = this.#retry;
      }
    } else if (this.#onComment && line.charCodeAt(start) === COLON) {
      this.#checkSize(end - start);
      this.#onComment(valueOf(line, start, end));
    }
  }

  /** HTML standard, "dispatch the event". */
  #dispatch(
    data: string | undefined,
    events: { push(event: ServerSentEvent): unknown },
  ): void {
    if (this.#id !== undefined) {
      this.#lastEventId = this.#id;
      this.#id = undefined;
    }
    // Without data there is no event.
    if (data !== undefined) {
      events.push(this.#makeEvent(data));
    }
    this.#type = "";
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

  /** Throws if a line of this length exceeds the limit. */
  #checkSize(lineLength: number): void {
    if (this.#size() + lineLength <= this.#maxEventSize) return;
    this.reset();
    this.#needsReset = true;
    throw new SseError(
      "event-too-large",
      `Expected events of at most ${this.#maxEventSize} UTF-16 code units ` +
        "(maxEventSize), got a larger one",
    );
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

/**
 * As `isField`, for "data". Comparing it character by character takes a tenth
 * less for a small event than `startsWith`.
 */
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
