// The demo in a terminal: reads the stream, and breaks it after three words.

import { connectSse } from "@x/sse";
import { handler, onError } from "./server.ts";

/** The words after which the connection breaks, and how. */
const FAULTS = new Map([
  ["cut", "/cut"],
  ["silent,", "/stall"],
  ["unavailable,", "/kill"],
]);

/** Reads the whole stream. Returns whether each event arrived exactly once. */
export async function showOnTerminal(): Promise<boolean> {
  console.log(
    "Reads a stream and breaks its connection three times. " +
      "To break it yourself on a page: deno task start --page\n",
  );
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onError, onListen() {} },
    handler,
  );
  const urlOf = (path: string) =>
    `http://127.0.0.1:${server.addr.port}${path}?speed=4`;

  const received = new Set<string>();
  let newest = "";
  let repeated = 0;
  let connections = 0;

  const sse = await connectSse(urlOf("/events"), {
    until: ({ event }) => event === "done",
    idleTimeout: 1000,
    reconnect: {
      onReconnect({ attempt, delay, error }) {
        printNote("red", `✕ ${error.code}: ${error.message}`);
        printNote("gray", `attempt ${attempt} in ${delay} ms`);
      },
    },
    onOpen() {
      connections++;
      const header = newest === "" ? "" : `, Last-Event-ID: ${newest}`;
      printNote("green", `✓ connection ${connections}${header}`);
    },
    onComment: (comment) => printNote("gray", `: ${comment}`),
  });

  for await (const { id, event, data, retry } of sse) {
    if (received.has(id)) repeated++;
    received.add(id);
    newest = id;
    if (retry !== undefined) printNote("gray", `retry: ${retry}`);
    if (event === "token") printWord(id, data);
    else printProgress(JSON.parse(data));

    const fault = FAULTS.get(data);
    if (fault) await fetch(urlOf(fault), { method: "POST" });
  }

  const lost = Number(newest) - received.size;
  console.log(
    `\n${received.size} events over ${connections} ` +
      `${connections === 1 ? "connection" : "connections"}: ` +
      `${lost} lost, ${repeated} repeated.`,
  );
  return lost === 0 && repeated === 0;
}

/** The words that have not been printed yet. */
let line = "";

function endLine(): void {
  if (line !== "") console.log(line);
  line = "";
}

/** Adds a word to the line, which starts with the number of its first word. */
function printWord(id: string, word: string): void {
  if (line === "") line = id.padStart(5) + " ";
  line += ` ${word}`;
}

/** Adds the job's progress to the line, and prints it. */
function printProgress({ done, total }: { done: number; total: number }): void {
  if (done === 1) return;
  const bar = "█".repeat(16 * done / total).padEnd(16, "░");
  const percent = Math.round(100 * done / total) + " %";
  line = line.padEnd(56) + bar + percent.padStart(6);
  endLine();
}

function printNote(color: string, note: string): void {
  endLine();
  console.log(`%c       ${note}`, `color: ${color}`);
}
