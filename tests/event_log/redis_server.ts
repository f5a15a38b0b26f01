/** Starts a `redis-server` for tests. */
// Without @std, as benchmarks use it, too.
import { deadline } from "../support/deadline.ts";
import { notRunFor } from "../support/not_run.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

type Directory = Awaited<ReturnType<typeof temporaryDirectory>>;

/**
 * Returns the version of the installed `redis-server`, or undefined without
 * one.
 */
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

/**
 * Returns the reason why tests with Redis cannot run, or undefined if they can.
 */
export function whyNoRedis(): string | undefined {
  return notRunFor(
    "Tests of RedisEventLog",
    redisVersion() === undefined ? "redis-server is not installed" : undefined,
  );
}

/**
 * A server with an append-only file. With `"always"`, it loses no acknowledged
 * command if it is killed.
 */
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

  /** Starts a server that writes its file on every command or every second. */
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
        // The random port may be in use.
        if (attempt === 3) throw error;
      }
    }
  }

  /** Starts the process, also after `kill`, and waits until it is ready. */
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
    const output = process.stdout.pipeThrough(new TextDecoderStream());
    let printed = "";
    const ready = Promise.withResolvers<void>();
    (async () => {
      for await (const text of output) {
        printed += text;
        if (printed.includes("Ready to accept connections")) ready.resolve();
      }
      ready.reject(new Error(`redis-server ended: ${printed}`));
    })();
    await deadline(ready.promise, "redis-server to be ready");
  }

  /** Kills the process without a chance to shut down. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.status;
  }

  /**
   * Kills the process and deletes its files synchronously, as `unload` handlers
   * must.
   */
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
 * Returns a port below the range that systems use for port 0, so that no other
 * test gets it while the server is down.
 */
function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}
