/**
 * A command that prints event streams as they arrive, for use instead of
 * `curl -N`. Deno and Node run it without an installation:
 *
 * ```sh
 * deno run -N jsr:@x/sse/cli https://example.com/events
 * npx @x/sse https://example.com/events
 * ```
 *
 * To install it as `sse`:
 *
 * ```sh
 * deno install -gN -n sse jsr:@x/sse/cli
 * npm install -g @x/sse
 * ```
 *
 * Set the headers and the body of a request as with curl. `--until` sets the
 * data of the last event, so that an answer that was cut off is an error:
 *
 * ```sh
 * sse https://api.example.com/v1/chat/completions \
 *   -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
 *   -d '{"stream": true, "messages": [{"role": "user", "content": "Hi"}]}' \
 *   --until "[DONE]"
 * ```
 *
 * In a pipe, use `--data`, which prints only the data, or `--json`, which prints
 * each event as a JSON object on a line:
 *
 * ```sh
 * sse --json --reconnect https://example.com/events | jq .data
 * ```
 *
 * `sse --help` lists all options. The exit status is 0 if the stream ended as
 * expected, 1 after a network, HTTP or file error or an incomplete stream, 2 for
 * invalid arguments, and 130 after Ctrl+C.
 *
 * On Deno, `-N` permits access to the network. `-d @FILE` also needs `-R`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import process from "node:process";
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { check } from "./internal/check.ts";
import { escapeControls, withoutUrlSecrets } from "./internal/quote.ts";
import { headerValue } from "./last_event_id.ts";
import { connectSse } from "./read/connect.ts";
import type { ServerSentEvent } from "./read/server_sent_event.ts";

const HELP = `\
Usage: sse [options] URL

Prints the server-sent events of an HTTP response as they arrive.

      --data                  Print only the data of events
      --json                  Print each event as a JSON object on a line
      --comments              Print comments as well
  -X, --request METHOD        Set the method; without it GET, or POST with -d
  -H, --header "NAME: VALUE"  Send a header; repeat it to send several
  -d, --body DATA             Send a body; @FILE reads a file, @- standard input
      --last-event-id ID      Continue after the event with this id
      --until DATA            End at the event with this data; fail without it
      --max-events N          End after N events
      --reconnect             Connect again if the stream ends or fails
      --idle-timeout SEC      Maximum time to wait for a response or more data
  -h, --help                  Print this help
  -V, --version               Print the version

Exit status: 0 the stream ended as expected; 1 network, HTTP or file error, or
an incomplete stream; 2 invalid arguments; 130 interrupted.`;

/**
 * Runs the command with these arguments, and resolves when its output is
 * written. It prints to the standard output of the process.
 *
 * @param args The arguments after the command's name.
 * @returns The exit status.
 *
 * @example
 * ```ts ignore
 * import process from "node:process";
 * import { main } from "@x/sse/cli";
 *
 * process.exit(await main(["--data", "https://example.com/events"]));
 * ```
 */
export async function main(args: string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) {
    // Without a listener, a failed write would throw. With one, only `print`
    // rejects.
    stream.on("error", () => {});
  }
  try {
    const { values, positionals } = parse(args);
    if (values.help) await print(HELP);
    else if (values.version) await print(`sse ${config.version}`);
    else await read(values, positionals);
    return 0;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    // The reader of the output has closed it, as `head` does.
    if (code === "EPIPE") return 0;
    if (error instanceof TypeError || error instanceof RangeError) {
      // `parseArgs` adds how to pass an argument that starts with a dash. No URL
      // starts with one.
      complain(`${message.replace(/\. To specify a pos.*/s, "")} (see --help)`);
      return 2;
    }
    complain(message);
    return 1;
  }
}

type Values = ReturnType<typeof parse>["values"];

function parse(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      data: { type: "boolean" },
      json: { type: "boolean" },
      comments: { type: "boolean" },
      request: { type: "string", short: "X" },
      header: { type: "string", short: "H", multiple: true, default: [] },
      body: { type: "string", short: "d", multiple: true, default: [] },
      "last-event-id": { type: "string" },
      until: { type: "string" },
      "max-events": { type: "string" },
      reconnect: { type: "boolean" },
      "idle-timeout": { type: "string" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean", short: "V" },
    },
  });
}

/** Prints the events of the stream that the arguments describe. */
async function read(values: Values, positionals: string[]): Promise<void> {
  check(positionals.length === 1, "one URL", positionals.length);
  check(values.body.length <= 1, "one -d", values.body.length);
  check(!values.data || !values.json, "one of --data and --json", 2);
  check(!values.data || !values.comments, "one of --data and --comments", 2);
  const url = urlOf(positionals[0]);
  let left = numberOf("--max-events", values["max-events"]) ?? Infinity;
  const idleTimeout = numberOf("--idle-timeout", values["idle-timeout"]);
  const headers = headersOf(values.header);
  const body = await bodyOf(values.body[0]);
  if (body !== undefined && !headers.has("Content-Type")) {
    headers.set("Content-Type", "application/x-www-form-urlencoded");
  }
  const abort = new AbortController();

  const sse = await connectSse(url, {
    method: values.request ?? (body === undefined ? "GET" : "POST"),
    headers,
    body,
    lastEventId: values["last-event-id"],
    until: values.until,
    idleTimeout: idleTimeout && idleTimeout * 1000,
    signal: abort.signal,
    reconnect: values.reconnect && {
      onReconnect: ({ error, delay }) =>
        complain(`${error.message}; connecting again in ${delay.toFixed()} ms`),
    },
    ...values.comments && {
      fetch: fetchAsPrinted,
      onComment(comment) {
        print(textOf({ comment }, values)).catch((error) => abort.abort(error));
      },
    },
  });
  for await (const event of sse) {
    await print(textOf(event, values));
    if (--left === 0) break;
  }
  await printed;
}

/**
 * Does what `fetch` does, but reads the body only as fast as comments are
 * printed. Without it, a flood of comments would fill the memory, because
 * `onComment` cannot wait for its output.
 */
async function fetchAsPrinted(request: Request): Promise<Response> {
  const response = await fetch(request);
  const paced = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, out) => printed.then(() => out.enqueue(chunk)),
  });
  return new Response(response.body?.pipeThrough(paced), response);
}

function urlOf(text: string): URL {
  // As with curl, the scheme is optional.
  const url = /^\w+:\/\//.test(text) ? text : `http://${text}`;
  const isHttp = /^https?:/i.test(url) && URL.canParse(url);
  check(isHttp, "an HTTP URL", withoutUrlSecrets(url));
  return new URL(url);
}

function numberOf(option: string, text?: string): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  const isCount = option === "--max-events";
  const isValid = number > 0 && (!isCount || Number.isInteger(number));
  const kind = isCount ? "an integer" : "seconds";
  check(isValid, `${option} as ${kind} above 0`, text);
  return number;
}

function headersOf(lines: string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):\s*(\S.*)$/.exec(line) ?? [];
    // The value may be a secret.
    check(name, '-H "NAME: VALUE"', line.replace(/:.*/s, ": …"));
    headers.append(name, headerValue(value));
  }
  return headers;
}

async function bodyOf(text: string | undefined) {
  if (!text?.startsWith("@")) return text;
  const name = text.slice(1);
  const bytes = name === "-" ? buffer(process.stdin) : readFile(name);
  // `BodyInit` excludes a `Buffer`, because its memory may be shared.
  return new Uint8Array(await bytes);
}

function textOf(
  item: ServerSentEvent | { comment: string },
  { json, data }: Values,
): string {
  if (json) return escapeControls(JSON.stringify(item));
  if ("comment" in item) return `: ${item.comment}\n`;
  if (data) return item.data;
  let head = `${item.event} ${new Date().toISOString()}`;
  if (item.id !== "") head += ` id ${item.id}`;
  if (item.retry !== undefined) head += ` retry ${item.retry} ms`;
  return `${head}\n${item.data}\n`;
}

/** Settles when all that was printed is written. */
let printed: Promise<void> = Promise.resolve();

/** Prints a line to standard output. Resolves when it is written. */
function print(text: string): Promise<void> {
  // A server must not control the terminal.
  const shown = process.stdout.isTTY ? escapeControls(text) : text;
  return printed = new Promise((resolve, reject) => {
    const done = (error?: Error | null) => error ? reject(error) : resolve();
    process.stdout.write(`${shown}\n`, done);
  });
}

/** Prints one line to standard error. */
function complain(message: string): void {
  const text = message.replace(/\s+/g, " ")
    // The command has other names for these options of `connectSse`, or none.
    .replace(/ \((\w+,? )?(anyContentType|idleTimeout|maxEventSize)\)/, "");
  process.stderr.write(`sse: ${escapeControls(text)}\n`);
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
