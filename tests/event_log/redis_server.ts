/** Starts a `redis-server` for tests. */
// Without @std, as benchmarks use it, too.
import { startOnRandomPort, waitUntilPrinted } from "../support/fixed_port.ts";
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
    return await startOnRandomPort((port) =>
      new RedisServer(port, directory, sync)
    );
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
    await waitUntilPrinted(
      "redis-server",
      process.stdout,
      "Ready to accept connections",
    );
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
