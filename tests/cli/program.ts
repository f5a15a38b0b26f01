/** The command-line tool as a process, on one of the runtimes. */
import { deadline } from "../support/deadline.ts";

/** A runtime, and how to start the tool on it. */
export interface CliRuntime {
  name: string;
  /**
   * Returns the command line that arguments are added to. The permissions are
   * flags of Deno; other runtimes ignore them.
   */
  command(permissions: string[]): string[];
}

interface ProgramOptions {
  permissions?: string[];
  /** Keep standard input open for `type`. Otherwise it is empty. */
  input?: boolean;
  /** Run it under a pseudo-terminal. */
  terminal?: boolean;
}

export interface Result {
  code: number;
  /**
   * Output that `readLine` has not returned. Under a terminal, includes errors.
   */
  stdout: string;
  stderr: string;
}

/** The command-line tool in a separate process. */
export class Program implements AsyncDisposable {
  #child: Deno.ChildProcess;
  #stdout: ReadableStreamDefaultReader<Uint8Array>;
  #utf8 = new TextDecoder();
  #stderr: Promise<string>;
  #hasInput: boolean;
  #text = "";

  constructor(
    runtime: CliRuntime,
    args: string[],
    options: ProgramOptions = {},
  ) {
    const { permissions = ["--allow-net"], input, terminal } = options;
    this.#hasInput = input || terminal || false;
    let command = [...runtime.command(permissions), ...args];
    if (terminal) {
      const line = command.map((it) => `'${it.replaceAll("'", `'\\''`)}'`);
      command = ["script", "-qec", `exec ${line.join(" ")}`, "/dev/null"];
    }
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      cwd: new URL("../../", import.meta.url),
      env: { NO_COLOR: "1" },
      stdin: this.#hasInput ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = this.#child.stdout.getReader();
    this.#stderr = new Response(this.#child.stderr).text();
  }

  /** Reads the next chunk of standard output. Returns false at its end. */
  async #read(): Promise<boolean> {
    const { done, value } = await this.#stdout.read();
    if (!done) this.#text += this.#utf8.decode(value, { stream: true });
    return !done;
  }

  /** Returns the next line of standard output, without its line break. */
  async readLine(): Promise<string> {
    while (!this.#text.includes("\n")) {
      if (!await deadline(this.#read(), "a line")) {
        throw new Error(`Expected a line, got "${this.#text}" and the end`);
      }
    }
    const end = this.#text.indexOf("\n") + 1;
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return line.trimEnd();
  }

  /** Closes the pipe, as `head` does after its last line. */
  closeStdout(): Promise<void> {
    return this.#stdout.cancel();
  }

  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  closeStdin(): Promise<void> {
    return this.#child.stdin.close();
  }

  /** Waits until the program ends. */
  async end(): Promise<Result> {
    const ended = async () => {
      while (await this.#read());
      return await this.#child.status;
    };
    const { code } = await deadline(ended(), "the program to end");
    return { code, stdout: this.#text, stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has already ended.
    }
    await this.#child.status;
    await this.#stdout.cancel();
    await this.#stderr;
    if (this.#hasInput) await this.closeStdin().catch(() => {});
  }
}
