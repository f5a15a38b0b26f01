/** What a contender found in a workload, to be compared with what is there. */
export class Tally {
  events = 0;
  length = 0;
  /** The sum of the first characters. */
  codes = 0;
}

/**
 * Counts an event, and looks at a character of its data, as any real use does:
 * without that, a string that the engine has yet to join would look ready. The
 * sum is kept, as an optimizer drops work without a result.
 */
export function count(tally: Tally, data: string): void {
  tally.events++;
  tally.length += data.length;
  tally.codes += data.charCodeAt(0);
}

/** What is read: realistic streams, cut the way networks cut them. */
export interface Workload {
  name: string;
  chunks: Iterable<Uint8Array<ArrayBuffer>>;
  bytes: number;
  /** Blocks in the stream: its events and, among heartbeats, those too. */
  blocks: number;
  /** The events a right reader finds. */
  events: { data: string }[];
  /** How many events each chunk completes. */
  completes: number[];
  tally: Tally;
}

interface Block {
  text: string;
  data?: string;
}

type Cut = (blocks: Block[]) => string[] | number;

const onePerChunk: Cut = (blocks) => blocks.map((block) => block.text);
const linePerChunk: Cut = (blocks) =>
  blocks.flatMap((block) => block.text.match(/[^\n]*\n/g)!);
const every = (bytes: number): Cut => () => bytes;

// Each takes long enough for the setup of a connection, about 0.2 ms, not to
// count.
const definitions: Record<string, () => [Block[], Cut]> = {
  "LLM, one a chunk": () => [llm(10_000), onePerChunk],
  "LLM, 16 KiB": () => [llm(4000), every(16 * 1024)],
  "LLM, 37 bytes": () => [llm(1000), every(37)],
  "named, one a chunk": () => [named(10_000), onePerChunk],
  "named, 64 KiB": () => [named(6000), every(64 * 1024)],
  "id+event+data, 16 KiB": () => [changes(4000), every(16 * 1024)],
  "tiny, 64 KiB": () => [tiny(40_000), every(64 * 1024)],
  "500 lines, 16 KiB": () => [logs(400), every(16 * 1024)],
  "CRLF, one a chunk": () => [crlf(named(10_000)), onePerChunk],
  "CRLF, 16 KiB": () => [crlf(named(4000)), every(16 * 1024)],
  "multi-byte, 1 KiB": () => [multiByte(6000), every(1024)],
  "1.5 MB events, 4 KiB": () => [images(2), every(4096)],
  "heartbeats, a line a chunk": () => [heartbeats(2000), linePerChunk],
};

export const workloadNames = Object.keys(definitions);

export function makeWorkload(name: string): Workload {
  const [blocks, cut] = definitions[name]();
  const encoder = new TextEncoder();
  const pieces = cut(blocks);
  const chunks = typeof pieces === "number"
    ? cutEvery(encoder.encode(blocks.map((b) => b.text).join("")), pieces)
    : pieces.map((piece) => encoder.encode(piece));

  const events: { data: string }[] = [];
  const completes = chunks.map(() => 0);
  let chunk = 0;
  let chunkEnd = chunks[0].length;
  let blockEnd = 0;
  for (const { text, data } of blocks) {
    blockEnd += encoder.encode(text).length;
    while (chunkEnd < blockEnd) chunkEnd += chunks[++chunk].length;
    if (data === undefined) continue;
    events.push({ data });
    completes[chunk]++;
  }
  const tally = new Tally();
  for (const { data } of events) count(tally, data);
  return {
    name,
    chunks,
    bytes: blockEnd,
    blocks: blocks.length,
    events,
    completes,
    tally,
  };
}

function cutEvery(bytes: Uint8Array<ArrayBuffer>, size: number) {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += size) {
    chunks.push(bytes.slice(at, at + size)); // own buffers, as from a network
  }
  return chunks;
}

const times = <T>(count: number, make: (i: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i));

const words =
  "Reading a stream well means taking what comes , in whatever pieces it comes"
    .split(" ");

function llm(count: number, texts = words): Block[] {
  return times(count, (i) => {
    const data = JSON.stringify({
      id: "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
      object: "chat.completion.chunk",
      created: 1741570283,
      model: "gpt-4o-2024-08-06",
      service_tier: "default",
      system_fingerprint: "fp_fc9f1d7035",
      choices: [{
        index: 0,
        delta: { content: ` ${texts[i % texts.length]}` },
        logprobs: null,
        finish_reason: null,
      }],
    });
    return { text: `data: ${data}\n\n`, data };
  });
}

function named(count: number): Block[] {
  return times(count, (i) => {
    const data = JSON.stringify({
      type: "content_block_delta",
      index: 0,
      delta: { type: "text_delta", text: ` ${words[i % words.length]}` },
    });
    return { text: `event: content_block_delta\ndata: ${data}\n\n`, data };
  });
}

function changes(count: number): Block[] {
  return times(count, (i) => {
    const data = JSON.stringify({
      title: `Page ${i % 97}`,
      user: `editor${i % 31}`,
      bot: i % 5 === 0,
      length: { old: 1000 + i, new: 1017 + i },
      comment: words.slice(i % words.length).join(" "),
    });
    return {
      text: `id: ${1741570283000 + i}-0\nevent: edit\ndata: ${data}\n\n`,
      data,
    };
  });
}

function tiny(count: number): Block[] {
  return times(count, (i) => {
    const data = String(i % 100);
    return { text: `data: ${data}\n\n`, data };
  });
}

function logs(count: number): Block[] {
  return times(count, (i) => {
    const lines = times(
      500,
      (line) =>
        `2026-11-17T12:00:${10 + line % 50}.${100 + i}Z INFO served /a/${line}`,
    );
    return {
      text: lines.map((line) => `data: ${line}\n`).join("") + "\n",
      data: lines.join("\n"),
    };
  });
}

function crlf(blocks: Block[]): Block[] {
  return blocks.map(({ text, data }) => ({
    text: text.replaceAll("\n", "\r\n"),
    data,
  }));
}

function multiByte(count: number): Block[] {
  const texts =
    "春眠不觉晓，处处闻啼鸟。 Ещё не вечер, друзья мои 🌊🌋 ありがとうございます"
      .split(" ");
  return times(count, (i) => {
    const data = JSON.stringify({
      choices: [{ index: 0, delta: { content: texts[i % texts.length] } }],
    });
    return { text: `data: ${data}\n\n`, data };
  });
}

function images(count: number): Block[] {
  return times(count, (i) => {
    const data = JSON.stringify({
      type: "response.image_generation_call.partial_image",
      partial_image_index: i,
      partial_image_b64: "iVBORw0KGgoAAAANSUhEUgAABAAAAAQA".repeat(46_875),
    });
    return { text: `data: ${data}\n\n`, data };
  });
}

/** An event among every twenty blocks keeps readers honest. */
function heartbeats(count: number): Block[] {
  return times(
    count,
    (i) =>
      i % 20 === 19
        ? { text: `data: ${i}\n\n`, data: String(i) }
        : { text: ": heartbeat\n\n" },
  );
}
