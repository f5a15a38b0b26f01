/** Runs the configuration of the guide on proxies with nginx. */
import { assert, assertEquals } from "@std/assert";
import { connectSse, type SseMessage, sseResponse } from "../../mod.ts";
import { allData, dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { notRunFor } from "../support/not_run.ts";
import { slowTest, slowTestsNotRun } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";

function isInstalled(): boolean {
  try {
    // Unlike most commands, nginx has no option `--version`.
    return new Deno.Command("nginx", {
      args: ["-v"],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

const notRun = slowTestsNotRun ?? notRunFor(
  "Tests of nginx",
  isInstalled() ? undefined : "nginx is not installed",
);

/** The directives of the guide's `location`, without `proxy_pass`. */
async function guideDirectives(): Promise<string> {
  const guide = await Deno.readTextFile(
    new URL("../../examples/guides/behind_proxies.md", import.meta.url),
  );
  const block = guide.match(/^```nginx\n(.*?)^```$/ms)![1];
  const directives = block.match(/proxy_pass .*?;(.*)}/s)![1];
  assert(directives.includes("proxy_http_version 1.1;"));
  return directives;
}

/** Runs nginx in front of a handler, with these directives in its `location`. */
async function behindNginx(
  directives: string,
  handler: (request: Request) => Response,
) {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    handler,
  );
  stack.defer(() => server.shutdown());
  for (let attempt = 0;; attempt++) {
    // nginx cannot print the port that it was given for port 0.
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${path}/${name};`).join("\n");
    await Deno.writeTextFile(
      `${path}/nginx.conf`,
      `daemon off; master_process off; pid ${path}/pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  access_log off; gzip_types text/event-stream; gzip_min_length 0;
  ${paths}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${server.addr.port};
      ${directives}
    }
  }
}`,
    );
    const nginx = new Deno.Command("nginx", {
      args: ["-p", path, "-e", "stderr", "-c", `${path}/nginx.conf`],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const ready = Promise.withResolvers<boolean>();
    let printed = "";
    const ended = (async () => {
      const texts = nginx.stderr.pipeThrough(new TextDecoderStream());
      for await (const text of texts) {
        printed += text;
        if (printed.includes('using the "epoll"')) ready.resolve(true);
      }
      ready.resolve(false);
    })();
    if (await deadline(ready.promise, "nginx to start")) {
      stack.defer(async () => {
        nginx.kill();
        await nginx.status;
        await ended;
      });
      return {
        url: `http://127.0.0.1:${port}/`,
        [Symbol.asyncDispose]: () => stack.disposeAsync(),
      };
    }
    await nginx.status;
    if (attempt < 5 && printed.includes("Address already in use")) continue;
    await stack.disposeAsync();
    throw new Error(`nginx ended: ${printed}`);
  }
}

async function* failing() {
  yield { data: "1" };
  await Promise.reject(new Error("my database is down"));
}

/** Returns the data of all events, and the error code or "end". */
async function outcome(url: string, until?: string): Promise<string[]> {
  const data: string[] = [];
  try {
    for await (const event of await connectSse(url, { until })) {
      data.push(event.data);
    }
    return [...data, "end"];
  } catch (error) {
    return [...data, (error as { code: string }).code];
  }
}

slowTest(
  "behind proxies: with the guide's directives, a failed source is a network error behind nginx",
  async () => {
    await using nginx = await behindNginx(
      await guideDirectives(),
      () => sseResponse(failing()),
    );
    assertEquals(await outcome(nginx.url), ["1", "network"]);
  },
  notRun,
);

slowTest(
  "behind proxies: with HTTP/1.0, a failed source looks complete behind nginx, and `until` notices it",
  async () => {
    await using nginx = await behindNginx(
      "proxy_http_version 1.0;",
      () => sseResponse(failing()),
    );
    assertEquals(await outcome(nginx.url), ["1", "end"]);
    assertEquals(await outcome(nginx.url, "[DONE]"), ["1", "truncated"]);
  },
  notRun,
);

slowTest(
  "behind proxies: with the guide's directives, each event passes nginx at once, uncompressed, and a client that leaves closes the source",
  async () => {
    const closed = Promise.withResolvers<void>();
    let next = Promise.withResolvers<void>();
    async function* stepped() {
      try {
        for (let n = 1;; n++) {
          yield { data: String(n) };
          await next.promise;
          next = Promise.withResolvers();
        }
      } finally {
        closed.resolve();
      }
    }
    await using nginx = await behindNginx(await guideDirectives(), () => {
      const response = sseResponse(stepped());
      response.headers.delete("X-Accel-Buffering");
      return response;
    });
    const sse = await connectSse(nginx.url);
    assertEquals(sse.response.headers.get("content-encoding"), null);
    for (const data of ["1", "2", "3"]) {
      assertEquals(await dataOf(sse, 1), [data]);
      next.resolve();
    }
    await sse.close();
    const releasing = setInterval(() => next.resolve(), 10);
    await deadline(closed.promise, "the source to be closed")
      .finally(() => clearInterval(releasing));
  },
  notRun,
);

/** Two messages, the second of which is sent after `next` settles. */
async function* two(next: Promise<unknown>) {
  yield { data: "1" };
  await next;
  yield { data: "2" };
}

slowTest(
  "behind proxies: X-Accel-Buffering turns off nginx's buffering, which keeps events back with HTTP/1.0 or gzip",
  async () => {
    for (const directives of ["proxy_http_version 1.0;", "gzip on;"]) {
      const { promise: received, resolve: receive } = Promise.withResolvers<
        void
      >();
      await using nginx = await behindNginx(
        directives,
        ({ url }) => {
          if (!url.endsWith("buffered")) return sseResponse(two(received));
          const pause = new Promise((resolve) => setTimeout(resolve, 300));
          return sseResponse(two(pause), {
            headers: { "X-Accel-Buffering": "yes" },
          });
        },
      );
      const sse = await connectSse(nginx.url);
      assertEquals(await dataOf(sse, 1), ["1"], directives);
      receive();
      assertEquals(await allData(sse), ["2"], directives);

      const buffered = await fetch(`${nginx.url}buffered`);
      const chunks = await Array.fromAsync(buffered.body!);
      assertEquals(chunks.length, 1, directives);
    }
  },
  notRun,
);

/** A silent stream. */
function silent() {
  return new ReadableStream<SseMessage>();
}

slowTest(
  "behind proxies: nginx breaks off a silent stream after proxy_read_timeout, and a heartbeat prevents it",
  async () => {
    const directives = await guideDirectives() + "proxy_read_timeout 1s;";
    await using nginx = await behindNginx(
      directives,
      ({ url }) =>
        sseResponse(silent(), {
          heartbeat: url.endsWith("beat") ? 50 : 600_000,
        }),
    );
    assertEquals(await outcome(nginx.url), ["network"]);

    // 40 heartbeats take twice the timeout.
    let comments = 0;
    const stop = new AbortController();
    const sse = await connectSse(`${nginx.url}beat`, {
      signal: stop.signal,
      onComment() {
        if (++comments === 40) stop.abort();
      },
    });
    const error = await deadline(
      allData(sse).catch((error) => error),
      "40 heartbeats",
      20,
    );
    assertEquals([error?.name, comments], ["AbortError", 40]);
  },
  notRun,
);

slowTest(
  "behind proxies: nginx compresses an event stream despite no-transform if it is configured to",
  async () => {
    await using nginx = await behindNginx(
      "gzip on;",
      () => sseResponse(two(Promise.resolve())),
    );
    const { hostname, port } = new URL(nginx.url);
    using socket = await Deno.connect({ hostname, port: Number(port) });
    await socket.write(new TextEncoder().encode(
      "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n" +
        "Connection: close\r\n\r\n",
    ));
    const text = await new Response(socket.readable).text();
    assert(/^content-encoding: gzip\r$/mi.test(text), text);
  },
  notRun,
);
