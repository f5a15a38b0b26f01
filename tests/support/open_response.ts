import { deadline } from "./deadline.ts";

/**
 * A response with an event stream that stays open. The test controls its content.
 * For a server or an in-process `fetch`.
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

  /** Resolves when the body is canceled. In a server, this means a disconnect. */
  get cancelled(): Promise<void> {
    return deadline(this.#cancelled.promise, "the body to be canceled");
  }

  send(chunk: string | Uint8Array): void {
    this.#controller.enqueue(
      typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk,
    );
  }

  /** Closes the body without an error. */
  end(): void {
    this.#controller.close();
  }

  /** Makes the body fail with this error. */
  fail(error: unknown): void {
    this.#controller.error(error);
  }
}

/** Returns a complete event stream with this text. */
export function eventResponse(text: string, init: ResponseInit = {}): Response {
  return new Response(text, {
    ...init,
    headers: { "content-type": "text/event-stream", ...init.headers },
  });
}
