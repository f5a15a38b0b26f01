// A program that has to compile with the types of each environment in main.ts.

import {
  connectSse,
  type ConnectSseOptions,
  encodeSse,
  readSse,
  type ReconnectOptions,
  ServerSentEvent,
  SseDecoder,
  SseEncoderStream,
  SseError,
  SseEventStream,
  type SseMessage,
  sseResponse,
  type SseSource,
} from "../../mod.ts";
import {
  type EventLog,
  MemoryEventLog,
  record,
  resume,
} from "../../src/event_log/mod.ts";
import { RedisConnection, RedisEventLog } from "../../src/event_log/redis.ts";
import { SqlConnection, SqlEventLog } from "../../src/event_log/sql.ts";
import { EventSource } from "../../src/event_source.ts";
import { SseScript, type SseStep } from "../../src/testing.ts";
import { typedEvents } from "../../src/typed_events.ts";

declare const client: object;
declare const dispatcher: object;

const reconnect: ReconnectOptions = {
  backoffFactor: undefined,
  initialDelay: undefined,
  jitter: undefined,
  maxAttempts: undefined,
  maxDelay: undefined,
  onReconnect: undefined,
  resume: undefined,
  shouldReconnect: undefined,
};

/** Every option may be `undefined`. */
export const options: ConnectSseOptions = {
  anyContentType: undefined,
  body: undefined,
  client: undefined,
  connectTimeout: undefined,
  dispatcher: undefined,
  eventTimeout: undefined,
  fetch: undefined,
  headers: undefined,
  idleTimeout: undefined,
  lastEventId: undefined,
  maxEventSize: undefined,
  method: undefined,
  onComment: undefined,
  onOpen: undefined,
  reconnect: undefined,
  redirect: undefined,
  signal: undefined,
  until: undefined,
};

export async function read(response: Response): Promise<string> {
  const sse = await connectSse(
    ({ attempt, lastEventId, error }) =>
      new Request("https://example.com/", {
        headers: { attempt: `${attempt} ${lastEventId} ${error?.body}` },
      }),
    {
      client,
      dispatcher,
      method: "POST",
      headers: { Authorization: "Bearer …" },
      body: JSON.stringify({}),
      signal: new AbortController().signal,
      until: ({ data }) => data === "[DONE]",
      reconnect,
      fetch: (request) => fetch(request),
    },
  );
  let text: string = sse.response.headers.get("x") ?? "";
  for await (const event of sse) text += event.json<{ text: string }>().text;
  for await (const { data } of readSse(response, { until: undefined })) {
    text += data;
  }
  await using other = readSse(response.body!, { signal: undefined });
  const result = await other.next();
  if (!result.done) text += result.value.id;

  const reader = response.body!.pipeThrough(new SseEventStream()).getReader();
  const { value } = await reader.read();
  text += value?.data;
  const bytes: Uint8Array = new Uint8Array(8);
  for (const chunk of [bytes, bytes.buffer, new DataView(bytes.buffer), ""]) {
    for (const event of new SseDecoder().decode(chunk)) text += event.data;
  }
  try {
    await sse.close();
  } catch (error) {
    if (error instanceof SseError) {
      text += `${error.code} ${error.body} ${error.response?.status}`;
    }
  }
  return text;
}

export function write(): Response {
  const message: SseMessage = { data: "", event: undefined, id: undefined };
  const event = new ServerSentEvent({ data: encodeSse(message) });
  new ReadableStream<SseMessage>().pipeThrough(new SseEncoderStream());
  const source: SseSource = [message, event];
  return sseResponse(source, {
    status: 200,
    heartbeat: undefined,
    signal: undefined,
  });
}

export function listen(): EventSource {
  const source = new EventSource("https://example.com/", {
    body: undefined,
    connectTimeout: undefined,
    fetch: undefined,
    headers: { Authorization: "Bearer …" },
    idleTimeout: undefined,
    lastEventId: undefined,
    maxEventSize: undefined,
    method: undefined,
    onComment: undefined,
    reconnect,
    withCredentials: undefined,
  });
  source.onmessage = ({ data, lastEventId }) => `${data}${lastEventId}`;
  source.onerror = ({ error, message }) => `${error}${message}`;
  source.addEventListener("news", ({ data }) => data.length, { once: true });
  source.addEventListener("open", { handleEvent() {} });
  source.removeEventListener("news", () => {});
  return source;
}

export async function logged(request: Request): Promise<Response> {
  const log: EventLog = new MemoryEventLog({ maxMessages: undefined });
  await log.append({ json: {} });
  const connection = new RedisConnection({
    send: (command: string[]) => Promise.resolve(command),
    sendBlocking: undefined,
  });
  const redis = new RedisEventLog(connection, "log", { expireIn: undefined });
  await record(redis, [{ json: {} }], { signal: undefined });
  for await (const { id } of redis.read("", { signal: undefined })) {
    await log.append({ data: id });
  }
  const sql = new SqlConnection({
    dialect: "sqlite",
    query: (_sql: string, params: (string | number | null)[]) => [params],
    listen: undefined,
  });
  await record(new SqlEventLog(sql, "log", { expireIn: undefined }), []);
  const resumed = resume(log, request, {
    snapshot: undefined,
    from: undefined,
  });
  return sseResponse(resumed);
}

export async function typed(): Promise<number> {
  const schema = {
    "~standard": {
      version: 1,
      vendor: "mine",
      validate: (value: unknown) => ({ value: Number(value) }),
    },
  } as const;
  let sum = 0;
  const events = readSse(new Response("data: 1\n\n"), { anyContentType: true });
  for await (const { data } of typedEvents(events, { message: schema })) {
    sum += data;
  }
  return sum;
}

export async function tested(): Promise<string> {
  async function* later(): AsyncGenerator<SseStep> {
    yield { status: undefined, headers: undefined, body: undefined };
    yield { bytes: new Uint8Array(8) };
  }
  const server = new SseScript(
    [{ wait: 5 }, { json: {} }, { bytes: "data" }, "cut"],
    ({ lastEventId }) => [{ data: lastEventId }, "stall"],
    later(),
    later,
  );
  const client: typeof fetch = server.fetch;
  const handler: (request: Request, info: { port: number }) => Promise<
    Response
  > = server.fetch;
  await client("http://localhost/", { method: "POST" });
  await handler(new Request("http://localhost/"), { port: 8000 });
  await connectSse("http://localhost/", { fetch: server.fetch });
  const [request] = server.requests;
  return `${request?.headers.get("x")} ${request?.outcome === "left"}`;
}

// @ts-expect-error A script has a list of steps for each connection.
export const flat: SseScript = new SseScript({ data: "1" }, "cut");
// @ts-expect-error The step is misspelled.
export const unknownStep: SseStep = { staus: 200 };
// @ts-expect-error The option is misspelled.
export const misspelled: ConnectSseOptions = { idleTimout: 1 };
// @ts-expect-error `until` is not asynchronous.
export const promised: ConnectSseOptions = { until: () => Promise.resolve() };
