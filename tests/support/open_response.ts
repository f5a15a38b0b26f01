import { deadline } from "./deadline.ts";

/**
 * An event stream that stays open and says what the test has it say, for a
 * server to answer with or for an in-process `fetch`.
 */
export class OpenResponse {
  readonly response: Response;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #cancelled = Promise.withResolvers<void>();

  constructor(text = "", init: ResponseInit = {}) {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.#cancelled.resolve(),
    });
    this.response = new Response(body, {
      ...init,
      headers: { "content-type": "text/event-stream", ...init.headers },
    });
    if (text) this.send(text);
  }

  /** Resolves when the reader has gone, which is a server's disconnect. */
  get cancelled(): Promise<void> {
    return deadline(this.#cancelled.promise, "the body to be cancelled");
  }

  send(chunk: string | Uint8Array): void {
    this.#controller.enqueue(
      typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk,
    );
  }

  /** Ends the body as it should end. */
  end(): void {
    this.#controller.close();
  }

  /** Breaks the body off. */
  fail(error: unknown): void {
    this.#controller.error(error);
  }
}

/** A finished event stream of this text. */
export function eventResponse(text: string, init: ResponseInit = {}): Response {
  return new Response(text, {
    ...init,
    headers: { "content-type": "text/event-stream", ...init.headers },
  });
}
