/**
 * Faults of a server, and the results of SDKs that meet them, without and with
 * `sseFetch`. The expected results are the tables of the guide
 * examples/guides/sdks.md.
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { sseFetch, type SseFetchOptions } from "../../mod.ts";
import { isSseError } from "../../src/error.ts";
import { deadline } from "../support/deadline.ts";
import {
  eventStreamHead,
  type RawConnection,
  RawServer,
  type Script,
} from "../support/raw_server.ts";
import { slowTest } from "../support/slow_test.ts";
import { failureOf } from "./compare.ts";

/** A `fetch` that SDKs take. */
export type Fetch = ReturnType<typeof sseFetch>;

/** The `idleTimeout` of the tests, in ms. */
export const IDLE = 150;
/** The time in ms after which a program that still waits counts as hanging. */
const HANG = 3 * IDLE;

/** A question to an SDK. */
export interface Question {
  url: string;
  /** Undefined for the SDK's own. */
  fetch: Fetch | undefined;
  signal: AbortSignal;
  /** The SDK's own option. */
  timeout: number | undefined;
  /** Called with each item of the stream, and the text that it adds. */
  onItem(text: string, item?: unknown): void;
  /** Called with errors that the SDK reports, but does not throw. */
  onReport(error: Error): void;
}

/** An SDK, and an API that it calls. */
export interface Sdk {
  /** Its column in the tables of the guide. */
  column: string;
  until: SseFetchOptions["until"];
  /** The start of an event stream, with the text "Hel". */
  beginning: string;
  /** The rest of this stream, with the text "lo". */
  rest: string;
  /** The answer to a request that asks for no stream. */
  json: unknown;
  /** The server's answers to the requests before the question. */
  session?: Script[];
  /** Whether the SDK resumes a stream with a second request. */
  resumes?: boolean;
  /** Cells that differ from the column in the table without `sseFetch`. */
  differences?: Record<string, string>;
  /** Reads a stream to its end. */
  ask(question: Question): Promise<void>;
  /** Returns the text of an answer that is no stream. */
  askForJson(url: string, fetch: Fetch | undefined): Promise<string>;
}

/** Called when the first text of a stream has arrived. */
type OnText = (connection: RawConnection, abort: () => void) => void;

/** The result of a question. */
interface Outcome {
  text: string;
  items: unknown[];
  error?: unknown;
  /** Whether the SDK still waited. */
  hangs: boolean;
  reports: Error[];
  /** The requests for the question: their lines and headers, without `Host`. */
  requests: string[];
}

/** Returns events without names. */
export function dataOf(...values: unknown[]): string {
  return values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("");
}

/** Returns events whose names are their types. */
export function eventsOf(
  ...values: { type: string; [key: string]: unknown }[]
): string {
  return values.map((it) => `event: ${it.type}\n${dataOf(it)}`).join("");
}

/** Sends a stream with this text, and leaves it open. */
export function open(text: string): Script {
  return async (connection) => {
    await connection.send(eventStreamHead);
    if (text !== "") await connection.chunk(text);
  };
}

/** Sends a stream with this text, which ends without an error. */
export function complete(text: string): Script {
  return async (connection) => {
    await open(text)(connection);
    await connection.send("0\r\n\r\n");
    connection.end();
  };
}

/** Sends a response that is no event stream. */
export function reply(status: string, body = "", headers = ""): Script {
  const { length } = new TextEncoder().encode(body);
  return async (connection) => {
    await connection.send(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${headers}` +
        `Content-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
    );
    connection.end();
  };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Sends this text, and then comments until the client disconnects. */
function heartbeats(text: string): Script {
  return async (connection) => {
    await open(text)(connection);
    const timer = setInterval(() => {
      connection.chunk(":\n\n").catch(() => {});
    }, IDLE / 4);
    await connection.disconnected.finally(() => clearInterval(timer));
  };
}

export const busy = reply(
  "429 Too Many Requests",
  '{"error":{"message":"Wait"}}',
  "Retry-After-Ms: 1\r\n",
);

/** A fault of a server. */
interface Fault {
  /** The answers to the question and to later requests. */
  scripts(sdk: Sdk): [Script, ...Script[]];
  onText?: OnText;
  options?: SseFetchOptions;
  /** Whether the requests must be the same with `sseFetch`. */
  isRetried?: boolean;
}

/** The rows of the tables. */
const faults: Record<string, Fault> = {
  "No headers": {
    scripts: () => [() => {}],
    options: { connectTimeout: IDLE },
  },
  "A stall after the headers": { scripts: () => [open("")] },
  "A stall halfway": { scripts: (sdk) => [open(sdk.beginning)] },
  "A stall behind heartbeats": {
    scripts: (sdk) => [heartbeats(sdk.beginning)],
    options: { eventTimeout: 1.5 * IDLE },
  },
  "An end halfway": { scripts: (sdk) => [complete(sdk.beginning)] },
  "A reset before the headers": {
    scripts: () => [(connection) => connection.reset()],
    isRetried: true,
  },
  "A reset halfway": {
    scripts: (sdk) => [open(sdk.beginning)],
    onText: (connection) => connection.reset(),
  },
  "Status 429, then an answer": {
    scripts: (sdk) => [busy, complete(sdk.beginning + sdk.rest)],
    isRetried: true,
  },
  "A connection that stays open after the answer": {
    scripts: (sdk) => [open(sdk.beginning + sdk.rest)],
  },
  "An error as JSON that claims to be an event stream": {
    scripts: () => [complete('{"error":{"message":"Overloaded"}}')],
  },
};

/** Asks a question, and returns the result. */
export async function ask(
  sdk: Sdk,
  scripts: [Script, ...Script[]],
  { guard, timeout, onText, expected = "" }: {
    /** The options of `sseFetch`. Undefined for the SDK's own `fetch`. */
    guard?: SseFetchOptions | undefined;
    /** The SDK's own option. */
    timeout?: number;
    onText?: OnText | undefined;
    /** The expected cell of the table. */
    expected?: string;
  } = {},
): Promise<Outcome> {
  const session = sdk.session ?? [];
  await using server = await RawServer.listen(
    ...session.concat(scripts) as [Script],
  );
  const stop = new AbortController();
  const outcome: Outcome = {
    text: "",
    items: [],
    hangs: false,
    reports: [],
    requests: [],
  };
  const { promise: reported, resolve } = Promise.withResolvers<void>();
  const end = sdk.ask({
    url: server.url,
    fetch: guard && sseFetch({ until: sdk.until, ...guard }),
    signal: stop.signal,
    timeout,
    onItem(text, item = text) {
      outcome.items.push(item);
      if (text === "") return;
      if (outcome.text === "") {
        onText?.(server.connections.at(-1)!, () => stop.abort());
      }
      outcome.text += text;
    },
    onReport(error) {
      outcome.reports.push(error);
      resolve();
    },
  });
  const settled = end.catch((error) => void (outcome.error = error));
  if (expected.startsWith("hangs")) {
    if (expected !== "hangs") await deadline(reported, "a reported error");
    outcome.hangs = await isPending(settled);
  } else {
    await deadline(settled, "the end or the error");
  }
  const requests = server.connections.slice(session.length).map(({ head }) =>
    head.replace(/\r\nhost: .*/i, "")
  );
  // A copy, to which the abort below adds no error.
  const result = { ...outcome, reports: [...outcome.reports], requests };
  // The connection of a stream that has failed or ended is closed.
  if (guard) await (await server.connection(session.length)).disconnected;
  stop.abort();
  await deadline(settled, "the end after an abort");
  await server.connections.at(-1)!.disconnected;
  return result;
}

async function isPending(promise: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(true), HANG);
  const isPending = await Promise.race([promise.then(() => false), late]);
  clearTimeout(timer);
  return isPending;
}

/** Returns the code of the `SseError` that an error is, or that caused it. */
export function codeOf(error: unknown): string | undefined {
  for (; error instanceof Error; error = error.cause) {
    if (isSseError(error)) return error.code;
  }
}

/** Returns a result as a cell of the tables. */
function cellOf({ text, error, hangs, reports, requests }: Outcome): string {
  if (hangs) return reports.length > 0 ? "hangs, `onerror`" : "hangs";
  let again = "";
  if (requests.length > 1) {
    again = requests[1].startsWith("GET") ? "resumes, " : "retries, ";
  }
  const code = codeOf(error);
  if (code !== undefined) return `${again}\`"${code}"\``;
  if (error !== undefined) {
    assert(error instanceof Error);
    return `${again}\`${error.constructor.name}\``;
  }
  const cells: Record<string, string> = {
    "Hello": "complete",
    "Hel": "half, no error",
    "": "empty, no error",
  };
  return again + cells[text];
}

/** Returns the cells of the table under this heading, by row and column. */
async function tableUnder(
  heading: string,
): Promise<Record<string, Record<string, string>>> {
  const guide = new URL("../../examples/guides/sdks.md", import.meta.url);
  const [, section] = (await Deno.readTextFile(guide))
    .split(`\n### ${heading}\n`);
  const [[, ...columns], , ...rows] = section.match(/(?:^\|.*\n)+/m)![0]
    .trim().split("\n").map((row) =>
      row.split("|").slice(1, -1).map((cell) => cell.trim())
    );
  return Object.fromEntries(rows.map(([name, ...cells]) => [
    name,
    Object.fromEntries(columns.map((column, i) => [column, cells[i]])),
  ]));
}

const without = await tableUnder("Without `sseFetch`");
const guarded = await tableUnder("With `sseFetch`");

/** Asserts that the SDK does what the tables say. */
async function assertAsInTables(sdk: Sdk, name: string): Promise<void> {
  const { scripts, onText, options, isRetried } = faults[name];
  const all = scripts(sdk);
  if (sdk.resumes) all.push(complete(sdk.rest));
  const ownCell = sdk.differences?.[name] ?? without[name][sdk.column];
  const own = await ask(sdk, all, { onText, expected: ownCell });
  assertEquals(cellOf(own), ownCell, "without sseFetch");
  const cell = guarded[name][sdk.column];
  const result = await ask(sdk, all, {
    guard: { idleTimeout: IDLE, ...options },
    onText,
    expected: cell,
  });
  assertEquals(cellOf(result), cell, "with sseFetch");
  if (isRetried) assertEquals(result.requests, own.requests);
  // The answers differ only if the SDK resumes the stream.
  if (!cell.startsWith("resumes")) assertEquals(result.text, own.text);
}

/** Registers a test for each fault in the tables. */
export function testFaults(name: string, sdk: Sdk): void {
  for (const fault of Object.keys(faults)) {
    slowTest(
      `${name} without and with sseFetch: ${fault}`,
      () => assertAsInTables(sdk, fault),
    );
  }
}

/** Asserts that a question has the same result with `sseFetch`. Returns it. */
export async function askBoth(
  sdk: Sdk,
  script: Script,
  { guard = { idleTimeout: IDLE }, ...options }: {
    guard?: SseFetchOptions;
    timeout?: number;
    onText?: OnText;
  } = {},
) {
  const own = await ask(sdk, [script], options);
  const result = await ask(sdk, [script], { guard, ...options });
  const comparable = ({ error, ...rest }: Outcome) => ({
    ...rest,
    failure: error === undefined ? undefined : failureOf(error),
  });
  assertEquals(comparable(result), comparable(own));
  return result;
}

/** Sends a whole stream with one byte in each chunk. */
function inBytes(text: string): Script {
  return async (connection) => {
    await connection.send(eventStreamHead);
    for (const char of text) await connection.chunk(char);
    await connection.send("0\r\n\r\n");
    connection.end();
  };
}

/** Registers tests that the SDK works with `sseFetch` as without. */
export function testSame(name: string, sdk: Sdk): void {
  const whole = sdk.beginning + sdk.rest;
  const forms: Record<string, Script> = {
    "in one chunk": complete(whole),
    "in bytes": inBytes(whole),
    "with CRLF": complete(whole.replaceAll("\n", "\r\n")),
    "in bytes with CRLF": inBytes(whole.replaceAll("\n", "\r\n")),
  };
  for (const [form, script] of Object.entries(forms)) {
    slowTest(
      `${name} reads the same with sseFetch: a stream ${form}`,
      async () => {
        const { text, error } = await askBoth(sdk, script);
        assertEquals([text, error], ["Hello", undefined]);
      },
    );
  }

  slowTest(
    `${name} with sseFetch gets JSON that takes longer than idleTimeout`,
    async () => {
      const body = JSON.stringify(sdk.json);
      const slowly: Script = async (connection) => {
        await sleep(1.5 * IDLE);
        await connection.send(
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" +
            `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
        );
        await sleep(1.5 * IDLE);
        await connection.send(body);
      };
      await using server = await RawServer.listen(
        ...[...(sdk.session ?? []), slowly] as [Script],
      );
      const { until } = sdk;
      const answer = sdk.askForJson(
        server.url,
        sseFetch({ until, idleTimeout: IDLE, eventTimeout: IDLE }),
      );
      assertEquals(await deadline(answer, "the answer"), "Hello");
    },
  );

  slowTest(
    `${name} with sseFetch ends in the same way if the program aborts`,
    async () => {
      const { text, error } = await askBoth(sdk, open(sdk.beginning), {
        // Later, while the next event is pending.
        onText: (_, abort) => void setTimeout(abort),
      });
      assertEquals([text, codeOf(error)], ["Hel", undefined]);
    },
  );
}

/** Registers tests that the SDK's own option `timeout` limits only the headers. */
export function testTimeout(
  name: string,
  sdk: Sdk,
  // deno-lint-ignore no-explicit-any
  timeoutError: new (...args: any[]) => Error,
): void {
  const guard = { idleTimeout: 5000 };
  slowTest(
    `${name} with sseFetch: its timeout limits the time until the headers`,
    async () => {
      const { error, requests } = await ask(sdk, [() => {}], {
        guard,
        timeout: IDLE,
      });
      assertInstanceOf(error, timeoutError);
      assertEquals([codeOf(error), requests.length], [undefined, 2]);
    },
  );

  slowTest(
    `${name} with sseFetch: its timeout does not limit the stream`,
    async () => {
      const { text, error } = await ask(sdk, [slowStream(sdk)], {
        guard,
        timeout: IDLE,
      });
      assertEquals([text, error], ["Hello", undefined]);
    },
  );
}

/** Sends a stream with a pause, unless the client leaves. */
export function slowStream(sdk: Sdk): Script {
  return async (connection) => {
    await open(sdk.beginning)(connection);
    const timer = setTimeout(async () => {
      await connection.chunk(sdk.rest);
      await connection.send("0\r\n\r\n");
      connection.end();
    }, 2 * IDLE);
    await connection.disconnected.finally(() => clearTimeout(timer));
  };
}
