/** Serves a Worker with a Durable Object in workerd. */
import { binaryOf } from "./runtime_binary.ts";
import { bundle } from "./bundle.ts";
import {
  type ListeningProcess,
  startListeningProcess,
} from "./listening_process.ts";
import { script } from "./temporary_directory.ts";

export interface WorkerOptions {
  /** An empty folder for the bundle, the configuration and the storage. */
  directory: string;
  /** The path of the Worker's TypeScript file. */
  path: string;
  /** The class of the Durable Object, and the name of its binding. */
  className: string;
  binding: string;
}

const config = ({ directory, className, binding }: WorkerOptions) =>
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
      compatibilityDate = "2026-11-17",
      durableObjectNamespaces = [
        (className = "${className}", uniqueKey = "test", enableSql = true),
      ],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [(name = "${binding}", durableObjectNamespace = "${className}")],
    )),
    (name = "disk", disk = (path = "${directory}/storage", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", service = "main")],
);
`;

/** Bundles a Worker, and writes its configuration. */
export async function bundleWorker(options: WorkerOptions): Promise<void> {
  const { directory, path } = options;
  await bundle(path, `${directory}/worker.mjs`);
  await script(
    `const [directory, config] = Deno.args;
    Deno.mkdirSync(directory + "/storage");
    Deno.writeTextFileSync(directory + "/config.capnp", config);`,
    directory,
    config(options),
  );
}

/** Starts a workerd that serves a bundled Worker on a port of its own. */
export async function startWorkerd(
  { directory }: WorkerOptions,
): Promise<ListeningProcess> {
  const args = ["serve", "--control-fd=1", `${directory}/config.capnp`];
  return await startListeningProcess(await binaryOf("workerd"), args);
}
