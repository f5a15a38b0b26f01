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
    /** Where events go past the queue. */
    let loop: Loop | undefined;
    const events = {
      push(event: ServerSentEvent) {
        if (loop?.state === "past") loop.push(event);
        else controller.enqueue(event);
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
        decoder.decode(chunk, events);
        return loop?.drained();
      },
    });
    const values = (options?: { preventCancel?: boolean }) => {
      const reader = readable.getReader();
      if (options?.preventCancel) return new Loop(reader);
      return loop = new Loop(reader, controller);
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

/** What a loop is given next. */
type Result = IteratorResult<ServerSentEvent, undefined>;

/**
 * A loop over the stream. Once the stream's queue is empty, events come past
 * it: to ask the queue for each costs several times more.
 */
class Loop implements AsyncIterableIterator<ServerSentEvent>, AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<ServerSentEvent>;
  readonly #controller:
    | TransformStreamDefaultController<ServerSentEvent>
    | undefined;

  /** Whether events come by the queue or past it. */
  state: "queue" | "past" | "ended" = "queue";

  /** The newest answer of the queue. */
  #newest: Promise<Result> | undefined;
  /** They answer the calls of `next` that wait for what comes past the queue. */
  readonly #waiting: ((result: Result | Promise<Result>) => void)[] = [];
  /**
   * What has come past the queue, and how many of it were handed out. Those are
   * not kept, as a large event costs a tenth less where it dies young.
   */
  #events: (ServerSentEvent | undefined)[] = [];
  #taken = 0;
  /** Lets the next chunk in, where one is held up. */
  #letIn: (() => void) | undefined;

  /**
   * Begins, as `ReadableStream.values` does. Without `controller` it is a loop
   * with `preventCancel`, where all comes by the queue: who reads the stream
   * after the loop would not get the rest.
   */
  constructor(
    reader: ReadableStreamDefaultReader<ServerSentEvent>,
    controller?: TransformStreamDefaultController<ServerSentEvent>,
  ) {
    this.#reader = reader;
    this.#controller = controller;
  }

  /** Takes an event that comes past the queue. */
  push(event: ServerSentEvent): void {
    if (this.#waiting.length === 0) this.#events.push(event);
    else this.#waiting.shift()!({ done: false, value: event });
  }

  /** Settles once the next chunk may come; undefined where it may at once. */
  drained(): Promise<void> | undefined {
    if (this.#events.length === 0) return undefined;
    return new Promise((resolve) => {
      this.#letIn = resolve;
    });
  }

  next(): Promise<Result> {
    if (this.#taken < this.#events.length) {
      const value = this.#events[this.#taken]!;
      this.#events[this.#taken++] = undefined;
      return Promise.resolve({ done: false, value });
    }
    this.#clear();
    if (this.state === "queue" && this.#controller?.desiredSize === 0) {
      this.#leaveQueue();
    }
    if (this.state !== "past") return this.#read();
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  /** Drops what has come, and lets the next chunk in. */
  #clear(): void {
    this.#events = [];
    this.#taken = 0;
    this.#letIn?.();
  }

  /** Has events come past the queue, which is empty. */
  #leaveQueue(): void {
    this.state = "past";
    // The stream takes chunks only while it is asked. As nothing comes to its
    // queue, it answers at its end or its fault.
    const onAnswer = () => {
      if (this.state === "past") this.state = "queue";
      for (const answer of this.#waiting.splice(0)) answer(this.#read());
    };
    this.#reader.read().then(onAnswer, onAnswer);
  }

  /** Asks the queue: for an event, the stream's end or its fault. */
  #read(): Promise<Result> {
    if (this.state === "ended") {
      return Promise.resolve({ done: true, value: undefined });
    }
    return this.#newest = this.#reader.read().then((result) => {
      if (result.done) this.#end();
      return result as Result;
    }, (error) => {
      this.#end();
      throw error;
    });
  }

  /** Cancels the stream, or with `preventCancel` waits for the newest answer. */
  async return(value?: undefined): Promise<Result> {
    let cancelled: Promise<void> | undefined;
    if (this.#controller === undefined) await this.#newest?.catch(() => {});
    else if (this.state !== "ended") cancelled = this.#reader.cancel();
    this.#end();
    await cancelled;
    return { done: true, value };
  }

  #end(): void {
    this.state = "ended";
    this.#clear();
    this.#reader.releaseLock();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
