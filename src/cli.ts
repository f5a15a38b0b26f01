/**
 * A command line for event streams, to use in place of `curl -N`: it
 * prints events as they come.
 *
 * ```sh
 * deno run -N jsr:@x/sse/cli https://example.com/events
 * ```
 *
 * Installed, it is called `sse`, or what `-n` says. With `-R` added it may also
 * read files that are named in arguments, as in `-d @prompt.json`.
 *
 * ```sh
 * deno install -gN -n sse jsr:@x/sse/cli
 * ```
 *
 * A chat API is asked as with curl. `--until` says how its streams end, so that
 * one which breaks off does not pass for complete:
 *
 * ```sh
 * sse https://api.example.com/v1/chat/completions \
 *   -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
 *   -d '{"stream": true, "messages": [{"role": "user", "content": "Hi"}]}' \
 *   --until "[DONE]"
 * ```
 *
 * For pipes there are `--data`, the data alone, and `--json`, an object a line:
 *
 * ```sh
 * sse --json --reconnect https://example.com/events | jq .data
 * ```
 *
 * `sse --help` lists all options. The exit status is 0 if the stream ended
 * as it should, 1 after a network or HTTP error, 2 for bad usage, and 130 if
 * it was interrupted.
 *
 * @module
 */

import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { connectSse } from "./read/connect.ts";
import { reasonOf, SseError } from "./error.ts";
import { escapeControls, withoutSecrets } from "./internal/quote.ts";
import { truncate } from "./internal/truncate.ts";
import { headerValue } from "./last_event_id.ts";
import type { ServerSentEvent } from "./read/server_sent_event.ts";

/** How much of the body an error message shows. */
const BODY_LENGTH = 200;

const NUL = 0x00;
const LF = 0x0a;
const CR = 0x0d;

// ANSI codes of text styles.
const BOLD = 1;
const DIM = 2;
const GREEN = 32;
const YELLOW = 33;
const CYAN = 36;
const RESET = "\x1b[0m";

const HELP = `\
Usage: sse [options] URL

Prints the server-sent events of an HTTP response as they come.

      --data                  Print the data of events and nothing else
      --json                  Print each event as a JSON object on a line
      --comments              Print comments as well
  -X, --request METHOD        Send this method; without it GET, or POST with -d
  -H, --header "NAME: VALUE"  Send a header; "NAME:" omits one sent by default
  -d, --body DATA             Send a body; @FILE reads it, - from standard input
      --last-event-id ID      Go on after the event with this ID
      --until DATA            End at the event with this data, as "[DONE]"; a
                              stream that ends without it has failed
      --max-events N          End after N events
      --reconnect             Connect again where the stream ends or breaks
      --connect-timeout SEC   Fail where no response comes for SEC seconds
      --idle-timeout SEC      Fail where no byte comes for SEC seconds
  -h, --help                  Print this
  -V, --version               Print the version

Exit status: 0 the stream ended as it should, 1 network or HTTP error, 2 bad
usage, 130 interrupted.`;

/**
 * Runs the command line with these arguments. A process can do so once, as
 * standard output is closed at the end; an interrupt ends the process.
 *
 * @param args The arguments after the command's name.
 * @returns The exit status.
 *
 * @example
 * ```ts ignore
 * import { main } from "@x/sse/cli";
 *
 * Deno.exit(await main(["--data", "https://example.com/events"]));
 * ```
 */
export async function main(args: string[]): Promise<number> {
  const status = await run(args);
  // Waits for the rest of the output. If that fails, nothing reads it.
  await stdout.close().catch(() => {});
  return status;
}

async function run(args: string[]): Promise<number> {
  Deno.addSignalListener("SIGINT", () => {
    if (Deno.stderr.isTerminal()) {
      // Ends the line of the "^C", and a color that was cut off.
      console.error(Deno.noColor ? "" : RESET);
    }
    Deno.exit(130);
  });
  try {
    const { values, positionals } = parse(args);
    if (values.help) await print(HELP);
    else if (values.version) await print(`sse ${config.version}`);
    else await read(values, positionals);
    return 0;
  } catch (error) {
    // The program that reads the output has ended.
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    // An argument is wrong: `read` wraps such errors when they come later.
    if (error instanceof TypeError || error instanceof RangeError) {
      // `parseArgs` goes on about values that start with a dash. No URL does.
      const message = error.message.replace(/\. To specify a pos.*/s, "");
      complain(`${message} (see --help)`);
      return 2;
    }
    if (error instanceof SseError) {
      complain(explain(error) + bodyQuote(error));
    } else {
      complain((error as Error).message);
    }
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
      body: { type: "string", short: "d", multiple: true },
      "last-event-id": { type: "string" },
      until: { type: "string" },
      "max-events": { type: "string" },
      reconnect: { type: "boolean" },
      "connect-timeout": { type: "string" },
      "idle-timeout": { type: "string" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean", short: "V" },
    },
  });
}

/** Reads the stream that the arguments ask for, and prints its events. */
async function read(values: Values, positionals: string[]): Promise<void> {
  const url = targetOf(values, positionals);
  if (values.data && (values.json || values.comments)) {
    throw new TypeError("Expected --data without --json and --comments");
  }
  let left = eventCount(values["max-events"]);
  const connectTimeout = milliseconds(values, "connect-timeout");
  const idleTimeout = milliseconds(values, "idle-timeout");
  const { headers, omitted } = await parseHeaders(values.header);
  const body = values.body && await joinBody(values.body);
  if (body && !headers.has("Content-Type")) {
    headers.set("Content-Type", "application/x-www-form-urlencoded");
  }
  const { formatEvent, formatComment } = formats(values);
  const abort = new AbortController();

  const sse = await connectSse(url, {
    method: values.request ?? (body ? "POST" : "GET"),
    headers,
    body,
    lastEventId: values["last-event-id"],
    until: values.until,
    connectTimeout,
    idleTimeout,
    signal: abort.signal,
    async fetch(request) {
      for (const name of omitted) request.headers.delete(name);
      return withBackpressure(await fetch(request));
    },
    reconnect: values.reconnect && {
      onReconnect({ error, delay }) {
        const seconds = (delay / 1000).toFixed(1);
        const what = error.code === "truncated"
          ? "The stream ended"
          : explain(error);
        complain(`${what}; connecting again in ${seconds} s`);
      },
    },
    onComment: values.comments
      ? (comment) => {
        print(formatComment(comment)).catch((error) => abort.abort(error));
      }
      : undefined,
  });
  try {
    for await (const event of sse) {
      await print(formatEvent(event));
      if (--left === 0) break;
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // The arguments were right: it is what the server sent.
    throw new Error(error.message, { cause: error });
  }
}

/** The response, read only as fast as it can be printed. */
function withBackpressure(response: Response): Response {
  if (!response.ok || response.body === null) return response;
  const body = response.body.pipeThrough(
    new TransformStream({
      async transform(chunk, controller) {
        await stdout.ready;
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(body, response);
}

/** The URL to read. */
function targetOf(values: Values, positionals: string[]): URL {
  if (positionals.length !== 1) {
    throw new TypeError(
      `Expected one URL, got ${positionals.length || "none"}` +
        // With curl, these take the body.
        (values.data || values.json
          ? ": --data and --json choose the output, a body goes to -d"
          : ""),
    );
  }
  const [text] = positionals;
  // The scheme may be left out, as with curl.
  const scheme = /^\w+:\/\//.test(text) ? "" : "http://";
  const url = URL.parse(scheme + text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const got = withoutSecrets(scheme + text).slice(scheme.length);
    throw new TypeError(`Expected an HTTP URL, got ${JSON.stringify(got)}`);
  }
  return url;
}

function eventCount(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^0*[1-9][0-9]*$/.test(text)) return Number(text);
  throw new TypeError(
    `Expected --max-events as a number from 1, got "${text}"`,
  );
}

function milliseconds(
  values: Values,
  name: "connect-timeout" | "idle-timeout",
): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const seconds = /^[0-9.]+$/.test(text) ? Number(text) : NaN;
  if (seconds > 0) return seconds * 1000;
  throw new TypeError(`Expected --${name} as seconds above 0, got "${text}"`);
}

/** What `-H` gives: the headers, and the names of those not to be sent. */
async function parseHeaders(
  args: string[],
): Promise<{ headers: Headers; omitted: string[] }> {
  const headers = new Headers();
  const omitted: string[] = [];
  for (const arg of args) {
    const lines = arg.startsWith("@")
      ? new TextDecoder().decode(await readInput(arg)).split(/[\r\n]+/)
      : [arg];
    for (const line of lines.filter((line) => line.trim() !== "")) {
      const [, name, mark, value] = /^([^:;]+)([:;])(.*)$/s.exec(line) ?? [];
      if (name === undefined) {
        // A file of headers holds secrets.
        const got = arg.startsWith("@")
          ? `another line in ${arg}`
          : `"${line}"`;
        throw new TypeError(`Expected -H "NAME: VALUE", got ${got}`);
      }
      // "Name:" omits a header, "Name;" sends it without a value.
      if (mark === ":" && value.trim() === "") omitted.push(name);
      else headers.append(name, headerValue(value.trim()));
    }
  }
  return { headers, omitted };
}

/** What several `-d` send together. */
async function joinBody(args: string[]): Promise<Blob> {
  const parts: BlobPart[] = [];
  for (const arg of args) {
    if (parts.length > 0) parts.push("&");
    if (arg !== "-" && !arg.startsWith("@")) {
      parts.push(arg);
    } else {
      const bytes = await readInput(arg);
      // As curl does, so that the newline at the end of a file is not sent.
      parts.push(bytes.filter((it) => it !== NUL && it !== LF && it !== CR));
    }
  }
  return new Blob(parts);
}

/** Reads what `@FILE`, `@-` or `-` names. */
async function readInput(arg: string): Promise<Uint8Array<ArrayBuffer>> {
  const name = arg.replace(/^@/, "");
  try {
    return name === "-"
      ? await new Response(Deno.stdin.readable).bytes()
      : await Deno.readFile(name);
  } catch (cause) {
    throw new TypeError(
      `Expected to read ${name === "-" ? "standard input" : name}, but: ${
        (cause as Error).message
      }`,
      { cause },
    );
  }
}

/** How events and comments are printed. */
function formats({ json, data }: Values): {
  formatEvent: (event: ServerSentEvent) => string;
  formatComment: (comment: string) => string;
} {
  if (json) {
    return {
      formatEvent: (event) => escapeControls(JSON.stringify(event)),
      formatComment: (comment) => escapeControls(JSON.stringify({ comment })),
    };
  }
  const isTerminal = Deno.stdout.isTerminal();
  // What a server sends must not steer the terminal.
  const shown = isTerminal ? escapeControls : (text: string) => text;
  if (data) {
    return { formatEvent: (event) => shown(event.data), formatComment: shown };
  }
  const paint: Paint = isTerminal && !Deno.noColor
    ? (color, text) => `\x1b[${color}m${text}${RESET}`
    : (_color, text) => text;
  return {
    formatEvent({ event, id, retry, data }) {
      let about = time();
      if (id !== "") about += ` id ${shown(id)}`;
      if (retry !== undefined) about += ` retry ${retry} ms`;
      return paint(BOLD, shown(event)) + " " + paint(DIM, about) + "\n" +
        (isJson(data) ? indentJson(shown(data), paint) : shown(data)) + "\n";
    },
    formatComment: (comment) => paint(DIM, `: ${shown(comment)}`) + "\n",
  };
}

type Paint = (color: number, text: string) => string;

/** The local time, to the millisecond. */
function time(): string {
  const now = new Date();
  const ms = String(now.getMilliseconds()).padStart(3, "0");
  return `${now.toTimeString().slice(0, 8)}.${ms}`;
}

/** Whether `text` is an object or an array in JSON, of a size one might read. */
function isJson(text: string): boolean {
  if (text.length > 2 ** 20 || !/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// A string and whether it is a key; a bracket or a comma; another value.
const JSON_TOKEN =
  /\s*(?:("(?:[^"\\]+|\\.)*")(\s*:)?|([[{]\s*[\]}]|[[\]{},])|([^\s[\]{},]+))\s*/g;

/** Lays JSON out in lines, as text, so that long numbers stay as they are. */
function indentJson(json: string, paint: Paint): string {
  let depth = 0;
  const line = () => "\n" + "  ".repeat(Math.min(depth, 40));
  return json.replace(
    JSON_TOKEN,
    (_, string?: string, colon?: string, mark?: string, value?: string) => {
      if (string && colon) return paint(CYAN, string) + ": ";
      if (string) return paint(GREEN, string);
      if (value) return paint(YELLOW, value);
      if (mark === ",") return "," + line();
      if (mark === "{" || mark === "[") {
        depth++;
        return mark + line();
      }
      if (mark === "}" || mark === "]") {
        depth--;
        return line() + mark;
      }
      return mark![0] + mark!.at(-1);
    },
  );
}

const stdout = Deno.stdout.writable.getWriter();

/** Prints a line; resolves when it is out. */
function print(text: string): Promise<void> {
  return stdout.write(new TextEncoder().encode(text + "\n"));
}

/** Prints one line on standard error. */
function complain(message: string): void {
  console.error("sse: " + escapeControls(message.replace(/\s+/g, " ")));
}

/** What happened, in the words of the command line. */
function explain(error: SseError): string {
  const { code, response } = error;
  switch (code) {
    case "status":
      return `HTTP ${response!.status} ${response!.statusText}`.trim();
    case "content-type":
      return "Expected the content type text/event-stream, got " +
        (response!.headers.get("Content-Type") ?? "none");
    case "truncated":
      return "The stream ended before the event that ends it (--until)";
    case "reconnect-failed":
      return error.message;
    case "connect-timeout":
      return "No response came in time (--connect-timeout or --idle-timeout)";
    case "idle-timeout":
      return "No byte came in time (--idle-timeout)";
    default:
      return reasonOf(error);
  }
}

/** The start of a refused response's body, for a message. */
function bodyQuote({ code, body = "" }: SseError): string {
  const text = body.trim();
  // The message of a malformed response quotes it already.
  if (text === "" || code === "malformed") return "";
  return ": " + truncate(text, BODY_LENGTH);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
