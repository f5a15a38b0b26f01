/** Starts `log_process.ts` and reads its output. */
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

  /** Starts a process and waits until it has opened its log. */
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
    const logProcess = new LogProcess(process);
    assertEquals(await logProcess.readLine(), "ready");
    return logProcess;
  }

  async readLine(): Promise<string | undefined> {
    const { value } = await deadline(
      Promise.resolve(this.#lines.next()),
      "a line of another process",
      60,
    );
    return value;
  }

  /** Returns all further lines until the process ends. */
  async remainingLines(): Promise<string[]> {
    const lines: string[] = [];
    for (let line = await this.readLine(); line !== undefined;) {
      lines.push(line);
      line = await this.readLine();
    }
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines.return?.();
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has already ended.
    }
    await this.#process.status;
  }
}

/**
 * Asserts that the data contains each appender's messages once and in order.
 */
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
