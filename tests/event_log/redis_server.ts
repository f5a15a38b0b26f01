/** A `redis-server` of the test's own. */
import { TextLineStream } from "@std/streams/text-line-stream";
import { deadline } from "../support/deadline.ts";
import { notRunFor } from "../support/not_run.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

type Directory = Awaited<ReturnType<typeof temporaryDirectory>>;

/** The version that is installed; undefined where there is none. */
export function redisVersion(): string | undefined {
  try {
    const { stdout } = new Deno.Command("redis-server", {
      args: ["--version"],
      stderr: "null",
    }).outputSync();
    return new TextDecoder().decode(stdout).match(/v=(\S+)/)?.[1];
  } catch {
    return undefined;
  }
}

/** Why tests that need one cannot run, if they cannot. */
export function whyNoRedis(): string | undefined {
  return notRunFor(
    "Tests of RedisEventLog",
    redisVersion() === undefined ? "redis-server is not installed" : undefined,
  );
}

/** It keeps what it has acknowledged where it is killed, if it is to. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #directory: Directory;
  readonly #sync: "always" | "everysec";
  #process: Deno.ChildProcess | undefined;

  private constructor(
    port: number,
    directory: Directory,
    sync: "always" | "everysec",
  ) {
    this.port = port;
    this.#sync = sync;
    this.#directory = directory;
  }

  /** Starts one, which keeps what it acknowledged at once or soon. */
  static async start(
    sync: "always" | "everysec" = "always",
  ): Promise<RedisServer> {
    const directory = await temporaryDirectory();
    for (let attempt = 0;; attempt++) {
      const server = new RedisServer(randomPort(), directory, sync);
      try {
        await server.start();
        return server;
      } catch (error) {
        // The port may be in use.
        if (attempt === 3) throw error;
      }
    }
  }

  /** Starts it, again perhaps, and waits until it answers. */
  async start(): Promise<void> {
    const process = new Deno.Command("redis-server", {
      args: [
        ...["--port", String(this.port), "--bind", "127.0.0.1"],
        ...["--dir", this.#directory.path, "--save", "", "--appendonly", "yes"],
        ...["--appendfsync", this.#sync, "--stream-node-max-entries", "10"],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#process = process;
    const lines = process.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    const printed: string[] = [];
    const ready = Promise.withResolvers<void>();
    (async () => {
      for await (const line of lines) {
        printed.push(line);
        if (line.includes("Ready to accept connections")) ready.resolve();
      }
      ready.reject(new Error(`redis-server ended: ${printed.join("\n")}`));
    })();
    await deadline(ready.promise, "redis-server to be ready");
  }

  /** Ends it without a warning. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.status;
  }

  /** Ends it, and leaves nothing behind, while this process ends. */
  disposeNow(): void {
    this.#process?.kill("SIGKILL");
    const { path } = this.#directory;
    new Deno.Command("rm", { args: ["-r", path] }).outputSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#directory[Symbol.asyncDispose]();
  }
}

/**
 * Returns a port below those that systems give for port 0, as no other test may
 * take it while the server is down.
 */
function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}
