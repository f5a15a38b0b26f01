/** Starts `log_process.ts`, and reads what it prints. */
import { assertEquals } from "@std/assert";
import { TextLineStream } from "@std/streams/text-line-stream";
import { deadline } from "../support/deadline.ts";

export class LogProcess implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#lines = process.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .values();
  }

  /** Starts it, and waits until it has opened its log. */
  static async start(...args: string[]): Promise<LogProcess> {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-config", "--unstable-kv", "--allow-all"],
        import.meta.dirname + "/log_process.ts",
        ...args,
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const it = new LogProcess(process);
    assertEquals(await it.line(), "ready");
    return it;
  }

  async line(): Promise<string | undefined> {
    const { value } = await deadline(
      Promise.resolve(this.#lines.next()),
      "a line of another process",
      60,
    );
    return value;
  }

  /** All that it prints until it ends. */
  async rest(): Promise<string[]> {
    const lines: string[] = [];
    for (let line = await this.line(); line !== undefined;) {
      lines.push(line);
      line = await this.line();
    }
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines.return?.();
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
  }
}

/** Asserts that each appender's messages are there once and in its order. */
export function assertInterleaved(
  data: string[],
  names: string[],
  count: number,
): void {
  const messages = data.map((it) => JSON.parse(it));
  for (const name of names) {
    assertEquals(
      messages.filter((it) => it.name === name).map(({ n }) => n),
      Array.from({ length: count }, (_, n) => n),
      name,
    );
  }
  assertEquals(messages.length, names.length * count);
}
