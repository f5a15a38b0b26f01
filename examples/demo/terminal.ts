// The demo without a browser: reads the stream, and breaks it at three words.

import { connectSse } from "@x/sse";
import { handler, onError } from "./server.ts";

/** What happens once a word has come. */
const FAULTS = new Map([
  ["cut", "/cut"],
  ["silent,", "/stall"],
  ["gone,", "/kill"],
]);

/** Reads the stream to its end; tells whether each event came, and came once. */
export async function showOnTerminal(): Promise<boolean> {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onError, onListen() {} },
    handler,
  );
  const urlOf = (path: string) =>
    `http://127.0.0.1:${server.addr.port}${path}?speed=4`;

  const received = new Set<string>();
  let newest = "0";
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
      printNote("green", `✓ connection ${connections}, after event ${newest}`);
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
    `\n${received.size} events over ${connections} connections: ` +
      `${lost} lost, ${repeated} repeated.\n` +
      "Break the stream yourself, on a page: deno task start --page",
  );
  return lost === 0 && repeated === 0;
}

/** The line of words that has yet to be printed. */
let line = "";

function endLine(): void {
  if (line !== "") console.log(line);
  line = "";
}

/** A line starts with the number of its first word. */
function printWord(id: string, word: string): void {
  if (line === "") line = id.padStart(5) + " ";
  line += ` ${word}`;
}

/** A line ends with how far the job is. */
function printProgress({ done, total }: { done: number; total: number }): void {
  if (done === 1) return;
  const bar = "█".repeat(20 * done / total).padEnd(20, "░");
  const percent = Math.round(100 * done / total) + " %";
  line = line.padEnd(50) + bar + percent.padStart(6);
  endLine();
}

function printNote(color: string, note: string): void {
  endLine();
  console.log(`%c       ${note}`, `color: ${color}`);
}
