/**
 * The decoder as a stream.
 *
 * @module
 */

import { SseDecoder, type SseDecoderOptions } from "./decoder.ts";
import type { ServerSentEvent } from "./server_sent_event.ts";

/**
 * Decodes an event stream, used as `TextDecoderStream` is; bytes go straight
 * in, and so do strings.
 *
 * The stream errors with an `SseError` `"event-too-large"` where an event
 * exceeds `maxEventSize`. What was not yet read is dropped then, as it is from any
 * stream that errors. A `for await` loop still gets the events before it. An
 * unfinished event at the end is dropped, as the standard demands.
 *
 * `onComment` is called once the events before the comment are on their way.
 * Streams read ahead, so they may be read later than that.
 *
 * @example
 * ```ts
 * import { SseEventStream } from "@x/sse";
 *
 * const response = await fetch("https://example.com/events");
 * const events = response.body!.pipeThrough(new SseEventStream());
 * for await (const event of events) console.log(event.data);
 * ```
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream}
 */
// Not a subclass of `TransformStream`, as `TextDecoderStream` is none either:
// bundlers keep a class that extends a global, even where nothing uses it.
export class SseEventStream implements
  TransformStream<
    ArrayBufferLike | ArrayBufferView | string,
    ServerSentEvent
  > {
  /** Where the events come out. */
  readonly readable: ReadableStream<ServerSentEvent>;
  /** Where the bytes go in. */
  readonly writable: WritableStream<
    ArrayBufferLike | ArrayBufferView | string
  >;
  readonly #decoder: SseDecoder;

  /**
   * Makes a stream.
   *
   * @param options The limit, the first id, and who hears comments.
   * @throws {RangeError} If `maxEventSize` is neither a positive whole number
   * nor `Infinity`.
   * @throws {TypeError} If another option has the wrong type.
   */
  constructor(options: SseDecoderOptions = {}) {
    let controller: TransformStreamDefaultController<ServerSentEvent>;
    let loop: Loop | undefined;
    const events = {
      push(event: ServerSentEvent) {
        if (!loop?.take(event)) controller.enqueue(event);
      },
    };
    const decoder = new SseDecoder(options);
    const { readable, writable } = new TransformStream<
      ArrayBufferLike | ArrayBufferView | string,
      ServerSentEvent
    >({
      start(it) {
        controller = it;
      },
      transform(chunk) {
        const wanted = loop?.wanted();
        if (wanted === undefined) {
          decoder.decode(chunk, events);
          return;
        }
        return wanted.then((isWanted) => {
          if (isWanted) decoder.decode(chunk, events);
        });
      },
    });
    const values = (options?: { preventCancel?: boolean }) => {
      const reader = readable.getReader();
      if (options?.preventCancel) return startLoop(reader).iterator;
      loop = startLoop(reader, () => controller.desiredSize === 0);
      return loop.iterator;
    };
    this.readable = Object.defineProperties(readable, {
      values: { value: values },
      [Symbol.asyncIterator]: { value: values },
    });
    this.writable = writable;
    this.#decoder = decoder;
  }

  /**
   * The last event ID: the newest one that a blank line has confirmed. Streams
   * read ahead, so store the `id` of an event to go on after that event.
   */
  get lastEventId(): string {
    return this.#decoder.lastEventId;
  }

  /** The newest reconnection time of the stream, in ms. */
  get reconnectionTime(): number | undefined {
    return this.#decoder.reconnectionTime;
  }
}

type Result = IteratorResult<ServerSentEvent, undefined>;

/** A loop over the stream: its iterator, and what the stream needs of it. */
interface Loop {
  readonly iterator: AsyncIterableIterator<ServerSentEvent> & AsyncDisposable;
  /** Takes an event, or gives `false` where it has to go to the queue. */
  take(event: ServerSentEvent): boolean;
  /**
   * Whether the next chunk is wanted: known once it is, or once it never will
   * be. Undefined where it is at once.
   */
  wanted(): Promise<boolean> | undefined;
}

/**
 * Begins a loop, as `ReadableStream.values` does. Events come to it directly:
 * to ask the stream's queue for each costs several times more.
 *
 * Without `isQueueEmpty` it is a loop with `preventCancel`. All comes from the
 * queue then, as who reads the stream after it would not get what it holds.
 */
function startLoop(
  reader: ReadableStreamDefaultReader<ServerSentEvent>,
  isQueueEmpty?: () => boolean,
): Loop {
  /**
   * What the stream is asked for; it takes chunks only while it is. "queued" is
   * an event of its queue. "end" is its end or its fault: the queue is empty,
   * and events come directly.
   */
  let asked: "nothing" | "queued" | "end" = "nothing";
  /** Whether `next` gives nothing more. */
  let isOver = false;
  /** The calls of `next` that wait. */
  const calls: {
    resolve: (result: Result) => void;
    reject: (fault: unknown) => void;
  }[] = [];
  let newest: Promise<Result> | undefined;
  /**
   * What has come directly and no call waited for, and how many of it were
   * handed out. Those are not kept, as a large event costs a tenth less where it
   * dies young.
   */
  let events: (ServerSentEvent | undefined)[] = [];
  let taken = 0;
  /** Lets the chunk go on that waits for this. */
  let letGo: (() => void) | undefined;

  function ask(): void {
    asked = isQueueEmpty?.() ? "end" : "queued";
    reader.read().then((result) => {
      asked = "nothing";
      // Where no call waits, the next one asks again.
      if (calls.length === 0) return;
      if (result.done) return end();
      calls.shift()!.resolve(result);
      if (calls.length > 0) ask();
    }, (fault) => {
      asked = "nothing";
      if (calls.length === 0) return;
      calls.shift()!.reject(fault);
      end();
    });
  }

  function end(): void {
    isOver = true;
    events = [];
    for (const { resolve } of calls.splice(0)) {
      resolve({ done: true, value: undefined });
    }
    letGo?.();
    reader.releaseLock();
  }

  return {
    take(event) {
      if (asked !== "end") return false;
      if (calls.length === 0) events.push(event);
      else calls.shift()!.resolve({ done: false, value: event });
      return true;
    },

    wanted() {
      if (calls.length > 0) return undefined;
      const released = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      return released.then(() => !isOver);
    },

    iterator: {
      next() {
        if (isOver) return Promise.resolve({ done: true, value: undefined });
        if (taken < events.length) {
          const value = events[taken]!;
          events[taken++] = undefined;
          return Promise.resolve({ done: false, value });
        }
        events = [];
        taken = 0;
        newest = new Promise((resolve, reject) => {
          calls.push({ resolve, reject });
        });
        if (asked === "nothing") ask();
        letGo?.();
        return newest;
      },

      /** Cancels the stream, or with `preventCancel` waits for the newest call. */
      async return(value?: undefined) {
        const wasOver = isOver;
        isOver = true;
        let cancelled: Promise<void> | undefined;
        if (isQueueEmpty === undefined) await newest?.catch(() => {});
        else if (!wasOver) cancelled = reader.cancel();
        end();
        await cancelled;
        return { done: true, value };
      },

      async [Symbol.asyncDispose]() {
        await this.return!();
      },

      [Symbol.asyncIterator]() {
        return this;
      },
    },
  };
}
