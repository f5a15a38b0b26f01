/** Starts a PostgreSQL server for tests. */
// Without @std, as benchmarks use it, too.
import { startOnRandomPort, waitUntilPrinted } from "../support/fixed_port.ts";
import { notRunFor } from "../support/not_run.ts";
import { script, temporaryDirectory } from "../support/temporary_directory.ts";

type Directory = Awaited<ReturnType<typeof temporaryDirectory>>;

/** The user that runs the server if tests are run by root, who must not. */
const NOBODY = 65_534;

/** Returns the folder of Debian's newest PostgreSQL, or undefined without one. */
export function postgresPath(): string | undefined {
  const root = "/usr/lib/postgresql";
  try {
    const versions = [...Deno.readDirSync(root)].map(({ name }) => name);
    const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
    return newest === undefined ? undefined : `${root}/${newest}/bin`;
  } catch {
    return undefined;
  }
}

/**
 * Returns the reason why tests with PostgreSQL cannot run, or undefined if they
 * can.
 */
export function whyNoPostgres(): string | undefined {
  return notRunFor(
    "Tests of SqlEventLog on PostgreSQL",
    postgresPath() === undefined ? "postgresql is not installed" : undefined,
  );
}

/** A server on a port of its own, with all defaults but a few settings. */
export class PostgresServer implements AsyncDisposable {
  readonly url: string;
  readonly #port: number;
  readonly #directory: Directory;
  #process: Deno.ChildProcess | undefined;

  private constructor(directory: Directory, port: number) {
    this.#directory = directory;
    this.#port = port;
    this.url = `postgres://test@127.0.0.1:${port}/postgres`;
  }

  /** Creates a cluster in a folder of its own, and starts a server. */
  static async start(): Promise<PostgresServer> {
    const directory = await temporaryDirectory();
    if (Deno.uid() === 0) {
      await script(
        "Deno.chownSync(Deno.args[0], +Deno.args[1], +Deno.args[1])",
        directory.path,
        String(NOBODY),
      );
    }
    const { success, stderr } = await command("initdb", [
      ...["--pgdata", `${directory.path}/data`, "--username", "test"],
      ...["--auth", "trust", "--no-sync", "--encoding", "UTF8"],
    ]).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return await startOnRandomPort((port) =>
      new PostgresServer(directory, port)
    );
  }

  /** Starts the process, also after `stopNow`, and waits until it is ready. */
  async start(): Promise<void> {
    const { path } = this.#directory;
    const process = command("postgres", [
      ...["-D", `${path}/data`, "-h", "127.0.0.1", "-p", String(this.#port)],
      ...["-k", path, "-c", "shared_buffers=32MB"],
    ]).spawn();
    this.#process = process;
    await process.stdout.cancel();
    await waitUntilPrinted(
      "postgres",
      process.stderr,
      "is ready to accept connections",
      60,
    );
  }

  /** Ends the server without a checkpoint, as a crash does, but for its files. */
  async stopNow(): Promise<void> {
    try {
      this.#process?.kill("SIGQUIT");
    } catch {
      // It has ended.
    }
    await this.#process?.status;
  }

  /** Ends the server synchronously, as `unload` handlers must. */
  disposeNow(): void {
    this.#process?.kill("SIGQUIT");
    const { path } = this.#directory;
    new Deno.Command("rm", { args: ["-r", path] }).outputSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopNow();
    await this.#directory[Symbol.asyncDispose]();
  }
}

function command(name: string, args: string[]): Deno.Command {
  return new Deno.Command(`${postgresPath()}/${name}`, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
    cwd: "/",
    ...Deno.uid() === 0 ? { uid: NOBODY, gid: NOBODY } : {},
  });
}
