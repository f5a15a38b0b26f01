/**
 * Messages through Redis and back, in a process of their own:
 * `measure_redis.ts PORT one|many MESSAGES` prints the µs a message of bare
 * commands and of a log, which take turns.
 */
import { RedisEventLog } from "../../src/event_log/mod.ts";
import { RawRedis } from "../event_log/raw_redis.ts";

const [port, what, messages] = Deno.args;
const count = Number(messages);
const { send } = await RawRedis.connect(Number(port));
const { send: sendBlocking } = await RawRedis.connect(Number(port));
const data = "x".repeat(100);
const BLOCK = 500;

const times = { bare: 0, log: 0 };
for (let done = -BLOCK; done < count; done += BLOCK) {
  const bare = await measure(openBare);
  const log = await measure(openLog);
  if (done < 0) continue; // warms up
  times.bare += bare;
  times.log += log;
}
console.log(JSON.stringify({
  bare: times.bare * 1000 / count,
  log: times.log * 1000 / count,
}));
Deno.exit();

interface Pair {
  append(): Promise<unknown>;
  /** Reads at least one message; how many. */
  read(): Promise<number>;
}

async function measure(open: (key: string) => Pair): Promise<number> {
  const { append, read } = open(crypto.randomUUID());
  await append();
  for (let n = 0; n < 1;) n += await read();
  const start = performance.now();
  if (what === "one") {
    for (let i = 0; i < BLOCK; i++) await Promise.all([read(), append()]);
  } else {
    const appended = Array.from({ length: BLOCK }, append);
    for (let n = 0; n < BLOCK;) n += await read();
    await Promise.all(appended);
  }
  return performance.now() - start;
}

function openBare(key: string): Pair {
  let last = "0-0";
  return {
    append: () =>
      send([
        "XADD",
        key,
        "MAXLEN",
        "~",
        "10000",
        "*",
        "m",
        `{"data":"${data}"}`,
      ]),
    async read() {
      const command = ["XREAD", "COUNT", "100", "BLOCK", "5000", "STREAMS"];
      const reply = await sendBlocking([...command, key, last]) as [
        [unknown, [Uint8Array, Uint8Array[]][]],
      ];
      const [[, entries]] = reply;
      for (const [, fields] of entries) {
        JSON.parse(new TextDecoder().decode(fields[1]));
      }
      last = new TextDecoder().decode(entries.at(-1)![0]);
      return entries.length;
    },
  };
}

function openLog(key: string): Pair {
  const log = new RedisEventLog({ key, send, sendBlocking });
  const reader = log.read("")[Symbol.asyncIterator]();
  return {
    append: () => log.append({ data }),
    async read() {
      await reader.next();
      return 1;
    },
  };
}
